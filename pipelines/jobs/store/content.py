"""What is in a part: its rows, of which only a few become Python objects at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from .seal import DamagedPart, read_sealed, sidecar

if TYPE_CHECKING:
    import pyarrow as pa

Content: TypeAlias = "pa.Table | list[dict[str, Any]]"

# As Python objects, the lists of long sources take ten times the memory.
_ROWS_AT_ONCE = 64

_ID = b'{"id": "'
_DECODER = json.JSONDecoder()


def read_content(path: Path, columns: Sequence[str] | None = None) -> Content:
    """Read a part.

    Args:
        path: The part.
        columns: What is read; None: everything. See `read_rows`.

    Raises:
        DamagedPart: it is damaged; the message names it.
        OSError: it cannot be read, which says nothing about what is in it.
    """
    try:
        data = read_sealed(path)
    except DamagedPart as error:
        raise _damaged(path, error) from error
    try:
        if path.suffix != ".jsonl":
            return _table(data, columns)
        if columns == ["id"] and sidecar(path).exists():
            return [{"id": _id_of(line)} for line in data.splitlines()]
        return _json_rows(data, columns)
    except (ValueError, KeyError, TypeError, OSError) as error:  # OSError: pyarrow's, of the bytes
        raise _damaged(path, error) from error


def rows_in(content: Content, *, start: int = 0) -> Iterator[dict[str, Any]]:
    """Yield the rows from `start` on."""
    if isinstance(content, list):
        yield from content[start:]
        return
    for batch in content.slice(start).to_batches(max_chunksize=_ROWS_AT_ONCE):
        yield from batch.to_pylist()


def ids_in(content: Content, *, start: int = 0) -> list[str]:
    """The ids of the rows from `start` on."""
    if isinstance(content, list):
        return [row["id"] for row in content[start:]]
    ids: list[str] = content["id"].slice(start).to_pylist()
    return ids


def _damaged(path: Path, error: Exception) -> DamagedPart:
    return DamagedPart(f"{path} is damaged ({error}); resume the run to make its rows again")


def _json_rows(data: bytes, columns: Sequence[str] | None) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in data.splitlines()]
    names = None if columns is None else dict.fromkeys(map(_top, columns))
    return rows if names is None else [{name: row[name] for name in names} for row in rows]


def _id_of(line: bytes) -> str:
    """The id of a row that is as it was written, of which it is the first value."""
    if not line.startswith(_ID):
        found: str = json.loads(line)["id"]
        return found
    value, _ = _DECODER.raw_decode(line.decode(), len(_ID) - 1)
    return str(value)


def _table(data: bytes, columns: Sequence[str] | None) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # From memory and not in threads: a thread of pyarrow that lets go of a Python object
    # while the interpreter exits aborts the process, and with it the exit code.
    source = pa.BufferReader(pa.py_buffer(data))
    file = pq.ParquetFile(source, pre_buffer=False, page_checksum_verification=True)
    if columns is not None:
        types = {name: file.schema_arrow.field(_top(name)).type for name in columns}
        columns = [name if pa.types.is_struct(types[name]) else _top(name) for name in columns]
    table = file.read(columns, use_threads=False)
    table.validate(full=True)  # now, and not when the rows are looked at
    return table


def _top(column: str) -> str:
    return column.partition(".")[0]
