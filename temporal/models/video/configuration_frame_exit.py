"""Configuration of a `FrameExit`: backbone, reading order, pooling, exits and halting."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedConfig

from ...backbones.image import default_pixels
from ...checks import check_in, check_range, num_classes
from ...policies import read as read_policies
from ..halting import check_halting
from .pooling import POOLINGS


class FrameExitConfig(PreTrainedConfig):
    """Backbone, reading order, pooling and halting of a `FrameExit`."""

    model_type = "frame_exit"
    policy_fields = ("criterion", "thresholds", "temperatures")

    backbone: dict | None = None
    """`{"model_type": "efficientnet_lite0"}`, or a transformers image model's configuration."""
    image_size: int = 224
    """Frames are resized to this square while they are decoded."""
    pixel_mean: list[float] | None = None
    """Mean of each channel of the 0-255 pixels; None: the backbone's."""
    pixel_std: list[float] | None = None
    """Standard deviation of each channel of the 0-255 pixels; None: the backbone's."""
    processor: dict | None = None
    """Settings of the image processor that makes pixels of whole frames, its class among them,
    instead of the three above; only with `head="classifier"`."""
    num_frames: int = 10
    """S: frames that are read when nothing halts."""
    order: str = "coarse_to_fine"
    """One of `temporal.policies.read.ORDERS`."""
    snap_share: float = 0.0
    """Take the nearest keyframe where there is one within this share of the video's length: a
    keyframe is decoded alone, any other frame after all those since its keyframe."""
    pooling: str = "max"
    """One of `temporal.models.video.pooling.POOLINGS`."""
    head: str = "exits"
    """`"exits"`: a trained head at every step. `"classifier"`: the backbone's own classes, averaged
    over frames; needs no training."""
    feature_power: float = 1.0
    """Features are raised to this power (keeping their sign) before pooling. 0.5 keeps a few
    strong features from drowning the others (Perronnin et al., ECCV 2010, section 3.1)."""
    dropout: float = 0.0
    """On the pooled state, in training."""
    exit_decay: float = 0.0
    """Weight of the exits' squared weights in the loss."""
    min_frames: int = 1
    """Frames that are read before the first exit may answer."""
    gate: bool = False
    """Halt by the learned gate of the paper rather than by `criterion`."""
    gate_beta: float = 0.5
    """beta of the gate's training targets: larger accepts worse exits, and halts earlier."""
    criterion: str | None = None
    """One of `temporal.policies.halt.CRITERIA`; not used with `gate`. Default: `"confidence"`, or
    `"window"` with a single label, which has no probabilities."""
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
        check_in("order", self.order, read_policies.ORDERS)
        check_in("pooling", self.pooling, POOLINGS)
        check_in("head", self.head, ("exits", "classifier"))
        if self.processor is not None and self.head != "classifier":
            raise ValueError(f"processor must be None with head {self.head!r}")
        check_range("num_frames", self.num_frames, 1, 10_000)
        check_range("min_frames", self.min_frames, 1, self.num_frames)
        check_range("snap_share", self.snap_share, 0.0, 1.0)
        check_halting(self, self.num_exits)

    @property
    def num_exits(self) -> int:
        """One after each frame."""
        return self.num_frames
