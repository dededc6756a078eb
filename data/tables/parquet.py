"""Rows of parquet files, in bounded memory: the wanted columns, a few megabytes of rows at a time.

The smallest piece that parquet can read is a page; how large pages are is up to whoever wrote the
file.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from ..item import Entry, InputError
from ..places.content import Content, Place
from .broken import bad_row, bad_table, located
from .row import Columns, apart, entry_of_row

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_BATCH_BYTES = 4 * 2**20
_MAX_BATCH_ROWS = 256
_PROBE_ROWS = 4
_READ_BYTES = 2**20


def read_parquet(path: Place, columns: Columns) -> Iterator[Entry]:
    """Rows of a parquet file. What of a row group cannot be read is a bad row each."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    broken = (pa.ArrowException, OSError)
    with ExitStack() as stack:
        try:
            source: Any = path
            if isinstance(path, Content):
                source = stack.enter_context(path.open_seekable())
            # Without a pre-buffer and with buffered reading, pages are read as they are reached.
            file = stack.enter_context(
                pq.ParquetFile(
                    source,
                    pre_buffer=False,
                    buffer_size=_READ_BYTES,
                    page_checksum_verification=True,
                )
            )
        except broken as error:
            yield bad_table(path, str(error))
            return
        names = file.schema_arrow.names
        problem = columns.problem_in(names)
        if problem is not None:
            yield bad_table(path, problem)
            return
        used = without_blobs(columns, file.schema_arrow)
        before = 0
        for group in range(file.num_row_groups):
            done, total = 0, file.metadata.row_group(group).num_rows
            try:
                for batch in _batches(file, group, used):
                    for entry in batch_entries(batch, columns):
                        done += 1
                        yield located(entry, path, before + done)
            except broken as error:
                for place in range(before + done, before + total):
                    yield bad_row(path, place + 1, str(error))
            before += total


def batch_entries(batch: pa.RecordBatch, columns: Columns) -> Iterator[Entry]:
    """One entry for each row of a batch of Arrow, a few megabytes at a time."""
    names = batch.schema.names
    if len(set(names)) < len(names):  # a mapping would have one of them
        batch = type(batch).from_arrays(batch.columns, names=apart(names))
    step = max(1, _BATCH_BYTES * batch.num_rows // max(batch.nbytes, _BATCH_BYTES))
    for start in range(0, batch.num_rows, step):
        for row in _plain_rows(batch.slice(start, step)):
            if isinstance(row, Exception):
                message = f"it holds what is no value of its column's type ({row})"
                yield Entry(error=InputError(reason="bad_row", message=message))
            else:
                yield entry_of_row(row, columns)


def without_blobs(columns: Columns, schema: pa.Schema) -> list[str]:
    """The columns that are read: of those that merely come along none that holds bytes."""
    import pyarrow as pa

    needed, types = columns.needed(schema.names), dict(zip(schema.names, schema.types, strict=True))
    return [
        name
        for name in columns.used(schema.names)
        if name in needed or not _holds_bytes(types[name], pa)
    ]


def _holds_bytes(kind: pa.DataType, pa: Any) -> bool:
    test = pa.types
    if test.is_struct(kind):
        return any(_holds_bytes(field.type, pa) for field in kind)
    is_bytes = test.is_binary(kind) or test.is_large_binary(kind)
    return is_bytes or test.is_fixed_size_binary(kind)


def _plain_rows(batch: pa.RecordBatch) -> Iterable[Mapping[str, Any] | Exception]:
    """The rows as mappings, or why one is none: strings are checked only when they are made."""
    try:
        return batch.to_pylist()
    except (ValueError, OverflowError) as error:
        if batch.num_rows == 1:
            return [error]
    rows = (_plain_rows(batch.slice(place, 1)) for place in range(batch.num_rows))
    return itertools.chain.from_iterable(rows)


def _batches(file: pq.ParquetFile, group: int, used: list[str]) -> Iterator[pa.RecordBatch]:
    """The batches of a row group, each of so many rows as fit the memory."""
    metadata = file.metadata.row_group(group)
    if metadata.num_rows == 0:
        return
    stored = sum(
        column.total_uncompressed_size
        for column in map(metadata.column, range(metadata.num_columns))
        if column.path_in_schema.partition(".")[0] in used or column.path_in_schema in used
    )
    bytes_per_row = stored / metadata.num_rows
    if metadata.num_rows > _PROBE_ROWS:
        # Values that repeat are stored once: what the first take tells how far that goes.
        first = next(file.iter_batches(_PROBE_ROWS, row_groups=[group], columns=used))
        bytes_per_row = max(bytes_per_row, first.nbytes / max(first.num_rows, 1))
    size = max(1, min(_MAX_BATCH_ROWS, int(_BATCH_BYTES / max(bytes_per_row, 1))))
    yield from file.iter_batches(size, row_groups=[group], columns=used)
