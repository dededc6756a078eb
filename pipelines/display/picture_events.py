"""The panel of a video in which events were found: what happened when, and where it was looked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from temporal.trace import Trace

from ..exports.span import Span, spans_of
from .canvas import FAINT, HALT, INK, QUIET, READ, SKIMMED, UNREACHED, Canvas
from .picture_video import draw_clock, draw_thumbnails
from .seen import view_lanes
from .states import unit_states
from .strip import draw_strip

_LANE, _GAP = 26, 8
_SCORES_HEIGHT = 90
_TICK_HEIGHT = 12
_STRIP_HEIGHT = 30
_MOST_THUMBNAILS = 8
_COLORS = ("#c8374a", "#7a4fa3", "#2b8a6f", "#b3701d", "#3d6f9e", "#8a8f2b")


def draw_events(
    canvas: Canvas, row: Mapping[str, Any], trace: Trace, x: float, y: float, width: float
) -> float:
    """Draw the timeline of a video below `y`; return where the next panel may begin.

    From above: a frame of each event; the events, a lane for each label; the scores of the places
    that were scored; at which size frames were seen, a lane for each; all frames, those that were
    never looked at in grey.

    Args:
        canvas: The page.
        row: The row, with its events; frames are decoded from its `source`.
        trace: The row's trace.
        x: Left edge, pixels.
        y: Upper edge, pixels.
        width: Width, pixels.
    """
    spans = spans_of(row.get("predictions") or ())
    y = _draw_frames(canvas, row, trace, spans, x, y, width)
    y = _draw_lanes(canvas, trace, spans, x, y, width)
    if trace.places:
        y = _draw_scores(canvas, trace, x, y, width)
    for name, units in view_lanes(trace):
        canvas.text(x, y + 14, name, points=8, color=QUIET)
        y += 20
        color = SKIMMED if name.startswith("glanced") else READ
        for place in sorted({round(_at(trace, unit, x, width)) for unit in units}):
            canvas.line((place, place), (y, y + _TICK_HEIGHT), color=color, points=1.0)
        canvas.line((x, x + width), (y + _TICK_HEIGHT, y + _TICK_HEIGHT), color=FAINT)
        y += _TICK_HEIGHT + _GAP
    draw_strip(canvas, unit_states(trace), x, y, width, _STRIP_HEIGHT)
    return draw_clock(canvas, trace, x, y + _STRIP_HEIGHT, width)


def _draw_frames(
    canvas: Canvas,
    row: Mapping[str, Any],
    trace: Trace,
    spans: Sequence[Span],
    x: float,
    y: float,
    width: float,
) -> float:
    """Draw a frame of each event, of the surest ones where there are many."""
    if not spans or not trace.seconds_per_unit:
        return y + 8
    surest = sorted(spans, key=lambda one: -(one.score or 0.0))[:_MOST_THUMBNAILS]
    frames = sorted({_frame_of(trace, span) for span in surest})
    return draw_thumbnails(canvas, row, trace, frames, x, y, width)


def _frame_of(trace: Trace, span: Span) -> int:
    """The frame that was read nearest to the middle of an event; else the middle itself."""
    step = trace.seconds_per_unit or 1.0
    middle = (span.start_seconds + span.end_seconds) / 2 / step
    inside = [u for u in trace.read if span.start_seconds <= u * step <= span.end_seconds]
    nearest = min(inside, key=lambda unit: abs(unit - middle), default=round(middle))
    return min(max(nearest, 0), trace.units_total - 1)


def _draw_lanes(
    canvas: Canvas, trace: Trace, spans: Sequence[Span], x: float, y: float, width: float
) -> float:
    """Draw each label's events as bars, the surer the darker."""
    if not spans:
        canvas.text(x, y + 18, "no events were found", points=9, color=QUIET)
        return y + 18 + _GAP + 8
    seconds = _seconds(trace, spans)
    for number, label in enumerate(dict.fromkeys(span.label for span in spans)):
        own = [span for span in spans if span.label == label]
        name = f"{' '.join(label.split()) or '(no label)'}: {len(own)}"
        canvas.text(x, y + 16, name, points=9, color=INK)
        y += 22
        canvas.box(x, y, width, _LANE, color=UNREACHED)
        for span in own:
            left = min(x + width * span.start_seconds / seconds, x + width - 3)
            right = min(x + width * span.end_seconds / seconds, x + width)
            color = _COLORS[number % len(_COLORS)]
            canvas.box(left, y, max(3.0, right - left), _LANE, color=color)
        canvas.box(x, y, width, _LANE, color="none", edge=FAINT)
        y += _LANE + _GAP
    return y


def _draw_scores(canvas: Canvas, trace: Trace, x: float, y: float, width: float) -> float:
    """Draw how likely the likeliest label was in each place, from 0 below to 1 above."""
    canvas.text(x, y + 14, "score of the likeliest label, 0 to 1", points=8, color=QUIET)
    y += 20
    canvas.box(x, y, width, _SCORES_HEIGHT, color="none", edge=FAINT)
    ends = (*trace.places[1:], trace.units_total)
    xs: list[float] = []
    ys: list[float] = []
    for start, end, score in zip(trace.places, ends, trace.place_scores, strict=False):
        height = y + _SCORES_HEIGHT * (1 - min(max(score, 0.0), 1.0))
        xs += [x + width * start / trace.units_total, x + width * end / trace.units_total]
        ys += [height, height]
    if xs:
        canvas.line(tuple(xs), tuple(ys), color=HALT, points=1.0)
    return y + _SCORES_HEIGHT + _GAP + 4


def _seconds(trace: Trace, spans: Sequence[Span]) -> float:
    """How long the video is, for the bars."""
    latest = max(span.end_seconds for span in spans)
    return max((trace.seconds_per_unit or 0.0) * trace.units_total, latest, 1e-9)


def _at(trace: Trace, unit: int, x: float, width: float) -> float:
    return x + width * (unit + 0.5) / trace.units_total
