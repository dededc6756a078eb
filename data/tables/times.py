"""Times in the row of a video: the part of it that is meant, which who reads videos whole refuses.

`start_seconds` and `end_seconds`, or `start` and `end`: in labelled tables, a clip in a longer
file. Empty cells say nothing, and a part that is all of its video is none.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from ..item import Entry, InputError

TIMES = ("start_seconds", "end_seconds", "start", "end")
"""The columns; the last two are short for those before, which come first where both are filled."""

Part = tuple[float | None, float | None]
"""Where it begins and ends in its video, in seconds; None: with the video."""


def part_in(cells: Mapping[str, Any]) -> Part:
    """The part that the cells of a row name.

    Raises:
        ValueError: a cell is no time, or the part ends before it begins.
    """
    start, end = (_seconds(name, cells) for name in ("start", "end"))
    if start is not None and end is not None and not start < end:
        raise ValueError(f"start_seconds ({start:g}) must be < end_seconds ({end:g})")
    return start, end


def is_whole(part: Part) -> bool:
    """Whether all of the video is meant."""
    return not part[0] and part[1] is None


def name_of_part(name: str, part: Part) -> str:
    """How a part is called: as in a media fragment's URI, `clip.mp4#t=1.5,3`."""
    start, end = part
    if start is None and end is None:
        return name
    return f"{name}#t={start or 0:g},{'' if end is None else f'{end:g}'}"


def part_error(part: Part) -> InputError:
    """Why a part is not read."""
    named = zip(TIMES[:2], part, strict=True)
    told = " and ".join(f"{name} ({time:g})" for name, time in named if time is not None)
    message = (
        f"{told} must be empty: they mean a part of the video, and videos are read whole here; cut "
        "the part out to a file of its own, or take the columns of times away to read all of it"
    )
    return InputError(reason="unsupported_input", message=message)


def is_part_error(error: InputError) -> bool:
    """Whether `part_error` made it: of a row, whatever else that is of the reason is about."""
    return error.reason == "unsupported_input" and "they mean a part of the video" in error.message


def refuse_part(entry: Entry, cells: Mapping[str, Any], *, is_named: bool = False) -> Entry:
    """The entry of a row itself, or one with an error where only a part of its video is meant.

    Args:
        entry: as of the whole video.
        cells: the filled ones of its row.
        is_named: it has a name of its own; else parts of one file are told apart by their times.
    """
    if entry.error is not None or not any(name in cells for name in TIMES):
        return entry
    try:
        part = part_in(cells)
    except ValueError as error:
        bad = InputError(reason="bad_row", message=str(error))
        return dataclasses.replace(entry, value=None, error=bad)
    if is_whole(part):
        return entry
    id = entry.id if entry.id is None or is_named else name_of_part(entry.id, part)
    return dataclasses.replace(entry, id=id, value=None, error=part_error(part))


def _seconds(name: str, cells: Mapping[str, Any]) -> float | None:
    full = f"{name}_seconds"
    name = name if _is_empty(cells.get(full)) else full
    value = cells.get(name)
    if _is_empty(value):
        return None
    try:
        seconds = float(value)  # type: ignore[arg-type]  # else it raises
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{name} ({value!r}) must be a number of seconds >= 0")
    return seconds


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())
