"""Few large parts of many small ones, once a run is complete. A kill at any point loses nothing.

The joined part gets its name while those it was made from are still there; its name says which they
are (`list_parts` counts their rows once), and only then are they removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from .parts import Part, list_parts, part_name
from .seal import read_sealed, sidecar, write_sealed

_MOST_BYTES = 16 * 2**20
_MOST_ROWS = 16_384
"""Of a joined part: whoever reads a part has all of its rows in memory."""


def join_parts(directory: Path, ranks: Iterable[int]) -> None:
    """Join the parts of these ranks, each rank's in order, as far as one part may hold them.

    Nobody else may be writing as these ranks.

    Raises:
        OSError: the disk refused; every row is still in a part.
        DamagedPart: a part is not what was written; so far as it was reached, all is joined.
    """
    kept, replaced = list_parts(directory)
    for rank in sorted(set(ranks)):
        if left := [part for part in replaced if part.rank == rank]:
            for part in kept:
                if part.rank == rank and part.first != part.last:
                    read_sealed(part.path)  # before those that it stands for are removed
            _remove(left)
        _join([part for part in kept if part.rank == rank])


def _join(parts: Sequence[Part]) -> None:
    group: list[Part] = []
    contents: list[bytes] = []
    num_rows, kind = 0, ""
    for part in parts:
        data = read_sealed(part.path)
        rows, its_kind = _rows_and_kind(part.path, data)
        size = sum(map(len, contents)) + len(data)
        if group and (its_kind != kind or num_rows + rows > _MOST_ROWS or size > _MOST_BYTES):
            _write(group, contents)
            group, contents, num_rows = [], [], 0
        group.append(part)
        contents.append(data)
        num_rows, kind = num_rows + rows, its_kind
    _write(group, contents)


def _write(group: Sequence[Part], contents: Sequence[bytes]) -> None:
    if len(group) < 2:
        return
    suffix = group[0].path.suffix
    name = part_name(suffix[1:], rank=group[0].rank, first=group[0].first, last=group[-1].last)
    write_sealed(
        group[0].path.with_name(name),
        b"".join(contents) if suffix == ".jsonl" else _one_table(contents),
    )
    _remove(group)


def _remove(parts: Iterable[Part]) -> None:
    for part in parts:
        part.path.unlink(missing_ok=True)
        sidecar(part.path).unlink(missing_ok=True)


def _rows_and_kind(path: Path, data: bytes) -> tuple[int, str]:
    """Rows of a part, and what another must share to be joined with it."""
    if path.suffix == ".jsonl":
        return data.count(b"\n"), path.suffix
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(pa.BufferReader(pa.py_buffer(data))) as file:
        return file.metadata.num_rows, str(file.schema_arrow)


def _one_table(contents: Sequence[bytes]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffers = [pa.BufferReader(pa.py_buffer(data)) for data in contents]
    tables = [pq.read_table(buffer, use_threads=False, pre_buffer=False) for buffer in buffers]
    joined = pa.BufferOutputStream()
    pq.write_table(pa.concat_tables(tables), joined, write_page_checksum=True)
    return joined.getvalue().to_pybytes()
