"""The readers: one file for each published method, named as the field names it."""

from typing import Any

from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoModelForVideoClassification,
)

from ..backbones.efficientnet_lite import EfficientNetLite0 as EfficientNetLite0
from .chunks.chunk_reader import ChunkReader as ChunkReader
from .chunks.configuration_chunk_reader import ChunkReaderConfig as ChunkReaderConfig
from .depth.configuration_early_exit import EarlyExitConfig as EarlyExitConfig
from .depth.early_exit import EarlyExit as EarlyExit
from .recurrent.adaptive_computation_time import AdaptiveComputationTime as AdaptiveComputationTime
from .recurrent.adaptive_computation_time import (
    AdaptiveComputationTimeConfig as AdaptiveComputationTimeConfig,
)
from .recurrent.hm_rnn import HMRNN as HMRNN
from .recurrent.hm_rnn import HMRNNConfig as HMRNNConfig
from .recurrent.jumper import Jumper as Jumper
from .recurrent.jumper import JumperConfig as JumperConfig
from .recurrent.leap_lstm import LeapLSTM as LeapLSTM
from .recurrent.leap_lstm import LeapLSTMConfig as LeapLSTMConfig
from .recurrent.lstm_jump import LSTMJump as LSTMJump
from .recurrent.lstm_jump import LSTMJumpConfig as LSTMJumpConfig
from .recurrent.lstm_shuttle import LSTMShuttle as LSTMShuttle
from .recurrent.lstm_shuttle import LSTMShuttleConfig as LSTMShuttleConfig
from .recurrent.skim_rnn import SkimRNN as SkimRNN
from .recurrent.skim_rnn import SkimRNNConfig as SkimRNNConfig
from .recurrent.skip_rnn import SkipRNN as SkipRNN
from .recurrent.skip_rnn import SkipRNNConfig as SkipRNNConfig
from .recurrent.structural_jump_lstm import StructuralJumpLSTM as StructuralJumpLSTM
from .recurrent.structural_jump_lstm import StructuralJumpLSTMConfig as StructuralJumpLSTMConfig
from .recurrent.variable_rnn import VariableRNN as VariableRNN
from .recurrent.variable_rnn import VariableRNNConfig as VariableRNNConfig
from .video.clip_reader import ClipReader as ClipReader
from .video.clip_reader import RunningMeanPolicy as RunningMeanPolicy
from .video.configuration_frame_exit import FrameExitConfig as FrameExitConfig
from .video.frame_exit import FrameExit as FrameExit

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
