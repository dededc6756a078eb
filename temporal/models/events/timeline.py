"""From scores of places, in the order of time, to events: what happens from when to when.

A place is a span of time, with a score from 0 to 1 for each label. Places of a label that reach
`threshold` make an event, and those of one event lie at most `gap_seconds` apart. It is certain as
soon as a place of it reaches `certain`, or when it is over. Nothing here knows of frames or models,
and nothing is kept but what is open: it serves streams that never end, too.

K labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...checks import check_range
from .event import Event


@dataclass(slots=True)
class _Run:
    """Places of one label that make one event."""

    start: float
    end: float
    peak: float
    told: bool = False


class EventTracker:
    """Takes places in the order of time; tells events when they are certain and when they are over.

        tracker = EventTracker(["train"], threshold=0.5, certain=0.9)
        for start, end, scores in places:
            for event in tracker.take(start, end, scores):
                print(event.label, event.start_seconds, event.delay_seconds, event.is_open)
        events += tracker.finish()

    An event that becomes certain before it is over is told twice: `is_open` at first, and then
    with its end. So those that are not `is_open` are all events, each once.

    Args:
        labels: names of the K classes.
        threshold: score from which a place belongs to an event, 0 to 1.
        certain: score of a place that makes its event certain at once, at least `threshold`; None:
            no event is told before it is over.
        gap_seconds: places of one label that lie further apart are two events.

    Raises:
        ValueError: a number is out of its range.
    """

    def __init__(
        self,
        labels: Sequence[str],
        *,
        threshold: float = 0.5,
        certain: float | None = None,
        gap_seconds: float = 0.0,
    ) -> None:
        check_range("threshold", threshold, 0.0, 1.0)
        check_range("gap_seconds", gap_seconds, 0.0, float("inf"))
        if certain is not None:
            check_range("certain", certain, threshold, float("inf"))
        self.labels, self.threshold = list(labels), threshold
        self.certain, self.gap_seconds = certain, gap_seconds
        self._open: list[_Run | None] = [None] * len(self.labels)
        self._seen_until = 0.0

    def take(
        self, start_seconds: float, end_seconds: float, scores: Sequence[float]
    ) -> list[Event]:
        """Take the next place.

        Args:
            start_seconds: where it begins, not before the last one did.
            end_seconds: where it ends, not before it begins.
            scores: `[K]`, 0 to 1.

        Returns:
            The events that are told now, as `Event.is_open` says.

        Raises:
            ValueError: the place lies before the last one, or scores are not one for each label.
        """
        if len(scores) != len(self.labels):
            raise ValueError(f"scores ({len(scores)}) must be one for each of {self.labels}")
        if not start_seconds <= end_seconds:
            raise ValueError(f"end_seconds ({end_seconds}) must be >= start ({start_seconds})")
        self._seen_until = max(self._seen_until, end_seconds)
        told: list[Event] = []
        for k, score in enumerate(scores):
            if score >= self.threshold:
                told += self._extend(k, start_seconds, end_seconds, float(score))
            else:
                run = self._open[k]
                if run is not None and end_seconds - run.end > self.gap_seconds:
                    told += self._close(k)
        return told

    def finish(self) -> list[Event]:
        """Tell what is open, at the end of the video."""
        return [event for k in range(len(self.labels)) for event in self._close(k)]

    def _extend(self, k: int, start: float, end: float, score: float) -> list[Event]:
        run, told = self._open[k], []
        if run is not None and start - run.end > self.gap_seconds:
            told, run = self._close(k), None
        if run is None:
            run = self._open[k] = _Run(start, end, score)
        else:
            if start < run.start:
                raise ValueError(f"start_seconds ({start}) must not lie before {run.start}")
            run.end, run.peak = max(run.end, end), max(run.peak, score)
        if self.certain is not None and not run.told and run.peak >= self.certain:
            run.told = True
            told.append(self._event(k, run, is_open=True))
        return told

    def _close(self, k: int) -> list[Event]:
        run, self._open[k] = self._open[k], None
        return [] if run is None else [self._event(k, run, is_open=False)]

    def _event(self, k: int, run: _Run, *, is_open: bool) -> Event:
        return Event(
            start_seconds=run.start,
            end_seconds=run.end,
            label=self.labels[k],
            score=run.peak,
            is_open=is_open,
            told_seconds=self._seen_until,
        )


def events_of(
    places: Iterable[tuple[float, float, Sequence[float]]],
    labels: Sequence[str],
    *,
    threshold: float = 0.5,
    gap_seconds: float = 0.0,
) -> list[Event]:
    """All events of a video whose places are known, by start.

    Args:
        places: start and end in seconds and scores `[K]` of each, in the order of time.
        labels: names of the K classes.
        threshold, gap_seconds: see `EventTracker`.
    """
    tracker = EventTracker(labels, threshold=threshold, gap_seconds=gap_seconds)
    events = [event for place in places for event in tracker.take(*place)] + tracker.finish()
    return sorted(events, key=lambda event: (event.start_seconds, event.label))
