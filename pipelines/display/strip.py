"""A source's timeline as a strip: one colour per unit."""

from __future__ import annotations

from collections.abc import Sequence

from .canvas import FAINT, READ, SKIMMED, SKIPPED, UNREACHED, Canvas
from .states import State

STATE_COLORS = {
    State.READ: READ,
    State.SKIMMED: SKIMMED,
    State.SKIPPED: SKIPPED,
    State.UNREACHED: UNREACHED,
}
"""Colour of each state on a strip."""


def draw_strip(
    canvas: Canvas, states: Sequence[State], x: float, y: float, width: float, height: float
) -> None:
    """Draw a timeline: one colour per unit, runs of one state in one piece.

    A unit that was read or skimmed is at least three pixels wide, so that single frames of a
    long video are seen.
    """
    total = len(states)
    canvas.box(x, y, width, height, color=UNREACHED)
    runs: list[tuple[State, int, int]] = []
    start = 0
    for stop in range(1, total + 1):
        if stop == total or states[stop] != states[start]:
            runs.append((states[start], start, stop))
            start = stop
    # What was read lies on top where neighbours are closer than a pixel.
    for state, begin, end in sorted(runs):
        left = x + width * begin / total
        size = max(width * (end - begin) / total, 3.0 if state >= State.SKIMMED else 0.0)
        canvas.box(min(left, x + width - size), y, size, height, color=STATE_COLORS[state])
    canvas.box(x, y, width, height, color="none", edge=FAINT)
