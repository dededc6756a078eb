"""The readers by name: a new one gets one line here. None is imported before it is asked for."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

TEXT = "AutoModelForSequenceClassification"
VIDEO = "AutoModelForVideoClassification"
DETECTION = "AutoModelForObjectDetection"


@dataclass(frozen=True, slots=True)
class ReaderRecord:
    """Where a reader is, and what loads it."""

    module: str
    """With a dot before it relative to `temporal.models`; it has both classes."""

    reader: str
    """Name of the reader's class."""

    auto_class: str
    """Name of the class of transformers whose `from_pretrained` loads such readers."""

    config: str = ""
    """Name of the configuration's class; default: the reader's with `Config` behind it."""

    model_type: str = ""
    """Of the configuration: the reader's name in `config.json`; default: the module's name."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "config", self.config or f"{self.reader}Config")
        object.__setattr__(self, "model_type", self.model_type or self.module.rpartition(".")[2])

    @property
    def path(self) -> str:
        """The module's full name."""
        return importlib.util.resolve_name(self.module, __package__)

    @property
    def reader_class(self) -> Any:
        """The reader's class; imports its module."""
        return getattr(importlib.import_module(self.path), self.reader)

    @property
    def config_class(self) -> Any:
        """The configuration's class; imports the module.

        Raises:
            ValueError: it has another `model_type` than the record.
        """
        config_class = getattr(importlib.import_module(self.path), self.config)
        if config_class.model_type != self.model_type:
            raise ValueError(
                f"model_type ({self.model_type!r}) of the record must be that of {self.config}, "
                f"{config_class.model_type!r}: without it a record has its module's name; give "
                f"ReaderRecord(..., model_type={config_class.model_type!r})"
            )
        return config_class


RECORDS: dict[str, ReaderRecord] = {
    record.model_type: record
    for record in (
        ReaderRecord(".recurrent.skim_rnn", "SkimRNN", TEXT),
        ReaderRecord(".recurrent.skip_rnn", "SkipRNN", TEXT),
        ReaderRecord(".recurrent.leap_lstm", "LeapLSTM", TEXT),
        ReaderRecord(".recurrent.variable_rnn", "VariableRNN", TEXT),
        ReaderRecord(".recurrent.hm_rnn", "HMRNN", TEXT),
        ReaderRecord(".recurrent.lstm_jump", "LSTMJump", TEXT),
        ReaderRecord(".recurrent.lstm_shuttle", "LSTMShuttle", TEXT),
        ReaderRecord(".recurrent.structural_jump_lstm", "StructuralJumpLSTM", TEXT),
        ReaderRecord(".recurrent.jumper", "Jumper", TEXT),
        ReaderRecord(".recurrent.adaptive_computation_time", "AdaptiveComputationTime", TEXT),
        ReaderRecord(".depth.early_exit", "EarlyExit", TEXT),
        ReaderRecord(".chunks.chunk_reader", "ChunkReader", TEXT),
        ReaderRecord(".video.frame_exit", "FrameExit", VIDEO),
        ReaderRecord(".glimpses.ada_frame", "AdaFrame", VIDEO),
        ReaderRecord(".glimpses.fast_forward", "FastForward", VIDEO),
        ReaderRecord(".glimpses.frame_glimpse", "FrameGlimpse", VIDEO),
        ReaderRecord(".glimpses.lite_eval", "LiteEval", VIDEO),
        ReaderRecord(".glimpses.listen_to_look", "ListenToLook", VIDEO),
        ReaderRecord(".glimpses.frame_skip_rnn", "FrameSkipRNN", VIDEO),
        ReaderRecord(".glimpses.frame_skim_rnn", "FrameSkimRNN", VIDEO),
        ReaderRecord(".video.sc_sampler", "SCSampler", VIDEO),
        ReaderRecord(".video.oc_sampler", "OCSampler", VIDEO),
        ReaderRecord(".video.ar_net", "ARNet", VIDEO),
        ReaderRecord(".video.ada_focus", "AdaFocus", VIDEO),
        ReaderRecord(".clips.clip_reader", "ClipReader", VIDEO),
        ReaderRecord(".clips.clip_early_exit", "ClipEarlyExit", VIDEO),
        ReaderRecord(".events.event_reader", "EventReader", DETECTION),
    )
}
"""Records by the `model_type` of their configuration, in the order that users are shown."""


class Readers(Mapping[str, Any]):
    """The readers' classes by `model_type`; taking one imports it, and no other."""

    def __getitem__(self, model_type: str) -> Any:
        return RECORDS[model_type].reader_class

    def __contains__(self, model_type: object) -> bool:
        return model_type in RECORDS

    def __iter__(self) -> Iterator[str]:
        return iter(RECORDS)

    def __len__(self) -> int:
        return len(RECORDS)


READERS = Readers()
"""Readers by the `model_type` of their configuration."""
