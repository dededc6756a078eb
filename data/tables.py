"""Rows of text files: lines, CSV, JSON lines, parquet. A broken row is an entry; the rest goes on.

The parsers are here because the usual ones drop a whole file, or all that follows, for one broken
line, and read the words NA and null as missing.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from .item import Entry, InputError
from .row import Columns, entry_of_row

_MAX_LINE_BYTES = 64 * 2**20


def read_lines(path: Path) -> Iterator[Entry]:
    """One text per line of a UTF-8 file; blank lines count, so that results match line numbers."""
    for number, offset, line in _byte_lines(path):
        try:
            yield Entry(value=_decoded(line))
        except ValueError as error:
            yield _bad_row(path, number, error, offset)


def read_json_lines(path: Path, columns: Columns) -> Iterator[Entry]:
    """One JSON object per line."""
    for number, offset, line in _byte_lines(path):
        if not line.strip():
            continue
        try:
            row = json.loads(_decoded(line))
            if not isinstance(row, dict):
                raise ValueError(f"a row must be an object, not {type(row).__name__}")
        except (ValueError, RecursionError) as error:
            yield _bad_row(path, number, error, offset)
        else:
            yield _located(entry_of_row(row, columns), path, number, offset)


def read_csv(path: Path, columns: Columns, *, delimiter: str) -> Iterator[Entry]:
    """Rows of a CSV file with a header; every row must be as wide as the header."""
    # The module's limit (131,072 characters) is the whole process's: raise it, never lower it.
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_LINE_BYTES))
    # Bytes that are not UTF-8 come through as surrogates, so that only their row is lost.
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        header: list[str] | None = None
        while True:
            line = reader.line_num + 1
            try:
                row = next(reader)
            except StopIteration:
                break
            except csv.Error as error:
                yield _bad_row(path, line, error)
                continue
            if header is None:
                header = row
                missing = columns.missing_in(header)
                if missing is not None:
                    yield _bad_table(path, missing)
                    return
            elif row:  # an empty list is a blank line
                yield _csv_entry(path, line, header, row, columns)
    if header is None:
        yield _bad_table(path, "it is empty: there is no header line")


def read_parquet(path: Path, columns: Columns) -> Iterator[Entry]:
    """Rows of a parquet file; a batch of rows is in memory at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            missing = columns.missing_in(names)
            if missing is not None:
                yield _bad_table(path, missing)
                return
            for batch in file.iter_batches(batch_size=256, columns=columns.used(names)):
                yield from (entry_of_row(row, columns) for row in batch.to_pylist())
    except (pa.ArrowException, OSError) as error:
        yield _bad_table(path, str(error))


def rows_to_entries(rows: Iterable[Mapping[str, Any]], columns: Columns) -> Iterator[Entry]:
    """Rows that are mappings already (a `datasets` table)."""
    return (entry_of_row(row, columns) for row in rows)


def _csv_entry(path: Path, line: int, header: list[str], row: list[str], columns: Columns) -> Entry:
    if len(row) != len(header):
        return _bad_row(path, line, ValueError(f"{len(row)} fields where {len(header)} are due"))
    try:
        for value in row:
            value.encode()
    except UnicodeEncodeError:
        return _bad_row(path, line, ValueError("it is not UTF-8"))
    return _located(entry_of_row(dict(zip(header, row, strict=True)), columns), path, line, None)


def _byte_lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Yield (line number from 1, byte offset, bytes without the line end)."""
    offset = number = 0
    with open(path, "rb") as file:
        while line := file.readline(_MAX_LINE_BYTES):
            number += 1
            length = len(line)
            while not line.endswith(b"\n") and (rest := file.readline(_MAX_LINE_BYTES)):
                length += len(rest)  # a line over the limit: pass over it, keep its start
                if rest.endswith(b"\n"):
                    break
            start = line[3:] if number == 1 and line.startswith(b"\xef\xbb\xbf") else line
            yield number, offset, start.rstrip(b"\r\n")
            offset += length


def _decoded(line: bytes) -> str:
    if len(line) >= _MAX_LINE_BYTES:
        raise ValueError(f"the line is longer than {_MAX_LINE_BYTES} bytes")
    return line.decode()


def _located(entry: Entry, path: Path, line: int, offset: int | None) -> Entry:
    if entry.error is None:
        return entry
    error = entry.error
    located = InputError(
        reason=error.reason,
        message=f"{path}, line {line}: {error.message}",
        line=line,
        byte_offset=offset,
    )
    return replace(entry, error=located)


def _bad_row(path: Path, line: int, error: Exception, offset: int | None = None) -> Entry:
    message = f"{path}, line {line}: {error}"
    return Entry(error=InputError(reason="bad_row", message=message, line=line, byte_offset=offset))


def _bad_table(path: Path, message: str) -> Entry:
    return Entry(id=str(path), error=InputError(reason="bad_table", message=f"{path}: {message}"))
