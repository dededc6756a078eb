"""Which reader of frames is trained by finetune_video.py, on which clips, and how it is judged."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass, field
from typing import Any

from ....models import READERS
from ....models.video.frame_training import FrameTraining
from .backbones import LITE0
from .source import ClipSource

FRAME_READERS = sorted(
    name for name, reader in READERS.items() if issubclass(reader, FrameTraining)
)
_FIT_DEFAULTS: dict[str, Any] = {
    "num_frames": 3,
    "order": "end_first",
    "snap_share": 0.05,
    "min_frames": 2,
    "exit_decay": 0.18,
    "feature_power": 0.5,
    "threshold": 0.8,
}
"""Of readers whose exits fit convexly; other readers' configurations say their own."""
_SHORT_FOR = ("num_frames", "order", "snap_share", "min_frames", "exit_decay", "feature_power")


@dataclass
class VideoArguments(ClipSource):
    """Clips, reader and protocol."""

    model: str = field(
        default="frame_exit",
        metadata={"help": f"The reader to train, one of {', '.join(FRAME_READERS)}."},
    )
    backbone: str = field(
        default=LITE0,
        metadata={
            "help": f"{LITE0}; a folder or hub id of an image model of transformers (of a video "
            "classifier for clip_reader); or its config.json, for random weights."
        },
    )
    reader_options: str = field(
        default="{}", metadata={"help": "JSON: fields of the reader's configuration."}
    )
    unfreeze: str = field(
        default="none",
        metadata={
            "help": "What of the backbone is trained, on varied pixels: none (features are made "
            "once and kept), last:K of its blocks, or all."
        },
    )
    num_frames: int | None = field(
        default=None, metadata={"help": "Frames that are read if none halts."}
    )
    order: str | None = field(default=None, metadata={"help": "Order of reading."})
    snap_share: float | None = field(
        default=None, metadata={"help": "Snap to keyframes within this share of the video."}
    )
    min_frames: int | None = field(
        default=None, metadata={"help": "Frames before the first exit answers."}
    )
    exit_decay: float | None = field(
        default=None, metadata={"help": "Weight of the squared weights."}
    )
    feature_power: float | None = field(default=None, metadata={"help": "Power of the features."})
    threshold: float | None = field(
        default=None,
        metadata={"help": "Confidence to halt at; temporal calibrate can choose another."},
    )
    views: int = field(
        default=3, metadata={"help": "Times that each training clip is read, a little shifted."}
    )
    view_shift: float = field(default=0.03, metadata={"help": "Shift, as a share of the clip."})
    crop_area: float = field(
        default=0.5, metadata={"help": "Unfrozen: least share of a frame that a crop keeps."}
    )
    flip: bool = field(default=True, metadata={"help": "Unfrozen: mirror half of the clips."})
    colour: float = field(
        default=0.2, metadata={"help": "Unfrozen: largest change of brightness, contrast, colour."}
    )
    class_weights: bool = field(
        default=True, metadata={"help": "Rare classes count as much as frequent ones."}
    )
    num_folds: int = field(
        default=5, metadata={"help": "Folds, where the data names no splits; groups stay whole."}
    )
    eval_split: str | None = field(
        default=None,
        metadata={"help": "Split that is judged. Default: all that the data names but train."},
    )
    selection_share: float = field(
        default=0.0,
        metadata={
            "help": "Of the training clips, whole groups, held out to pick the best checkpoint by. "
            "Data with a split `validation` needs none."
        },
    )
    inner_folds: int = field(
        default=0,
        metadata={
            "help": "Operating points of each fold's reader are measured by so many folds of its "
            "own training clips. With --selection_share they are measured on what that holds out."
        },
    )
    calibration_share: float = field(
        default=0.0,
        metadata={
            "help": "Keep the clips of this share of the groups out of all trainings, for "
            "temporal calibrate --task video, which finds the same clips by the same share."
        },
    )
    cache_dir: str | None = field(
        default=None,
        metadata={"help": "Where features are kept. Default: features in the output folder."},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.model not in FRAME_READERS:
            close = difflib.get_close_matches(self.model, FRAME_READERS, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"--model ({self.model!r}) must be one of {FRAME_READERS}{hint}")
        if not 1 <= self.views <= 5:
            raise ValueError(f"--views ({self.views}) must be 1 to 5")
        if self.inner_folds and self.inner_folds < 2:
            raise ValueError(f"--inner_folds ({self.inner_folds}) must be 0 (none) or at least 2")
        options = self.own_options()
        reader: Any = READERS[self.model]
        if reader.exits_fit_convexly(reader.config_class(**options)):
            for name, value in _FIT_DEFAULTS.items():
                if getattr(self, name) is None:
                    setattr(self, name, options.get(name, value))

    def own_options(self) -> dict[str, Any]:
        """Fields of the reader's configuration that were given.

        Raises:
            ValueError: one is none of its fields.
        """
        try:
            options = json.loads(self.reader_options)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"--reader_options ({self.reader_options}) must be a JSON object: {error}"
            ) from error
        if not isinstance(options, dict):
            raise ValueError(f"--reader_options ({self.reader_options}) must be a JSON object")
        short = {name: getattr(self, name) for name in _SHORT_FOR}
        given = {**{name: value for name, value in short.items() if value is not None}, **options}
        reader: Any = READERS[self.model]
        known = reader.config_class().to_dict().keys()
        for name in given:
            if name not in known or name in ("backbone", "classifier"):
                close = difflib.get_close_matches(name, known, 1)
                hint = f"did you mean {close[0]!r}?" if close else "leave it out"
                raise ValueError(
                    f"{name!r} must be a field of {reader.config_class.__name__} that --backbone "
                    f"does not set: {hint}"
                )
        return given

    def fits_convexly(self, *, several: bool) -> bool:
        """Whether the training is a convex fit on kept features."""
        reader: Any = READERS[self.model]
        config = reader.config_class(**self.own_options())
        return self.unfreeze == "none" and not several and reader.exits_fit_convexly(config)
