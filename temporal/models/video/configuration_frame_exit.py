"""Configuration of a `FrameExit`: backbone, reading order, pooling, exits and halting."""

from __future__ import annotations

from typing import Any

from ...checks import check_in, check_range
from ...policies import read as read_policies
from .configuration import FrameConfig
from .pooling import POOLINGS


class FrameExitConfig(FrameConfig):
    """Backbone, reading order, pooling and halting of a `FrameExit`."""

    model_type = "frame_exit"

    processor: dict | None = None
    """Settings of the image processor that makes pixels of whole frames, its class among them,
    instead of size, mean and deviation; only with `head="classifier"`."""
    order: str = "coarse_to_fine"
    """One of `temporal.policies.read.ORDERS`; or `"motion"`: frames between which about as much
    happens (MGSampler, told from packets: nothing is decoded for it), coarse to fine."""
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
    standardise_each: bool = True
    """Every feature is brought to a deviation of 1 before an exit sees it. False: all by one
    factor, for features whose size tells what matters (principal components): the smallest of
    these are noise, which would otherwise count as much as the largest."""
    dropout: float = 0.0
    """On the pooled state, in training."""
    exit_decay: float = 0.0
    """Weight of the exits' squared weights in the loss."""
    min_frames: int = 1
    """Frames that are read before the first exit may answer."""
    gate: bool = False
    """Halt by the learned gate of the paper; `criterion` is then not used."""
    gate_beta: float = 0.5
    """beta of the gate's training targets: larger accepts worse exits, and halts earlier."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        check_in("order", self.order, (*read_policies.ORDERS, "motion"))
        check_in("pooling", self.pooling, POOLINGS)
        check_in("head", self.head, ("exits", "classifier"))
        if self.processor is not None and self.head != "classifier":
            raise ValueError(f"processor must be None with head {self.head!r}")
        check_range("min_frames", self.min_frames, 1, self.num_frames)
        check_range("snap_share", self.snap_share, 0.0, 1.0)
