"""The events of a row for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..exports.span import spans_of

_OF_EVENTS = ("label", "start_seconds", "end_seconds")


def event_lines(row: Mapping[str, Any]) -> list[str]:
    """The events of a row for the terminal, a line each; none of a task that finds none."""
    told = row.get("predictions") or ()
    found = [one for one in told if all(one.get(name) is not None for name in _OF_EVENTS)]
    return [
        f"{clock(span.start_seconds)} - {clock(span.end_seconds)}  {span.label}"
        + ("" if span.score is None else f"  {span.score:.1%}")
        for span in spans_of(found)
    ]


def clock(seconds: float) -> str:
    """`1:02:03.4`, without hours where there are none."""
    tenths = round(seconds * 10)
    whole, tenth = divmod(tenths, 10)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}.{tenth}" if hours else f"{minutes}:{rest:02}.{tenth}"
