"""Times in the row of a video: the part of it that is meant.

`start_seconds` and `end_seconds`, or `start` and `end`: in labelled tables, a clip in a longer
file. Empty cells say nothing, and a part that is all of its video is none.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

TIMES = ("start_seconds", "end_seconds", "start", "end")
"""The columns; the last two are short for those before, which come first where both are filled."""

_NAMED = re.compile(r"(?P<name>.+)#t=(?P<start>[0-9.]+),(?P<end>[0-9.]*)", re.DOTALL)

_MOST_WRITTEN = 32

Part = tuple[float | None, float | None]
"""Where it begins and ends in its video, in seconds; None: with the video."""


def part_in(cells: Mapping[str, Any]) -> Part:
    """The part that the cells of a row name.

    Raises:
        ValueError: a cell is no time, or the part ends before it begins.
    """
    named = [_named(name, cells) for name in TIMES[:2]]
    return _checked(*((name, None if _is_empty(cell) else cell) for name, cell in named))


def check_part(start_seconds: Any, end_seconds: Any) -> Part:
    """The part between two times; None is one, too.

    Raises:
        ValueError: they are no times, or the part ends before it begins.
    """
    return _checked((TIMES[0], start_seconds), (TIMES[1], end_seconds))


def is_whole(part: Part) -> bool:
    """Whether all of the video is meant."""
    return not part[0] and part[1] is None


def name_of_part(name: str, part: Part) -> str:
    """How a part is called: as in a media fragment's URI, `clip.mp4#t=1.5,3`."""
    start, end = part
    if start is None and end is None:
        return name
    return f"{name}#t={_told(start or 0)},{'' if end is None else _told(end)}"


def part_named(name: str) -> tuple[str, Part] | None:
    """The video's name and the part that `name_of_part` made a name of; None: it did not."""
    found = _NAMED.fullmatch(name)
    if found is None:
        return None
    start, end = found["start"], found["end"]
    try:
        return found["name"], check_part(float(start), float(end) if end else None)
    except ValueError:
        return None


def as_written(cells: Mapping[str, Any]) -> str:
    """The times of a row as they stand there, whatever they are."""
    named = (_named(name, cells)[1] for name in TIMES[:2])
    return ",".join("" if _is_empty(cell) else str(cell)[:_MOST_WRITTEN] for cell in named)


def _checked(*named: tuple[str, Any]) -> Part:
    start, end = (_seconds(name, value) for name, value in named)
    if start is not None and end is not None and not start < end:
        raise ValueError(f"start_seconds ({start:g}) must be < end_seconds ({end:g})")
    return start, end


def _named(full: str, cells: Mapping[str, Any]) -> tuple[str, Any]:
    """The cell of a time, with the name of its column."""
    name = full.removesuffix("_seconds") if _is_empty(cells.get(full)) else full
    return name, cells.get(name)


def _seconds(name: str, value: Any) -> float | None:
    if value is None:
        return None
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{name} ({value!r}) must be a number of seconds >= 0")
    return seconds


def _told(seconds: float) -> str:
    """To a microsecond, without zeros that say nothing."""
    return f"{seconds:.6f}".rstrip("0").rstrip(".")


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())
