"""The fields that the configurations of all readers of single frames share."""

from __future__ import annotations

from typing import Any, ClassVar

from transformers import PreTrainedConfig

from ...backbones.image import default_pixels
from ...checks import check_range, num_classes
from ..halting import check_halting


class FrameConfig(PreTrainedConfig):
    """Backbone, frames and halting of a reader with an exit after each frame."""

    policy_fields: ClassVar[tuple[str, ...]] = ("criterion", "thresholds", "temperatures")

    backbone: dict | None = None
    """`{"model_type": "efficientnet_lite0"}`, or a transformers image model's configuration."""
    image_size: int = 224
    """Frames are resized to this square while they are decoded."""
    pixel_mean: list[float] | None = None
    """Mean of each channel of the 0-255 pixels; None: the backbone's."""
    pixel_std: list[float] | None = None
    """Standard deviation of each channel of the 0-255 pixels; None: the backbone's."""
    num_frames: int = 10
    """S: frames that are read when nothing halts."""
    criterion: str | None = None
    """One of `temporal.policies.halt.CRITERIA`. Default: `"confidence"`, or `"window"` with a
    single label, which has no probabilities."""
    thresholds: list[float] | None = None
    """Certainty at which each exit but the last answers; None: nothing halts."""
    temperatures: list[float] | None = None
    """What the logits of each exit but the last are divided by before the criterion sees them;
    None: all are 1. Scores are not scaled."""
    operating_points: list[dict] | None = None
    """Calibrated ways to run; see `temporal.models.operating_points`."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        self.backbone = self.backbone or {"model_type": "efficientnet_lite0"}
        mean, std = default_pixels(self.backbone)
        self.pixel_mean, self.pixel_std = self.pixel_mean or mean, self.pixel_std or std
        self.criterion = self.criterion or ("confidence" if num_classes(self) > 1 else "window")
        check_range("num_frames", self.num_frames, 1, 10_000)
        check_halting(self, self.num_exits)

    @property
    def num_exits(self) -> int:
        """One after each frame."""
        return self.num_frames
