"""Few large parts of many small ones. A kill at any point loses nothing.

The joined part gets its name while those it was made from are still there; its name says which they
are (`list_parts` counts their rows once), and only then are they removed.

While a run goes on, sixteen neighbours of a size become one, so that each row is written again two
or three times at most, and between two large parts there are never more than a few small ones. Once
it is complete, what one part may hold becomes one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .parts import Part, list_parts, part_name
from .seal import DamagedPart, read_sealed, sidecar, write_sealed

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_MOST_BYTES = 16 * 2**20
_MOST_ROWS = 16_384
"""Of a joined part: whoever reads a part has all of its rows in memory."""

FAN_IN = 16
"""So many small neighbours become one while a run goes on."""

_TABLE_BYTES = 32 * 2**20
"""Rows that are in memory as a table when parts are joined."""

_READ_BYTES = 2**20


@dataclass(frozen=True, kw_only=True)
class Sized:
    """A part, and what is looked at when parts are joined."""

    part: Part
    rows: int
    bytes: int
    kind: str
    """What another must share to be joined with it."""

    @property
    def fullness(self) -> float:
        """How much of a part it is, from 0 to 1."""
        return max(self.rows / _MOST_ROWS, self.bytes / _MOST_BYTES)


def join_parts(directory: Path, ranks: Iterable[int], *, tag: str = "") -> None:
    """Join the parts of these ranks, each rank's in order, as far as one part may hold them.

    Nobody else may be writing as these ranks.

    Raises:
        OSError: the disk refused; every row is still in a part.
        DamagedPart: a part is not what was written; so far as it was reached, all is joined.
    """
    kept, replaced = list_parts(directory)
    for rank in sorted(set(ranks)):
        mine = [part for part in kept if part.rank == rank]
        _remove_replaced(mine, [part for part in replaced if part.rank == rank])
        for group in packed(map(_sized, mine)):
            _write(group, tag)


def join_neighbours(
    directory: Path,
    owns: Callable[[int], bool],
    *,
    below: int,
    note: Callable[[Part], None],
    looked: dict[Path, Sized],
    tag: str = "",
) -> None:
    """Join small parts that follow each other, where there are many: the run goes on.

    Args:
        directory: of the parts.
        owns: whether a rank's parts are the caller's: nobody else joins them now.
        below: all parts of inputs before this position are written.
        note: is told of each part before it is there.
        looked: parts that were looked at before; those of this call come in addition.
        tag: of temporary names, where several processes may write the same file.

    Raises:
        OSError: the disk refused; every row is still in a part.
    """
    kept, replaced = list_parts(directory)
    for rank in sorted({part.rank for part in kept if owns(part.rank)}):
        mine = [part for part in kept if part.rank == rank and part.last < below]
        _remove_replaced(mine, [part for part in replaced if part.rank == rank])
        for part in mine:
            if part.path not in looked:
                looked[part.path] = _sized_or_damaged(part)
        sized = [looked[part.path] for part in mine]
        while due := neighbours_due(sized):
            place = sized.index(due[0])
            try:
                joined = [_write(group, tag, note) for group in packed(due)]
            except DamagedPart:
                for one in due:  # the others are joined next time
                    looked[one.part.path] = _sized_or_damaged(one.part, read=True)
                break
            for one in due:
                del looked[one.part.path]
            looked.update({one.part.path: one for one in joined})
            sized[place : place + len(due)] = joined


def neighbours_due(parts: Sequence[Sized]) -> list[Sized]:
    """Neighbours that are to be joined now, the smallest first; none of them is half full."""
    for most in (FAN_IN**-3, FAN_IN**-2, FAN_IN**-1, 0.5):
        run: list[Sized] = []
        for one in parts:
            if one.fullness > most or (run and run[-1].kind != one.kind):
                run = []
            if one.fullness <= most:
                run.append(one)
            if len(run) == FAN_IN:
                return run
    return []


def packed(parts: Iterable[Sized]) -> Iterator[list[Sized]]:
    """Neighbours that one part may hold."""
    group: list[Sized] = []
    for one in parts:
        rows = sum(other.rows for other in group) + one.rows
        size = sum(other.bytes for other in group) + one.bytes
        is_other = bool(group) and one.kind != group[0].kind
        if group and (is_other or rows > _MOST_ROWS or size > _MOST_BYTES):
            yield group
            group = []
        group.append(one)
    if group:
        yield group


def _write(group: Sequence[Sized], tag: str, note: Callable[[Part], None] | None = None) -> Sized:
    """Make one part of several, and remove these."""
    if len(group) == 1:
        return group[0]
    first, last = group[0].part, group[-1].part
    suffix = first.path.suffix
    name = part_name(suffix[1:], rank=first.rank, first=first.first, last=last.last)
    joined = Part(
        rank=first.rank, first=first.first, last=last.last, path=first.path.with_name(name)
    )
    contents = (read_sealed(one.part.path) for one in group)
    data = b"".join(contents) if suffix == ".jsonl" else _one_table(contents)
    if note is not None:
        note(joined)
    write_sealed(joined.path, data, tag=tag)
    _remove(one.part for one in group)
    rows = sum(one.rows for one in group)
    return Sized(part=joined, rows=rows, bytes=len(data), kind=group[0].kind)


def _remove_replaced(kept: Sequence[Part], replaced: Sequence[Part]) -> None:
    """Remove parts that others stand for, once those are seen to be whole."""
    if replaced:
        for part in kept:
            if any(part.holds(other) for other in replaced):
                read_sealed(part.path)
                _remove(other for other in replaced if part.holds(other))


def _remove(parts: Iterable[Part]) -> None:
    for part in parts:
        part.path.unlink(missing_ok=True)
        sidecar(part.path).unlink(missing_ok=True)


def _sized(part: Part) -> Sized:
    path = part.path
    size = path.stat().st_size
    if path.suffix == ".jsonl":
        # One that is half full is joined with no other, whatever it has of rows.
        rows = _MOST_ROWS if 2 * size >= _MOST_BYTES else _lines_in(path)
        return Sized(part=part, rows=rows, bytes=size, kind=path.suffix)
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            rows, kind = file.metadata.num_rows, str(file.schema_arrow)
    except ValueError as error:  # pyarrow's
        raise DamagedPart(f"{path} is damaged: {error}") from error
    return Sized(part=part, rows=rows, bytes=size, kind=kind)


def _sized_or_damaged(part: Part, *, read: bool = False) -> Sized:
    """The same of any part; one that is damaged, or gone, is of a kind of its own.

    Args:
        part: it.
        read: look whether it is damaged.
    """
    try:
        if read:
            read_sealed(part.path)
        return _sized(part)
    except (DamagedPart, FileNotFoundError):
        return Sized(part=part, rows=0, bytes=0, kind=part.path.name)


def _lines_in(path: Path) -> int:
    count = 0
    with path.open("rb") as file:
        while data := file.read(_READ_BYTES):
            count += data.count(b"\n")
    return count


def _one_table(contents: Iterable[bytes]) -> bytes:
    """One parquet file of several; as many rows become a group as fit in memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    joined = pa.BufferOutputStream()
    writer: pq.ParquetWriter | None = None
    held: list[pa.Table] = []
    for data in contents:
        source = pa.BufferReader(pa.py_buffer(data))
        held.append(pq.read_table(source, use_threads=False, pre_buffer=False))
        writer = writer or pq.ParquetWriter(joined, held[0].schema, write_page_checksum=True)
        if sum(table.nbytes for table in held) >= _TABLE_BYTES:
            _write_group(writer, held)
    assert writer is not None
    _write_group(writer, held)
    writer.close()
    return joined.getvalue().to_pybytes()


def _write_group(writer: pq.ParquetWriter, held: list[pa.Table]) -> None:
    """Write tables as one row group, unless they have no row: datasets cannot read such a group."""
    import pyarrow as pa

    if any(table.num_rows for table in held):
        writer.write_table(pa.concat_tables(held))
    held.clear()
