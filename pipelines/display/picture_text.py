"""A text's panel: its strip, and its words marked as they were read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from temporal.trace import Trace

from ..jobs.table.row import spans_of
from .canvas import FAINT, HALT, INK, QUIET, READ_LIGHT, SKIMMED_LIGHT, Canvas
from .states import State, Word, unit_states, words
from .strip import draw_strip

_STRIP_HEIGHT = 18
_LINE_HEIGHT = 34
_MOST_LINES = 16
_POINTS = 10.0
_INKS = {
    State.READ: INK,
    State.SKIMMED: "#7a6a45",
    State.SKIPPED: FAINT,
    State.UNREACHED: FAINT,
}
_MARKERS = {State.READ: READ_LIGHT, State.SKIMMED: SKIMMED_LIGHT}


def draw_text(
    canvas: Canvas, row: Mapping[str, Any], trace: Trace, x: float, y: float, width: float
) -> float:
    """Draw a text's reading below `y`; return where the next panel may begin.

    Args:
        canvas: The page.
        row: The row; its words are drawn if the run kept `text` and `spans`.
        trace: The row's trace.
        x: Left edge, pixels.
        y: Upper edge, pixels.
        width: Width, pixels.
    """
    draw_strip(canvas, unit_states(trace), x, y, width, _STRIP_HEIGHT)
    y += _STRIP_HEIGHT + 40
    spans = spans_of(row)
    if row.get("text") is None or spans is None:
        canvas.text(x, y, "words are shown for runs with --keep-text", points=9, color=QUIET)
        return y + 10
    return _draw_words(canvas, words(row["text"], spans, trace), x, y, width)


def _draw_words(canvas: Canvas, found: Sequence[Word], x: float, y: float, width: float) -> float:
    space = canvas.width_of("n", points=_POINTS) * 0.62
    halted_width = canvas.width_of("halted here", points=8.0, bold=True) + 30
    left, line, before = x, 1, None
    for number, word in enumerate(found):
        text = word.text if len(word.text) <= 60 else word.text[:59] + "…"
        size = canvas.width_of(text, points=_POINTS)
        needed = size + (halted_width if word.halts else 0.0)
        if left + needed > x + width and left > x:
            if line == _MOST_LINES:
                rest = f"… {len(found) - number:,} more words"
                canvas.text(x, y + _LINE_HEIGHT, rest, points=9, color=QUIET)
                return y + _LINE_HEIGHT + 10
            left, line, before = x, line + 1, None
            y += _LINE_HEIGHT
        marker = _MARKERS.get(word.state)
        if marker is not None:
            # The marker covers the space to a neighbour that was read the same way.
            start = left - (space if before == word.state else 3)
            canvas.box(start, y - 22, left + size + 3 - start, 30, color=marker)
        canvas.text(left, y, text, points=_POINTS, color=_INKS[word.state])
        if word.state == State.SKIPPED:
            canvas.line((left, left + size), (y - 7, y - 7), color=FAINT, points=0.7)
        left += size
        if word.halts:
            canvas.line((left + 10, left + 10), (y - 24, y + 9), color=HALT, points=2.0)
            canvas.text(left + 18, y, "halted here", points=8.0, color=HALT, bold=True)
            left += halted_width
        left += space
        before = None if word.halts else word.state
    return y + 14
