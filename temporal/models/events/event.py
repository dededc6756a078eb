"""`Event`: what happens in a video from when to when; `EventsFound`: all that was found in one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that happens in a video, and when.

    Times are seconds from the video's first frame (of a stream: on its clock).
    """

    start_seconds: float
    """When it begins; 0 where the video begins inside it."""

    end_seconds: float
    """When it is over; of one that `is_open`, until when it has been seen."""

    label: str
    """What happens: the name of its class."""

    score: float
    """How sure it is, 0 to 1: the most certain place inside."""

    is_open: bool = False
    """It goes on where the reading has come to: it was certain before it was over. The same event
    (the same label and start) is told once more when it is over."""

    told_seconds: float | None = None
    """Until when the video had been seen when this was told; None: after the whole reading."""

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return self.end_seconds - self.start_seconds

    @property
    def delay_seconds(self) -> float | None:
        """From its start until it was told; None: it was told after the whole reading."""
        return None if self.told_seconds is None else self.told_seconds - self.start_seconds

    def overlap_seconds(self, start_seconds: float, end_seconds: float) -> float:
        """How much of it lies between two times."""
        first = max(self.start_seconds, start_seconds)
        return max(0.0, min(self.end_seconds, end_seconds) - first)


@dataclass(frozen=True, kw_only=True, slots=True)
class EventsFound:
    """What a reading of one video found; no events are an answer, too."""

    events: tuple[Event, ...] = ()
    """By start, then by label."""

    scores: Mapping[str, float] = field(default_factory=dict)
    """For each label how sure it is that it happens anywhere, 0 to 1: the most certain place that
    was looked at. There where no event was found, too."""

    is_complete: bool = True
    """Every place was decided. False: the reading halted at the first event that was certain, and
    more may follow."""

    counts: Mapping[str, int] = field(default_factory=dict)
    """How many `places` there are, and how many of them each level scored: `packets`, `small` and
    `full`."""

    @property
    def score(self) -> float:
        """Of the likeliest label; 0 without any."""
        return max(self.scores.values(), default=0.0)

    def best_first(self) -> tuple[Event, ...]:
        """The events by falling score."""
        return tuple(sorted(self.events, key=lambda event: -event.score))
