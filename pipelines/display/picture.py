"""The picture of a run's readings: one panel per input, as a PNG."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from temporal.source import KIND_OF_UNIT
from temporal.trace import Trace

from ..jobs.table.trace_column import dense_macs_of, trace_of
from .canvas import FAINT, QUIET, READ, SKIPPED, UNREACHED, Canvas
from .picture_text import draw_text
from .picture_video import draw_video
from .report import cost_line, title_of
from .seen import seen_lines
from .states import STATE_NAMES, State, unit_states
from .strip import STATE_COLORS

MARGIN = 60
"""White space around the page, pixels."""

Draw = Callable[[Canvas, Mapping[str, Any], Trace, float, float, float], float]
"""Draws a row and its trace below (x, y) in a width; returns where the next may begin."""

_CELL = 14
_MOST_EXITS = 32


def save_picture(
    rows: Sequence[Mapping[str, Any]],
    path: str | os.PathLike[str],
    *,
    heading: str = "",
    draw: Draw | None = None,
) -> None:
    """Draw readings below each other and write them as one PNG, 1600 pixels wide.

    Args:
        rows: Rows of a job that have a trace. Videos are decoded again from their `source` for
            the thumbnails; texts show their words where the run kept them.
        path: The PNG to write.
        heading: A line above the panels.
        draw: Draws one reading, as `draw_text` does; None: the one for what the row is made of.

    Raises:
        ValueError: no row has a trace.
        OSError: the file cannot be written.
    """
    traced = [(row, trace) for row in rows if (trace := trace_of(row)) is not None]
    if not traced:
        raise ValueError("rows must hold at least one reading with a trace; these hold none")
    canvas = Canvas()
    width = canvas.width - 2 * MARGIN
    y = 64.0
    canvas.text(MARGIN, y, heading, points=13, bold=True)
    _legend(canvas, y, {state for _, trace in traced for state in unit_states(trace)})
    y += 34
    for row, trace in traced:
        canvas.line((MARGIN, MARGIN + width), (y, y), color=SKIPPED)
        y += 46
        gauge = _draw_exits(canvas, trace, y)
        title = _fit(canvas, title_of(row), width - gauge, 12.0, bold=True)
        canvas.text(MARGIN, y, title, points=12, bold=True)
        y += 34
        line = cost_line(trace, with_exit=False, dense_macs=dense_macs_of(row))
        cost = _fit(canvas, line, width, 9.0)
        canvas.text(MARGIN, y, cost, points=9, color=QUIET)
        lines = seen_lines(trace)
        if canvas.width_of(together := " · ".join(lines), points=9) <= width:
            lines = [together] if lines else []
        for line in lines:
            y += 22
            canvas.text(MARGIN, y, _fit(canvas, line, width, 9.0), points=9, color=QUIET)
        y += 22
        fitting = draw_video if KIND_OF_UNIT.get(trace.unit) == "video" else draw_text
        y = (draw or fitting)(canvas, row, trace, MARGIN, y, width) + 34
    canvas.save(path, height=y)


def _draw_exits(canvas: Canvas, trace: Trace, baseline: float) -> float:
    """Draw one cell per exit, filled up to the one that answered; return the width used.

    Where the trace tells how confident each exit was, a cell is filled so high.
    """
    if trace.exit is None or trace.num_exits is None or trace.num_exits > _MOST_EXITS:
        return 0.0
    text = f"exit {trace.exit + 1} of {trace.num_exits}"
    right = canvas.width - MARGIN
    canvas.text(right, baseline, text, points=9, color=QUIET, align="right")
    left = right - canvas.width_of(text, points=9) - 16 - _CELL * trace.num_exits
    for number in range(trace.num_exits):
        color = READ if number <= trace.exit else UNREACHED
        at, size = left + _CELL * number, _CELL - 3
        if number < len(trace.confidences):  # a bar as high as the exit was confident
            canvas.box(at, baseline - 17, size, 18, color=UNREACHED, edge=FAINT)
            high = 18 * trace.confidences[number]
            canvas.box(at, baseline + 1 - high, size, high, color=color)
        else:
            canvas.box(at, baseline - 17, size, 18, color=color, edge=FAINT)
    return right - left + 24


def _legend(canvas: Canvas, baseline: float, present: set[State]) -> None:
    x = float(canvas.width - MARGIN)
    for state in sorted(present):
        name = STATE_NAMES[state]
        x -= canvas.width_of(name, points=9)
        canvas.text(x, baseline, name, points=9, color=QUIET)
        x -= 32
        canvas.box(x, baseline - 17, 22, 20, color=STATE_COLORS[state], edge=FAINT)
        x -= 28


def _fit(canvas: Canvas, text: str, width: float, points: float, bold: bool = False) -> str:
    if canvas.width_of(text, points=points, bold=bold) <= width:
        return text
    while text and canvas.width_of(text + "…", points=points, bold=bold) > width:
        text = text[:-1]
    return text + "…"
