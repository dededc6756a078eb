"""The rows of any run as one file, written as they are read: CSV, TSV, JSON lines or parquet."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ..jobs.store.ledger import parts, read_rows
from ..jobs.table.extra import extra_of
from ..jobs.table.row import row_schema
from ..tasks.registry import record_of

if TYPE_CHECKING:
    import pyarrow as pa

Rows = Iterator[dict[str, Any]]

_EXTRA = "extra."
_MOST_EXTRA = 1000
"""Columns that came along and get one of their own; if there are more, they stay one."""

_NEEDS_QUOTES = re.compile(r'[",;\t\r\n]|^\s|\s$')
_ROWS_AT_ONCE = 256


class NoColumn(ValueError):
    """A column that was asked for is not there."""


def row_columns(result: Path, task: str) -> list[str]:
    """Names of the columns of a run, and `extra.NAME` of each one that came along with inputs."""
    first = next(read_rows(result), None)
    if first is None:
        return row_schema(record_of(task)).names
    names = list(first)
    if "extra" not in names:
        return names
    found: dict[str, None] = {}
    for row in read_rows(result, columns=["extra"]):
        found.update(dict.fromkeys(extra_of(row)))
        if len(found) > _MOST_EXTRA:
            return names
    at = names.index("extra")
    return [*names[:at], *(_EXTRA + name for name in found), *names[at + 1 :]]


def write_rows(
    file: BinaryIO,
    suffix: str,
    result: Path,
    task: str,
    *,
    columns: Sequence[str] = (),
    ids: Sequence[str] = (),
) -> int:
    """Write a run's rows to an open file; return how many.

    CSV and TSV are UTF-8 as RFC 4180 has it: what holds commas, quotes or line ends is quoted, an
    empty text is `""` and what is not there is empty, nested values are JSON. What came along with
    inputs is in columns `extra.NAME`; JSON lines have it as an object, parquet as JSON.

    Args:
        file: Is written to.
        suffix: One of `SUFFIXES`.
        result: The run.
        task: Its task.
        columns: Those that are written, in this order; none: all.
        ids: Inputs whose rows are written; none: all.

    Raises:
        NoColumn: one of `columns` is not there.
    """
    there = row_columns(result, task)
    if unknown := [name for name in columns if name not in there and name != "extra"]:
        raise NoColumn(f"column ({unknown[0]}) must be one of {', '.join(there)}")
    wanted = set(ids)
    rows = (row for row in read_rows(result) if not wanted or row["id"] in wanted)
    counted = _Counted(rows)
    _WRITERS[suffix](file, counted, list(columns) or there, result, task)
    return counted.count


class _Counted:
    """Counts rows as they go by."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self.count = 0

    def __iter__(self) -> Rows:
        for row in self._rows:
            self.count += 1
            yield row


def _cells(row: dict[str, Any], names: Sequence[str]) -> Iterator[Any]:
    extra = extra_of(row)
    for name in names:
        if name in row:
            yield row[name]
        else:
            yield extra.get(name.removeprefix(_EXTRA))


def _csv(mark: str) -> Callable[..., None]:
    def write(file: BinaryIO, rows: Any, names: Sequence[str], *_: Any) -> None:
        file.write(_line(names, mark))
        for row in rows:
            file.write(_line(list(_cells(row, names)), mark))

    return write


def _line(cells: Sequence[Any], mark: str) -> bytes:
    return (mark.join(map(_cell, cells)) + "\r\n").encode()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | dict | list):
        value = json.dumps(value, ensure_ascii=False)
    text = str(value)
    if text and not _NEEDS_QUOTES.search(text):
        return text
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def _json_lines(file: BinaryIO, rows: Any, names: Sequence[str], *_: Any) -> None:
    has_all = "extra" in names
    chosen = {name.removeprefix(_EXTRA) for name in names if name.startswith(_EXTRA)}
    for row in rows:
        told = {name: row[name] for name in names if name in row and name != "extra"}
        if extra := {k: v for k, v in extra_of(row).items() if has_all or k in chosen}:
            told["extra"] = extra
        file.write(json.dumps(told, ensure_ascii=False, allow_nan=False).encode() + b"\n")


def _parquet(file: BinaryIO, rows: Any, names: Sequence[str], result: Path, task: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    there = _schema(result, task)
    own = list(dict.fromkeys("extra" if name.startswith(_EXTRA) else name for name in names))
    schema = pa.schema([there.field(name) for name in own])
    rows = iter(rows)
    with pq.ParquetWriter(file, schema) as writer:
        while batch := list(itertools.islice(rows, _ROWS_AT_ONCE)):
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))


def _schema(result: Path, task: str) -> pa.Schema:
    """Types of a run's columns."""
    import pyarrow.parquet as pq

    first = next(iter(parts(result)), None)
    if first is not None and first.suffix == ".parquet":
        return pq.read_schema(first)
    names = set(next(read_rows(result), {}))
    return row_schema(record_of(task), keep_text="spans" in names, audited="audit" in names)


_WRITERS: dict[str, Callable[..., None]] = {
    ".csv": _csv(","),
    ".tsv": _csv("\t"),
    ".jsonl": _json_lines,
    ".parquet": _parquet,
}

SUFFIXES = tuple(_WRITERS)
"""Of files of rows, by which they are chosen."""
