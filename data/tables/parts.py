"""The entry of a row that means a part of its video."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ..item import Entry, InputError
from ..part import VideoPart
from .times import TIMES, as_written, is_whole, name_of_part, part_in


def with_part(entry: Entry, cells: Mapping[str, Any], *, is_named: bool = False) -> Entry:
    """The entry of a row, which reads no more than the part that its times mean.

    Args:
        entry: as of the whole video.
        cells: the filled ones of its row.
        is_named: it has a name of its own; else parts of one file are told apart by their times.
    """
    if entry.error is not None or not any(name in cells for name in TIMES):
        return entry
    has_name = entry.id is None or is_named
    try:
        part = part_in(cells)
    except ValueError as error:
        bad = InputError(reason="bad_row", message=str(error))
        id = entry.id if has_name else f"{entry.id}#t={as_written(cells)}"
        return dataclasses.replace(entry, id=id, value=None, error=bad)
    if is_whole(part):
        return entry
    id = entry.id if has_name else name_of_part(str(entry.id), part)
    value = VideoPart(entry.value, *part)
    value.is_of_row = True
    return dataclasses.replace(entry, id=id, value=value)
