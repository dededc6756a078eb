"""The configuration of `EventReader`."""

from __future__ import annotations

from typing import Any, ClassVar

from transformers import PreTrainedConfig

from ...backbones.image import default_pixels
from ...checks import check_count, check_in, check_range

HALTS = ("all", "first")


class EventReaderConfig(PreTrainedConfig):
    """Backbone, places, levels and thresholds of an `EventReader`.

    `id2label` names the labels; each is scored for itself, so several may happen at a time.
    """

    model_type = "event_reader"
    policy_fields: ClassVar[tuple[str, ...]] = ("event_threshold",)

    backbone: dict | None = None
    """`{"model_type": "efficientnet_lite0"}`, or a transformers image model's configuration."""
    image_size: int = 224
    """Frames that are read are resized to this square."""
    small_size: int | None = 112
    """Frames that are glanced at first; None: none are."""
    pixel_mean: list[float] | None = None
    """Mean of each channel of the 0-255 pixels; None: the backbone's."""
    pixel_std: list[float] | None = None
    """Standard deviation of each channel of the 0-255 pixels; None: the backbone's."""
    feature_power: float = 0.5
    """Features are raised to this power (keeping their sign)."""
    profile_bins: int = 8
    """Parts of a place of which packets tell how much moves; 0: packets are not asked."""
    place_seconds: float = 10.0
    """About how long a place is: spans between keyframes from a quarter to one and a half of it
    stay as they are, see `make_places`."""
    gap_seconds: float = 0.0
    """Places of one label that lie at most so far apart are one event."""
    border_seconds: float | None = 2.0
    """Start and end of an event are looked for until each is known to lie within so many seconds,
    and said to be in the middle of these. None: they are where places begin and end."""
    halt: str = "all"
    """`"all"`: every event is looked for. `"first"`: the reading halts at the first place that is
    certain; more may follow."""
    event_threshold: float = 0.5
    """Score at which a place that was read belongs to an event, 0 to 1. The lower, the less is
    missed, and the more is read: places are skipped by scores that fall short of it, too. At 0
    nothing is skipped, and everything is an event."""
    small_margin: float | None = None
    """By how much the score of a place's small frames must fall short of `event_threshold`, as
    log-odds, for the place to be decided: nothing happens there. None: all that is glanced at is
    read."""
    packets_margin: float | None = None
    """As `small_margin`, of the score by packets: the place is not decoded. None: all are."""
    operating_points: list[dict] | None = None
    """Calibrated ways to run; see `temporal.models.operating_points`."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        self.backbone = self.backbone or {"model_type": "efficientnet_lite0"}
        mean, std = default_pixels(self.backbone)
        self.pixel_mean, self.pixel_std = self.pixel_mean or mean, self.pixel_std or std
        check_count("image_size", self.image_size, 1)
        if self.small_size is not None:
            check_count("small_size", self.small_size, 1)
        check_count("profile_bins", self.profile_bins, 0)
        check_in("halt", self.halt, HALTS)
        for name in ("place_seconds", "border_seconds"):
            seconds = getattr(self, name)
            if not (seconds is None and name == "border_seconds" or 0 < seconds < float("inf")):
                raise ValueError(f"{name} ({seconds!r}) must be > 0 and finite, in seconds")
        check_range("gap_seconds", self.gap_seconds, 0.0, float("inf"))
        check_range("event_threshold", self.event_threshold, 0.0, 1.0)
        for name in ("small_margin", "packets_margin"):
            margin = getattr(self, name)
            if margin is not None:
                check_range(name, margin, -50.0, 50.0)
