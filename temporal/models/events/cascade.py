"""What is decided about each place of a video, from levels that cost more and more.

Packets score every place and decode nothing; a glance at small frames scores what they leave open;
frames of full size score what that leaves open. `Scores` holds what each level said, and what
follows from it under given thresholds: the reader asks it what to look at next, and a calibration
asks what other thresholds would have done, from one reading in which nothing was skipped.

P places, K labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .event import Event
from .places import Places
from .timeline import events_of

PACKETS, SMALL, FULL = 0, 1, 2
LEVELS = ("packets", "small", "full")

Flags = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True)
class Thresholds:
    """Scores from which something is done, 0 to 1."""

    event: float
    """A place that full frames score so high belongs to an event."""
    small: float
    """A place that small frames score so high is read in full."""
    packets: float
    """A place that packets score so high is glanced at."""

    @classmethod
    def of(cls, config: Any, event: float | None = None) -> Thresholds:
        """Those of an `EventReaderConfig`, at its own `event_threshold` or another."""
        event = config.event_threshold if event is None else event
        return cls(
            event=event,
            small=_short_of(event, config.small_margin),
            packets=_short_of(event, config.packets_margin),
        )


def _short_of(threshold: float, margin: float | None) -> float:
    """The score that falls short of a threshold by a margin, as log-odds."""
    if margin is None or threshold <= 0:
        return 0.0
    if threshold >= 1:
        return 1.0
    odds = threshold / (1 - threshold) * math.exp(-margin)
    return odds / (1 + odds)


class Scores:
    """What each level said of each place of one video.

    Args:
        places: of the video.
        labels: names of the K labels.
        glances: whether there is a level of small frames.
    """

    def __init__(self, places: Places, labels: Sequence[str], *, glances: bool = True) -> None:
        self.places, self.labels, self.glances = places, list(labels), glances
        shape = (len(LEVELS), len(places), len(self.labels))
        self.levels = np.full(shape, np.nan, dtype=np.float32)
        """`[3, P, K]`, 0 to 1; NaN where a level was not asked, or its frames cannot be had."""

    def open_after_packets(self, thresholds: Thresholds) -> Flags:
        """`[P]`: places whose frames are to be seen."""
        return self._reaches(PACKETS, thresholds.packets)

    def open_after_small(self, thresholds: Thresholds) -> Flags:
        """`[P]`: places that are to be read in full."""
        is_open_P = self.open_after_packets(thresholds)
        return is_open_P & self._reaches(SMALL, thresholds.small) if self.glances else is_open_P

    def read_in_full(self, thresholds: Thresholds) -> Flags:
        """`[P]`: places that are read: those left open, and others beside an event.

        Where an event begins, cheaper levels are least sure of it. So a run of places that reach
        the threshold is read whole if any of it is, with the place before and the one behind it.
        """
        is_read_P = self.open_after_small(thresholds).copy()
        reaches_P = self._reaches(FULL, thresholds.event)
        edges = np.flatnonzero(np.diff(reaches_P, prepend=False, append=False))
        for start, stop in edges.reshape(-1, 2).tolist():
            if is_read_P[start:stop].any():
                is_read_P[max(start - 1, 0) : stop + 1] = True
        return is_read_P

    def final(self, thresholds: Thresholds) -> NDArray[np.float32]:
        """`[P, K]`: what is decided of each place, by the last level that is asked.

        Only full frames say that something happens: of a place that was skipped before, or cannot
        be read, the score stays below the threshold.
        """
        kept_P, read_P = self.open_after_packets(thresholds), self.open_after_small(thresholds)
        # Of what a reading that halted left beside an event, the level before tells.
        read_P |= self.read_in_full(thresholds) & np.isfinite(self.levels[FULL]).all(-1)
        level_P = np.where(read_P, FULL, np.where(kept_P & self.glances, SMALL, PACKETS))
        said_PK = self.levels[level_P, np.arange(len(level_P))]
        below = np.nextafter(np.float32(thresholds.event), np.float32(-1))
        is_said_PK = (level_P == FULL)[:, None] & np.isfinite(said_PK)
        # NaN (cannot be had): nothing is known, and nothing found.
        others_PK = np.clip(np.nan_to_num(said_PK, nan=0.0), 0.0, max(float(below), 0.0))
        return np.where(is_said_PK, said_PK, others_PK).astype(np.float32)

    def events(self, thresholds: Thresholds, gap_seconds: float = 0.0) -> list[Event]:
        """The events, from where their first places begin to where their last ones end."""
        final_PK, places = self.final(thresholds), self.places
        rows = zip(places.start_P.tolist(), places.end_P.tolist(), final_PK.tolist(), strict=True)
        # As float32, which the scores are.
        threshold = float(np.float32(thresholds.event))
        return events_of(rows, self.labels, threshold=threshold, gap_seconds=gap_seconds)

    def counts(self) -> dict[str, int]:
        """How many places each level scored, and how many there are."""
        scored = np.isfinite(self.levels).any(-1).sum(-1).tolist()
        return {"places": len(self.places), **dict(zip(LEVELS, scored, strict=True))}

    def _reaches(self, level: int, threshold: float) -> Flags:
        # NaN reaches nothing, except where nothing is asked for.
        said_PK = np.nan_to_num(self.levels[level], nan=0.0)
        return (said_PK >= np.float32(threshold)).any(-1)
