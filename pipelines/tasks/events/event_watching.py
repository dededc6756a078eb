"""Events of a stream that never ends: told when they are certain, with their delay.

Each window of the stream is read as a video is. What was found in it goes, in the order of time,
into the tracker that makes events of places: so an event that goes on from one window into the next
is one event, and what is open at the end is told.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from temporal.data.live import LiveVideo, LiveWindow
from temporal.engine import Engine
from temporal.models.events.event import Event
from temporal.models.events.timeline import EventTracker
from temporal.trace import Cost

from ...reading_errors import describe_error

_ANYTHING = 1e-6
"""Score from which a part of a window belongs to an event: the reader has decided which do."""
_SAME = 1e-3  # seconds: windows touch, but for rounding
_MOST_WINDOWS = 2048  # of which it is remembered when their frames came: some megabytes


@dataclass(kw_only=True, slots=True)
class WatchCounts:
    """What a watch has done so far."""

    windows_read: int = 0
    """Windows in which events were looked for."""

    windows_failed: int = 0
    """Windows that could not be read: what happened in them is not known."""

    latest_fault: str | None = None
    """Why the latest of them could not."""

    told: int = 0
    """Events that were told as over."""

    cost: Cost = Cost()
    """What reading cost."""


class EventWatch:
    """Watches a stream with an event reader.

        watch = EventWatch(pipe, LiveVideo(sys.stdin.buffer, overlap=True), certain=0.9)
        for told in watch:
            print(told["label"], told["start_seconds"], told["delay_seconds"], told["is_open"])

    Args:
        pipe: of the task `video-event-detection`.
        live: the stream, with `overlap=True`, not begun.
        certain: score from which an event is told while it goes on; it is told once more when it
            is over. None: it is told when it is over, only.

    Raises:
        ValueError: the windows do not overlap, so that what happens between them would be missed;
            or the reader halts at the first event.
    """

    counts: WatchCounts
    """What was done so far; `live.counts` says what came."""

    def __init__(self, pipe: Any, live: LiveVideo, *, certain: float | None = None) -> None:
        if not live.overlap:
            raise ValueError("live (LiveVideo) must have overlap=True: windows without a gap")
        self.live, self.counts = live, WatchCounts()
        self._reader, self._batch_size = pipe.reader, pipe.batch_size
        config = pipe.model.config
        if config.halt != "all":
            raise ValueError(
                f"pipe's reader halts at the {config.halt} event of a window; make it with "
                "pipeline(..., halt='all')"
            )
        self._labels: Sequence[str] = pipe.reader.labels
        self._tracker = EventTracker(
            self._labels,
            threshold=_ANYTHING,
            certain=certain,
            gap_seconds=config.gap_seconds + _SAME,
        )
        self._arrived: deque[tuple[Any, Any]] = deque(maxlen=_MOST_WINDOWS)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield what is told: the fields of `Event`, and its delays.

        `delay_seconds` is from the event's start until the end of what had been seen, on the
        stream's clock; `wall_delay_seconds` from when the event's first frame came until now.

        Raises:
            VideoError: the stream cannot be opened.
        """
        with closing(self._events()) as events:
            for event in events:
                self.counts.told += not event.is_open
                yield self._told(event)

    def _events(self) -> Generator[Event, None, None]:
        for window in self.live:
            start = window.start_seconds - self.live.start_seconds
            times = window.index.timestamps_seconds - window.start_seconds
            self._arrived.append((start + times, window.arrived_seconds))
            found = self._read(window)
            if found is not None:
                yield from self._track(found, start, float(times[-1]))
            window.close()
        yield from self._tracker.finish()

    def _read(self, window: LiveWindow) -> Sequence[Event] | None:
        """The events of a window, on its own clock; None: it cannot be read."""
        engine = Engine(1, max_batch_size=self._batch_size, num_threads=1)
        sources: list[Any] = [window]
        (outcome,) = engine.run(self._reader.read, sources)
        if outcome.trace is not None:
            self.counts.cost += outcome.trace.cost
        if outcome.error is not None:
            fault = describe_error(outcome.error)
            self.counts.windows_failed += 1
            self.counts.latest_fault = f"{window.id}: {fault.reason}: {fault.message}"
            return None
        self.counts.windows_read += 1
        events: Sequence[Event] = outcome.value.events
        return events

    def _track(self, events: Sequence[Event], start: float, seconds: float) -> Iterator[Event]:
        """Give the tracker the parts of a window between which an event begins or ends."""
        borders = {0.0, seconds}
        for event in events:
            borders |= {
                min(max(border, 0.0), seconds)
                for border in (event.start_seconds, event.end_seconds)
            }
        edges = sorted(borders)
        # A window of one frame is a moment.
        for first, last in zip(edges, edges[1:] or edges, strict=False):
            scores = [0.0] * len(self._labels)
            for event in events:
                if event.start_seconds <= first and last <= event.end_seconds:
                    k = self._labels.index(event.label)
                    scores[k] = max(scores[k], event.score, 2 * _ANYTHING)
            for told in self._tracker.take(start + first, start + last, scores):
                # The whole window had been seen.
                yield replace(told, told_seconds=start + seconds)

    def _told(self, event: Event) -> dict[str, Any]:
        came = self._came(event.start_seconds)
        return {
            **asdict(event),
            "delay_seconds": event.delay_seconds,
            "wall_delay_seconds": None if came is None else time.time() - came,
        }

    def _came(self, seconds: float) -> float | None:
        """When the frame that is shown at a time came; None: that is forgotten."""
        for times, came in reversed(self._arrived):
            if times[0] <= seconds:
                return float(came[max(0, int(np.searchsorted(times, seconds, "right")) - 1)])
        return None
