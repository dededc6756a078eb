"""`Pending`: rows of a part that is not committed yet, most of them no Python objects any more."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ..table.arrays import table_of
from ..table.trace_column import StoredTrace

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_AT_ONCE = 1024
"""As Python objects, the lists of long sources take ten times the memory of a table."""


class Pending:
    """Takes rows, and gives the part that they are.

    Args:
        schema: Names and types of the columns.
        format: `"parquet"` or `"jsonl"`.
    """

    def __init__(self, schema: pa.Schema, format: str) -> None:
        self._schema, self._format = schema, format
        self._rows: list[dict[str, Any]] = []
        self._tables: list[pa.Table] = []
        self._lines: list[bytes] = []
        self._count = self._bytes = 0

    def __len__(self) -> int:
        return self._count

    @property
    def num_bytes(self) -> int:
        """What the rows that are packed hold of memory."""
        return self._bytes

    def add(self, row: dict[str, Any]) -> None:
        """Take a row with the columns of the schema."""
        self._rows.append(row)
        self._count += 1
        if len(self._rows) >= _ROWS_AT_ONCE:
            self.pack()

    def pack(self) -> None:
        """Hold the rows as what they become: a table, or lines."""
        if not self._rows:
            return
        if self._format == "jsonl":
            names = self._schema.names
            ordered = ({name: _plain(row[name]) for name in names} for row in self._rows)
            lines = b"".join(json.dumps(row, allow_nan=False).encode() + b"\n" for row in ordered)
            self._lines.append(lines)
            self._bytes += len(lines)
        else:
            table = table_of(self._rows, self._schema)
            self._tables.append(table)
            self._bytes += table.nbytes
        self._rows = []

    def part(self) -> bytes:
        """What a part of these rows is, without its seal."""
        self.pack()
        if self._format == "jsonl":
            return b"".join(self._lines)
        import pyarrow as pa
        import pyarrow.parquet as pq

        buffer = pa.BufferOutputStream()
        if self._tables:
            pq.write_table(pa.concat_tables(self._tables), buffer, write_page_checksum=True)
        else:  # and no row group without rows, which datasets cannot read
            pq.ParquetWriter(buffer, self._schema).close()
        return buffer.getvalue().to_pybytes()

    def clear(self) -> None:
        """Forget the rows."""
        self._rows, self._tables, self._lines = [], [], []
        self._count = self._bytes = 0


def _plain(value: Any) -> Any:
    return value.value() if isinstance(value, StoredTrace) else value
