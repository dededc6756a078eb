"""The readers: one file for each published method, named as the field names it."""

from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoModelForVideoClassification,
)

from .configuration_frame_exit import FrameExitConfig as FrameExitConfig
from .early_exit import EarlyExit as EarlyExit
from .early_exit import EarlyExitConfig as EarlyExitConfig
from .efficientnet_lite import EfficientNetLite0 as EfficientNetLite0
from .frame_exit import FrameExit as FrameExit
from .lstm_jump import LSTMJump as LSTMJump
from .lstm_jump import LSTMJumpConfig as LSTMJumpConfig
from .running_mean import ChunkReader as ChunkReader
from .running_mean import ClipReader as ClipReader
from .running_mean import RunningMeanPolicy as RunningMeanPolicy
from .skim_rnn import SkimRNN as SkimRNN
from .skim_rnn import SkimRNNConfig as SkimRNNConfig

READERS = {
    SkimRNNConfig.model_type: SkimRNN,
    LSTMJumpConfig.model_type: LSTMJump,
    EarlyExitConfig.model_type: EarlyExit,
    FrameExitConfig.model_type: FrameExit,
}
"""Readers by the `model_type` of their configuration. A new reader gets one line here."""

# transformers finds model types that are not its own only where they were registered.
for _config, _reader, _auto in (
    (SkimRNNConfig, SkimRNN, AutoModelForSequenceClassification),
    (LSTMJumpConfig, LSTMJump, AutoModelForSequenceClassification),
    (EarlyExitConfig, EarlyExit, AutoModelForSequenceClassification),
    (FrameExitConfig, FrameExit, AutoModelForVideoClassification),
):
    AutoConfig.register(_config.model_type, _config, exist_ok=True)
    _auto.register(_config, _reader, exist_ok=True)
