"""The readers: one file for each published method, named as the field names it."""

from typing import Any

from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoModelForVideoClassification,
)

from .adaptive_computation_time import AdaptiveComputationTime as AdaptiveComputationTime
from .adaptive_computation_time import (
    AdaptiveComputationTimeConfig as AdaptiveComputationTimeConfig,
)
from .chunk_reader import ChunkReader as ChunkReader
from .clip_reader import ClipReader as ClipReader
from .clip_reader import RunningMeanPolicy as RunningMeanPolicy
from .configuration_chunk_reader import ChunkReaderConfig as ChunkReaderConfig
from .configuration_early_exit import EarlyExitConfig as EarlyExitConfig
from .configuration_frame_exit import FrameExitConfig as FrameExitConfig
from .early_exit import EarlyExit as EarlyExit
from .efficientnet_lite import EfficientNetLite0 as EfficientNetLite0
from .frame_exit import FrameExit as FrameExit
from .hm_rnn import HMRNN as HMRNN
from .hm_rnn import HMRNNConfig as HMRNNConfig
from .jumper import Jumper as Jumper
from .jumper import JumperConfig as JumperConfig
from .leap_lstm import LeapLSTM as LeapLSTM
from .leap_lstm import LeapLSTMConfig as LeapLSTMConfig
from .lstm_jump import LSTMJump as LSTMJump
from .lstm_jump import LSTMJumpConfig as LSTMJumpConfig
from .lstm_shuttle import LSTMShuttle as LSTMShuttle
from .lstm_shuttle import LSTMShuttleConfig as LSTMShuttleConfig
from .skim_rnn import SkimRNN as SkimRNN
from .skim_rnn import SkimRNNConfig as SkimRNNConfig
from .skip_rnn import SkipRNN as SkipRNN
from .skip_rnn import SkipRNNConfig as SkipRNNConfig
from .structural_jump_lstm import StructuralJumpLSTM as StructuralJumpLSTM
from .structural_jump_lstm import StructuralJumpLSTMConfig as StructuralJumpLSTMConfig
from .variable_rnn import VariableRNN as VariableRNN
from .variable_rnn import VariableRNNConfig as VariableRNNConfig

READERS: dict[str, Any] = {
    SkimRNNConfig.model_type: SkimRNN,
    SkipRNNConfig.model_type: SkipRNN,
    LeapLSTMConfig.model_type: LeapLSTM,
    VariableRNNConfig.model_type: VariableRNN,
    HMRNNConfig.model_type: HMRNN,
    LSTMJumpConfig.model_type: LSTMJump,
    LSTMShuttleConfig.model_type: LSTMShuttle,
    StructuralJumpLSTMConfig.model_type: StructuralJumpLSTM,
    JumperConfig.model_type: Jumper,
    AdaptiveComputationTimeConfig.model_type: AdaptiveComputationTime,
    EarlyExitConfig.model_type: EarlyExit,
    ChunkReaderConfig.model_type: ChunkReader,
    FrameExitConfig.model_type: FrameExit,
}
"""Readers by the `model_type` of their configuration. A new reader gets one line here."""

# transformers finds model types that are not its own only where they were registered.
_AUTO = {"token": AutoModelForSequenceClassification, "frame": AutoModelForVideoClassification}
for _name, _reader in READERS.items():
    AutoConfig.register(_name, _reader.config_class, exist_ok=True)
    _AUTO[_reader.unit].register(_reader.config_class, _reader, exist_ok=True)
