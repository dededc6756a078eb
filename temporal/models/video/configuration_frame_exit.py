"""Configuration of a `FrameExit`: backbone, reading order, pooling, exits and halting."""

from __future__ import annotations

import math
from typing import Any

from ...checks import check_count, check_in, check_range
from ...policies import read as read_policies
from .configuration import FrameConfig
from .pooling import POOLINGS


class FrameExitConfig(FrameConfig):
    """Backbone, reading order, pooling and halting of a `FrameExit`."""

    model_type = "frame_exit"

    processor: dict | None = None
    """Settings of the image processor that makes pixels of whole frames, its class among them,
    instead of size, mean and deviation; only with `head="classifier"`."""
    order: str | list[float] = "coarse_to_fine"
    """One of `temporal.policies.read.ORDERS`; or `"motion"`: frames between which about as much
    happens (MGSampler, told from packets: nothing is decoded for it), coarse to fine; or a list:
    the shares of the video's length at which frames are read, in reading order."""
    snap_share: float | list[float] = 0.0
    """Take the nearest keyframe where there is one within this share of the video's length: a
    keyframe is decoded alone, any other frame after all those since its keyframe. A list: the share
    of each frame, in reading order. `order=[1.0, 0.1, 0.5]` with `[1.0, 0.0, 0.0]` takes the last
    keyframe, wherever it is, then a frame soon after the first, which costs little, too."""
    motion_bins: int = 0
    """Every exit sees, beside the frames, how much moves in so many equal parts of the video, told
    from packets: nothing is decoded for it (`motion_profile` in `motion_evidence.py`). 0: not."""
    motion_weight: float = 0.5
    """What each of the profile's three parts counts for in a fit with `exit_decay`, beside the
    features of a frame: 1 is as much."""
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
        self._check_order()
        check_in("pooling", self.pooling, POOLINGS)
        check_in("head", self.head, ("exits", "classifier"))
        if self.processor is not None and self.head != "classifier":
            raise ValueError(f"processor must be None with head {self.head!r}")
        check_range("min_frames", self.min_frames, 1, self.num_frames)
        check_count("motion_bins", self.motion_bins, 0)
        if self.motion_bins and self.head == "classifier":
            raise ValueError(
                f"motion_bins ({self.motion_bins}) must be 0 with head 'classifier': a classifier "
                "of images knows no motion; train exits (scripts/finetune_video.py)"
            )
        if not 0 < self.motion_weight < math.inf:
            raise ValueError(f"motion_weight ({self.motion_weight}) must be > 0 and finite")

    def _check_order(self) -> None:
        """Raise ValueError unless it is said where and in which order all frames lie."""
        if isinstance(self.order, str):
            check_in("order", self.order, (*read_policies.ORDERS, "motion"))
        for name in ("order", "snap_share"):
            value = getattr(self, name)
            if isinstance(value, str):
                continue
            each = list(value) if isinstance(value, (list, tuple)) else [value]
            if isinstance(value, (list, tuple)) and len(each) < self.num_frames:
                raise ValueError(
                    f"{name} ({value}) must have a share for each of the num_frames "
                    f"({self.num_frames})"
                )
            for share in each:
                check_range(name, share, 0.0, 1.0)
