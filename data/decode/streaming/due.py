"""When the next frame of a stream is due: at each multiple of an interval after the first."""

from __future__ import annotations

import math
from fractions import Fraction

_HALF = Fraction(1, 2)


class DueTimes:
    """Multiples of an interval, counted from the first frame that is given.

    Args:
        every_seconds: The interval; 0: every frame is due.
        time_base: Seconds per tick of the times below.
    """

    origin: int | None
    """Ticks of the first frame; None before it."""

    next: int | None
    """Ticks from which a frame is due; None: any frame is."""

    def __init__(self, every_seconds: float, time_base: Fraction) -> None:
        self.origin = self.next = None
        # As the decimal that was meant: the float 0.2 is a little more than 5 frames of 25.
        self._every_ticks = Fraction(every_seconds).limit_denominator(1_000_000) / time_base

    def includes(self, ticks: int | None) -> bool:
        """Whether a frame of this time, which may not be known, is due."""
        return ticks is None or self.next is None or ticks >= self.next

    def give(self, ticks: int) -> None:
        """A frame was given: the next is due at the next multiple of the interval."""
        if self.origin is None:
            self.origin = ticks
        if self._every_ticks == 0:
            return
        # Timestamps are rounded to whole ticks, so half a tick early is on time.
        past = math.floor((ticks - self.origin + _HALF) / self._every_ticks)
        self.next = self.origin + math.ceil((past + 1) * self._every_ticks - _HALF)
