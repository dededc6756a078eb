"""How the frames of a video were seen, in words: sizes, regions, confidence, what stayed coded."""

from __future__ import annotations

from temporal.source import KIND_OF_UNIT
from temporal.trace import Trace, View

_MOST_REGIONS = 4
_MOST_CONFIDENCES = 12


def seen_lines(trace: Trace) -> list[str]:
    """Say how frames were seen, a line for each fact; none of a text.

    Args:
        trace: Of the reading.
    """
    if KIND_OF_UNIT.get(trace.unit) != "video":
        return []
    lines = [_seen(view) for view in _joined(trace.views)]
    if trace.confidences:
        shown = [f"{100 * confidence:.0f}" for confidence in trace.confidences]
        if len(shown) > _MOST_CONFIDENCES:
            shown = [*shown[: _MOST_CONFIDENCES - 1], "...", shown[-1]]
        lines.append(f"confidence {' > '.join(shown)} %")
    decoded = trace.cost.frames_decoded
    if 0 < decoded < trace.units_total:  # one that is decoded twice counts twice
        lines.append(f"at least {trace.units_total - decoded:,} frames were never decoded")
    return lines


def view_lanes(trace: Trace) -> list[tuple[str, list[int]]]:
    """How frames were seen and which, a pair for each size: `("read at 224 x 224", [0, 12])`.

    Args:
        trace: Of the reading.
    """
    return [
        (_seen(views).partition(", of a part")[0], [unit for view in views for unit in view.units])
        for views in _joined(trace.views)
    ]


def focus_of(trace: Trace, frame: int) -> tuple[int, int, int, int] | None:
    """The part of a frame that was read, (top, left, height, width); None: the whole frame.

    Args:
        trace: Of the reading.
        frame: A frame index. Of a frame that was read more than once the last part counts.
    """
    parts = [v.region for v in trace.views if not v.is_glance and frame in v.units and v.region]
    return parts[-1] if parts else None


def _joined(views: tuple[View, ...]) -> list[list[View]]:
    """Views that differ in their region alone, together."""
    found: dict[tuple[object, ...], list[View]] = {}
    for view in views:
        found.setdefault((view.is_glance, view.size, view.region is None), []).append(view)
    return list(found.values())


def _seen(views: list[View]) -> str:
    first = views[0]
    count = len({unit for view in views for unit in view.units})
    size = "their own size" if first.size is None else f"{first.size[0]} x {first.size[1]}"
    verb = "glanced at" if first.is_glance else "read"
    line = f"{verb} {count:,} frame{'s' if count != 1 else ''} at {size}"
    if first.region is None:
        return line
    parts = [
        f"{', '.join(map(str, view.units))}: {height} x {width} at ({top}, {left})"
        for view in views[:_MOST_REGIONS]
        if view.region is not None
        for top, left, height, width in [view.region]
    ]
    more = " ..." if len(views) > _MOST_REGIONS else ""
    return f"{line}, of a part (frame: height x width at top, left): {'; '.join(parts)}{more}"
