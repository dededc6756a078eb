"""A video's panel: thumbnails of the frames that were read, above the timeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from temporal.trace import Trace

from ...data import Video, VideoError, VideoPart
from ...data.places.archives import member_at
from ...data.tables.times import part_named
from .canvas import FAINT, HALT, INK, QUIET, SKIPPED, Canvas
from .event_lines import clock
from .seen import focus_of
from .states import reads_forward, unit_states
from .strip import draw_strip

_STRIP_HEIGHT = 34
_MOST_THUMBNAILS = 8
_FEWEST_THUMBNAILS = 5  # fewer are not drawn larger
_TALLEST_THUMBNAIL = 180
_NOTE_HEIGHT = 26
_CONNECTOR_HEIGHT = 44
_GAP = 14
_LONG_SECONDS = 120.0


def draw_video(
    canvas: Canvas, row: Mapping[str, Any], trace: Trace, x: float, y: float, width: float
) -> float:
    """Draw a video's reading below `y`; return where the next panel may begin.

    Args:
        canvas: The page.
        row: The row; the thumbnails are decoded from its `source`.
        trace: The row's trace.
        x: Left edge, pixels.
        y: Upper edge, pixels.
        width: Width, pixels.
    """
    order = {unit: number for number, unit in enumerate(trace.read, start=1)}
    shown = _spread(sorted(order), _MOST_THUMBNAILS)
    pixels, scale = _thumbnails(row["source"], shown, width)
    if isinstance(pixels, str):
        canvas.text(x, y + _NOTE_HEIGHT, pixels, points=9, color=HALT)
        strip_y = y + _NOTE_HEIGHT + 20
    elif not pixels:
        strip_y = y + 8
    else:
        if len(shown) < len(order):
            note = f"{len(shown)} of the {len(order):,} frames read; numbers give the order"
            canvas.text(x, y + 14, note, points=8, color=QUIET)
            y += _NOTE_HEIGHT
        strip_y = y + pixels[0].shape[0] + _CONNECTOR_HEIGHT
        _draw_thumbnails(canvas, pixels, scale, shown, order, trace, x, y, strip_y, width)
    draw_strip(canvas, unit_states(trace), x, strip_y, width, _STRIP_HEIGHT)
    _draw_halt(canvas, trace, x, strip_y, width)
    return draw_clock(canvas, trace, x, strip_y + _STRIP_HEIGHT, width)


def draw_thumbnails(
    canvas: Canvas,
    row: Mapping[str, Any],
    trace: Trace,
    frames: Sequence[int],
    x: float,
    y: float,
    width: float,
) -> float:
    """Draw frames of a video above what comes below, and lead from each to its place.

    Args:
        canvas: The page.
        row: The row; the frames are decoded from its `source`.
        trace: The row's trace.
        frames: Frame indices, ascending, at least one.
        x: Left edge, pixels.
        y: Upper edge, pixels.
        width: Width, pixels.

    Returns:
        Where it ends, pixels.
    """
    pixels, scale = _thumbnails(row["source"], frames, width)
    if isinstance(pixels, str):
        canvas.text(x, y + _NOTE_HEIGHT, pixels, points=9, color=HALT)
        return y + _NOTE_HEIGHT + 20
    end = y + pixels[0].shape[0] + _CONNECTOR_HEIGHT
    _draw_thumbnails(canvas, pixels, scale, frames, {}, trace, x, y, end, width)
    return end


def _draw_thumbnails(
    canvas: Canvas,
    pixels: Sequence[np.ndarray[Any, Any]],
    scale: float,
    frames: Sequence[int],
    order: Mapping[int, int],
    trace: Trace,
    x: float,
    y: float,
    strip_y: float,
    width: float,
) -> None:
    centers = [_place(trace, frame, x, width) for frame in frames]
    lefts = _spaced(centers, [image.shape[1] for image in pixels], x, x + width)
    for frame, center, left, image in zip(frames, centers, lefts, pixels, strict=True):
        height, size = image.shape[:2]
        canvas.image(left, y, image)
        canvas.box(left - 1, y - 1, size + 2, height + 2, color="none", edge=FAINT)
        if (part := focus_of(trace, frame)) is not None:
            top, side, tall, wide = (scale * length for length in part)
            xs, ys = (left + side, left + side + wide), (y + top, y + top + tall)
            corners = (xs[0], xs[1], xs[1], xs[0], xs[0]), (ys[0], ys[0], ys[1], ys[1], ys[0])
            canvas.line(*corners, color=HALT, points=2.0)
        bottom, middle = y + height, left + size / 2
        canvas.line((middle, middle, center), (bottom, bottom + 10, strip_y), color=QUIET)
        if frame not in order:
            continue
        number = str(order[frame])
        badge = canvas.width_of(number, points=8, bold=True) + 14
        canvas.box(left, y, badge, 26, color=INK)
        canvas.text(left + 7, y + 19, number, points=8, color="white", bold=True)


def _draw_halt(canvas: Canvas, trace: Trace, x: float, strip_y: float, width: float) -> None:
    """Mark the last frame taken, where the reading stopped early."""
    if trace.halted_at is None:
        return
    if reads_forward(trace):
        at = x + width * (trace.halted_at + 1) / trace.units_total
        hatched = x + width - at
        canvas.box(at, strip_y, hatched, _STRIP_HEIGHT, color="none", edge=SKIPPED, hatch="////")
    else:
        at = _place(trace, trace.halted_at, x, width)
    bottom = strip_y + _STRIP_HEIGHT
    canvas.line((at, at), (strip_y - 6, bottom + 8), color=HALT, points=2.0)
    label = "halted here"
    half = canvas.width_of(label, points=8, bold=True) / 2
    middle = min(max(at, x + half), x + width - half)
    canvas.text(middle, bottom + 30, label, points=8, color=HALT, bold=True, align="center")


def draw_clock(canvas: Canvas, trace: Trace, x: float, y: float, width: float) -> float:
    """Write the times of start, quarters and end below the strip, clear of the halt's label."""
    step = trace.seconds_per_unit
    is_long = step is not None and trace.units_total * step >= _LONG_SECONDS
    row = y + (58 if trace.halted_at is not None else 30)
    for quarter, align in enumerate(("left", "center", "center", "center", "right")):
        unit = trace.units_total * quarter / 4
        text = f"{trace.unit} {unit:.0f}" if step is None else _time(unit * step, long=is_long)
        at = x + width * quarter / 4
        canvas.line((at, at), (y, y + 6), color=FAINT)
        canvas.text(at, row, text, points=8, color=QUIET, align=align)
    return row + 8


def _thumbnails(
    source: str | None, frames: Sequence[int], width: float
) -> tuple[list[np.ndarray[Any, Any]] | str, float]:
    """Decode small frames, uint8 `[H, W, 3]`, and by what they were scaled; or say why not."""
    if source is None:
        return "no thumbnails: the video was not read from a file", 1.0
    video: Any = _video_at(source)
    if video is None:
        return f"no thumbnails: {Path(source).name} is not where it was", 1.0
    try:
        with video:
            index = video.index
            count = max(len(frames), _FEWEST_THUMBNAILS)
            widest = (width - _GAP * (count - 1)) / count
            scale = min(_TALLEST_THUMBNAIL / index.height, widest / index.width)
            size = (max(2, round(index.height * scale)), max(2, int(index.width * scale)))
            images = video.read(list(frames), size=size).permute(0, 2, 3, 1)
            return list(images.numpy()), scale
    except VideoError as error:
        return f"no thumbnails: {error.reason}", 1.0


def _video_at(source: str) -> Video | VideoPart | None:
    """What a row was made of; None: it is not there."""
    place: Any = source if Path(source).is_file() else member_at(source)
    if place is not None:
        return Video(place)
    name, part = part_named(source) or ("", (None, None))
    place = name if Path(name).is_file() else member_at(name) if name else None
    return None if place is None else VideoPart(place, *part)


def _time(seconds: float, *, long: bool) -> str:
    return clock(seconds) if long else f"{seconds:.1f} s"


def _place(trace: Trace, unit: int, x: float, width: float) -> float:
    return x + width * (unit + 0.5) / trace.units_total


def _spread(units: Sequence[int], count: int) -> list[int]:
    """At most `count` of `units`, evenly, the first and the last among them."""
    if len(units) <= count:
        return list(units)
    return [units[i * (len(units) - 1) // (count - 1)] for i in range(count)]


def _spaced(
    centers: Sequence[float], sizes: Sequence[int], start: float, stop: float
) -> list[float]:
    """Left edges of boxes that are near their centers, in order, apart, and between the limits."""
    lefts: list[float] = []
    free = start
    for center, size in zip(centers, sizes, strict=True):
        lefts.append(max(center - size / 2, free))
        free = lefts[-1] + size + _GAP
    limit = stop
    for i in reversed(range(len(lefts))):
        lefts[i] = min(lefts[i], limit - sizes[i])
        limit = lefts[i] - _GAP
    return lefts
