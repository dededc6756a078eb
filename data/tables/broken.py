"""Entries for what is broken in a file: a row, or a whole table."""

from __future__ import annotations

from dataclasses import replace

from ..item import Entry, InputError
from ..places.content import Place


def bad_row(path: Place, line: int, problem: str, offset: int | None = None) -> Entry:
    """The entry of a line (from 1) that cannot be a row."""
    message = f"{path}, line {line}: {problem}"
    return Entry(error=InputError(reason="bad_row", message=message, line=line, byte_offset=offset))


def bad_table(name: object, problem: str) -> Entry:
    """The one entry of a table that cannot be read, or not from here on."""
    return Entry(id=str(name), error=InputError(reason="bad_table", message=f"{name}: {problem}"))


def located(entry: Entry, path: Place, line: int, offset: int | None = None) -> Entry:
    """Say in the entry's error, if it has one, where its row begins."""
    if entry.error is None:
        return entry
    error = entry.error
    there = InputError(
        reason=error.reason,
        message=f"{path}, line {line}: {error.message}",
        line=line,
        byte_offset=offset,
    )
    return replace(entry, error=there)
