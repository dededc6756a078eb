"""Configuration of a `ClipReader`: the classifier of its clips, their places, and when it halts."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from transformers import AutoConfig, PreTrainedConfig

from ...checks import check_count, check_in, check_range, num_classes
from ...policies.read import ORDERS
from ..halting import check_halting
from .reduced_clips import REDUCTIONS

_LENGTHS = ("num_frames", "frames_per_clip")
_SIZES = ("image_size", "crop_size")
"""What families call the frames of a clip and their size."""


class ClipReaderConfig(PreTrainedConfig):
    """The classifier's own configuration, which clips are read, and when reading halts."""

    model_type = "clip_reader"
    policy_fields: ClassVar[tuple[str, ...]] = (
        "criterion",
        "thresholds",
        "temperatures",
        "max_share",
        "token_threshold",
        "keep_share",
    )

    classifier: dict | None = None
    """Configuration of a video classifier of transformers, with its `model_type`."""
    processor: dict | None = None
    """Settings of the processor that makes pixels of whole frames, its class among them. None:
    frames are scaled to the classifier's image size while they are decoded, and normalised by the
    two fields below."""
    pixel_mean: list[float] | None = None
    """Mean of each channel of the 0-255 pixels; None: 127.5."""
    pixel_std: list[float] | None = None
    """Standard deviation of each channel of the 0-255 pixels; None: 127.5."""
    num_clips: int | None = 4
    """Clips that cover a video when nothing halts; None: the one clip that the pipeline of
    transformers takes: the video's first frames, or frames from all over it where the processor is
    one of videos. `order` may spread it over the video."""
    order: str = "coarse_to_fine"
    """In which order clips are read, one of `temporal.policies.read.ORDERS`; or `"motion"`: clips
    between which about as much happens (MGSampler, told from packets: nothing is decoded for it),
    coarse to fine. Of the one clip of `num_clips=None` these are the frames: `"uniform"` takes them
    from all over the video, `"motion"` where it moves, and the others as transformers does."""
    sampling_rate: int = 4
    """Frames from one frame of a clip to the next."""
    num_frames: int | None = None
    """Frames of a clip; None: the classifier's."""
    criterion: str | None = None
    """One of `temporal.policies.halt.CRITERIA`, asked of the running mean. Default: `"confidence"`,
    or `"window"` with a single label, which has no probabilities."""
    thresholds: list[float] | None = None
    """Certainty at which reading halts after each clip but the last; None: nothing halts."""
    temperatures: list[float] | None = None
    """What the running mean after each clip but the last is divided by before the criterion sees
    it; None: all are 1."""
    max_share: float = 1.0
    """Share of the clips that may be read, at least one."""
    token_reduction: str | None = None
    """How a clip has fewer tokens, of the families in `temporal.backbones.video`: `"run_length"`
    drops patches that do not change, `"merge"` makes one of tokens that are alike; None: it has all
    of them, and any video classifier will do."""
    token_threshold: float | None = 0.1
    """`"run_length"`: mean change of the normalised pixels of a patch up to which it is dropped;
    None: nothing is dropped."""
    keep_share: float = 0.5
    """`"merge"`: share of a clip's tokens that are left after the last layer, about as many merged
    in each; 1.0: nothing is merged."""
    operating_points: list[dict] | None = None
    """Calibrated ways to run; see `temporal.models.operating_points`."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        self.pixel_mean = self.pixel_mean or [127.5] * 3
        self.pixel_std = self.pixel_std or [127.5] * 3
        self.criterion = self.criterion or ("confidence" if num_classes(self) > 1 else "window")
        if self.classifier is None:
            return  # transformers builds an empty configuration to compare with
        if self.num_frames is None:
            self.num_frames = _first_of(self.classifier_config(), _LENGTHS) or 16
        if self.num_clips is not None:
            check_count("num_clips", self.num_clips, 1)
        check_in("order", self.order, (*ORDERS, "motion"))
        check_count("sampling_rate", self.sampling_rate, 1)
        check_count("num_frames", self.num_frames, 1)
        check_range("max_share", self.max_share, 0.0, 1.0)
        check_halting(self, self.num_exits)
        if self.token_reduction is not None:
            check_in("token_reduction", self.token_reduction, REDUCTIONS)
        if self.token_threshold is not None:
            check_range("token_threshold", self.token_threshold, 0.0, math.inf)
        check_range("keep_share", self.keep_share, 0.0, 1.0)

    @property
    def num_exits(self) -> int:
        """One after each clip."""
        return self.num_clips or 1

    @property
    def frame_size(self) -> tuple[int, int]:
        """Height and width of the frames that the classifier sees, where no processor decides."""
        side = _first_of(self.classifier_config(), _SIZES) or 224
        height, width = (side, side) if isinstance(side, int) else side
        return height, width

    def classifier_config(self) -> PreTrainedConfig:
        """The classifier's configuration as an object."""
        fields = dict(self.classifier or {})
        return AutoConfig.for_model(fields.pop("model_type"), **fields)


def _first_of(config: Any, names: tuple[str, ...]) -> Any:
    return next((value for name in names if (value := getattr(config, name, None))), None)
