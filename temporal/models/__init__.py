"""The readers: one file for each published method, named as the field names it.

A reader is imported when it is asked for: `temporal.models.SkimRNN`, `READERS["skim_rnn"]`, or
through an Auto class of transformers. A new one gets a line in `registry`, and one below for tools
that read types.
"""

from typing import TYPE_CHECKING

from ..lazy import exports
from .auto import open_auto_classes
from .auto import register as register
from .registry import READERS as READERS
from .registry import RECORDS as RECORDS
from .registry import ReaderRecord as ReaderRecord

if TYPE_CHECKING:
    from ..backbones.efficientnet_lite import EfficientNetLite0 as EfficientNetLite0
    from ..backbones.features import GivenFeatures as GivenFeatures
    from .chunks.chunk_reader import ChunkReader as ChunkReader
    from .chunks.configuration_chunk_reader import ChunkReaderConfig as ChunkReaderConfig
    from .clips.clip_early_exit import ClipEarlyExit as ClipEarlyExit
    from .clips.clip_early_exit import ClipEarlyExitConfig as ClipEarlyExitConfig
    from .clips.clip_reader import ClipReader as ClipReader
    from .clips.clip_reader import RunningMeanPolicy as RunningMeanPolicy
    from .clips.configuration_clip_reader import ClipReaderConfig as ClipReaderConfig
    from .depth.configuration_early_exit import EarlyExitConfig as EarlyExitConfig
    from .depth.early_exit import EarlyExit as EarlyExit
    from .events.configuration_event_reader import EventReaderConfig as EventReaderConfig
    from .events.event_reader import EventReader as EventReader
    from .glimpses.ada_frame import AdaFrame as AdaFrame
    from .glimpses.ada_frame import AdaFrameConfig as AdaFrameConfig
    from .glimpses.fast_forward import FastForward as FastForward
    from .glimpses.fast_forward import FastForwardConfig as FastForwardConfig
    from .glimpses.frame_glimpse import FrameGlimpse as FrameGlimpse
    from .glimpses.frame_glimpse import FrameGlimpseConfig as FrameGlimpseConfig
    from .glimpses.frame_skim_rnn import FrameSkimRNN as FrameSkimRNN
    from .glimpses.frame_skim_rnn import FrameSkimRNNConfig as FrameSkimRNNConfig
    from .glimpses.frame_skip_rnn import FrameSkipRNN as FrameSkipRNN
    from .glimpses.frame_skip_rnn import FrameSkipRNNConfig as FrameSkipRNNConfig
    from .glimpses.listen_to_look import ListenToLook as ListenToLook
    from .glimpses.listen_to_look import ListenToLookConfig as ListenToLookConfig
    from .glimpses.lite_eval import LiteEval as LiteEval
    from .glimpses.lite_eval import LiteEvalConfig as LiteEvalConfig
    from .language.configuration_video_language import VideoLanguageConfig as VideoLanguageConfig
    from .language.question import Asked as Asked
    from .language.question import Question as Question
    from .language.video_language_reader import VideoLanguageReader as VideoLanguageReader
    from .recurrent.adaptive_computation_time import (
        AdaptiveComputationTime as AdaptiveComputationTime,
    )
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
    from .video.ada_focus import AdaFocus as AdaFocus
    from .video.ada_focus import AdaFocusConfig as AdaFocusConfig
    from .video.ar_net import ARNet as ARNet
    from .video.ar_net import ARNetConfig as ARNetConfig
    from .video.configuration_frame_exit import FrameExitConfig as FrameExitConfig
    from .video.frame_exit import FrameExit as FrameExit
    from .video.oc_sampler import OCSampler as OCSampler
    from .video.oc_sampler import OCSamplerConfig as OCSamplerConfig
    from .video.sc_sampler import SCSampler as SCSampler
    from .video.sc_sampler import SCSamplerConfig as SCSamplerConfig

_OTHERS = {
    "EfficientNetLite0": "temporal.backbones.efficientnet_lite",
    "Asked": ".language.question",
    "GivenFeatures": "temporal.backbones.features",
    "Question": ".language.question",
    "RunningMeanPolicy": ".clips.clip_reader",
    "VideoLanguageConfig": ".language.configuration_video_language",
    "VideoLanguageReader": ".language.video_language_reader",
}
_NAMES = {
    name: record.module for record in RECORDS.values() for name in (record.reader, record.config)
}
__getattr__ = exports(__name__, _NAMES | _OTHERS)


def __dir__() -> list[str]:
    return sorted({*globals(), *_NAMES, *_OTHERS})


open_auto_classes()
