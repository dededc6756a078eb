"""Entries for what is broken in a file: a row, or a whole table."""

from __future__ import annotations

from dataclasses import replace

from ..item import Entry, InputError
from ..places.content import Place


def row_at(row: int, line: int | None = None) -> str:
    """How messages call a row: by its number among the rows (a header is none), from 1.

    Where that is not the number of its line, which editors show, that comes behind it.
    """
    return f"row {row}" if line in (None, row) else f"row {row} (line {line})"


def bad_row(
    path: Place, row: int, problem: str, *, line: int | None = None, offset: int | None = None
) -> Entry:
    """The entry of what cannot be a row, though it is in the place of one."""
    message = f"{path}, {row_at(row, line)}: {problem}"
    line = row if line is None else line
    return Entry(error=InputError(reason="bad_row", message=message, line=line, byte_offset=offset))


def bad_table(name: object, problem: str) -> Entry:
    """The one entry of a table that cannot be read, or not from here on."""
    return Entry(id=str(name), error=InputError(reason="bad_table", message=f"{name}: {problem}"))


def located(
    entry: Entry, path: Place, row: int, *, line: int | None = None, offset: int | None = None
) -> Entry:
    """Say in the entry's error, if it has one, which row it is of."""
    if entry.error is None:
        return entry
    error = entry.error
    there = InputError(
        reason=error.reason,
        message=f"{path}, {row_at(row, line)}: {error.message}",
        line=row if line is None else line,
        byte_offset=offset,
    )
    return replace(entry, error=there)
