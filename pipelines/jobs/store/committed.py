"""What is committed: rows, their ids, and parts that are not what was written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .content import Content, ids_in, read_content, rows_in
from .parts import Part, list_parts
from .seal import DamagedPart, sidecar

if TYPE_CHECKING:
    import pyarrow as pa


def parts(directory: str | os.PathLike[str]) -> list[Path]:
    """Paths of the committed parts, by rank and number."""
    return [part.path for part in list_parts(directory)[0]]


def read_rows(
    directory: str | os.PathLike[str],
    *,
    columns: Sequence[str] | None = None,
    owns: Callable[[int], bool] = lambda rank: True,
) -> Iterator[dict[str, Any]]:
    """Yield the committed rows, part by part.

    Args:
        directory: The run's directory.
        columns: What is read; None: everything. `"trace.unit"` is a field of a struct; where its
            column is none (rows of older versions), or the rows are JSON lines, the whole column.
        owns: Whether the rows that a rank wrote are read.

    Yields:
        Rows as dicts of plain values; `temporal.pipelines.row_schema` has their columns.

    Raises:
        DamagedPart: a committed part is damaged; the message names it.
        OSError: a part cannot be read, which says nothing about what is in it.
    """
    for part, content, start in _contents(directory, columns):
        if owns(part.rank):
            yield from rows_in(content, start=start)


def read_tables(
    directory: str | os.PathLike[str], *, columns: Sequence[str] | None = None
) -> Iterator[pa.Table | dict[str, Any]]:
    """Yield the committed rows as they lie: tables of them, and those of JSON lines one by one.

    Args:
        directory: The run's directory.
        columns: See `read_rows`, as well for what is raised.
    """
    for _, content, start in _contents(directory, columns):
        if isinstance(content, list):
            yield from rows_in(content, start=start)
        else:
            yield content.slice(start)


def read_ids(
    directory: str | os.PathLike[str], *, damaged: Callable[[Part], None] | None = None
) -> Iterator[list[str]]:
    """Yield the ids of the inputs that have their row, written by any rank, part by part.

    Args:
        directory: The run's directory.
        damaged: Is told of each damaged part, whose rows are to be made again; it may rename it.

    Raises:
        DamagedPart: a part is damaged, and `damaged` is None.
    """
    for _, content, start in _contents(directory, ["id"], damaged):
        yield ids_in(content, start=start)


def committed_ids(directory: str | os.PathLike[str], *, damaged_too: bool = True) -> set[str]:
    """Ids of the inputs that have their row, of a run that is small enough for memory.

    Args:
        directory: The run's directory.
        damaged_too: False: pass over damaged parts, whose rows are to be made again.

    Raises:
        DamagedPart: a part is damaged, unless these are passed over.
    """
    found = read_ids(directory, damaged=None if damaged_too else _pass_over)
    return {one for ids in found for one in ids}


def set_aside(part: Part) -> None:
    """Rename a damaged part (`aside_name`): its rows have to be made again."""
    target = part.path.with_name(aside_name(part.path))
    while target.exists():
        target = target.with_name(f"{target.name}-again")
    part.path.replace(target)
    sidecar(part.path).unlink(missing_ok=True)


def set_damaged_aside(
    directory: str | os.PathLike[str], *, rank: int = 0, world_size: int = 1
) -> list[Path]:
    """Set aside the damaged parts of this rank's share; return their former paths."""
    aside: list[Path] = []

    def damaged(part: Part) -> None:
        if part.rank % world_size == rank:
            set_aside(part)
            aside.append(part.path)

    for _ in read_ids(directory, damaged=damaged):
        pass
    return aside


def aside_name(part: Path) -> str:
    """What a damaged part is called: polars and duckdb take `*.parquet`, hidden or not."""
    return f".damaged-{part.name}.aside"


def _pass_over(part: Part) -> None:
    """Leave a damaged part where it is."""


def _contents(
    directory: str | os.PathLike[str],
    columns: Sequence[str] | None,
    damaged: Callable[[Part], None] | None = None,
) -> Iterator[tuple[Part, Content, int]]:
    """Yield the parts, what is in them, and from which row on: each row comes once.

    Also while another rank joins its parts. A part that is gone was joined into one that holds the
    rows of its neighbours as well, those before it first: as many of them as were yielded are left
    out. (Or it was found damaged by another rank and set aside; then no part has its place, but for
    those that it was joined from, where they are still there.)
    """
    waiting = list_parts(directory)[0][::-1]
    yielded: list[tuple[Part, int]] = []  # of the present rank
    while waiting:
        part = waiting.pop()
        try:
            content = read_content(part.path, columns)
        except FileNotFoundError:
            now = list_parts(directory)[0]
            if any(p.path != part.path and p.holds(part) for p in now):
                waiting = [p for p in now[::-1] if p.holds(part) or p.comes_after(part)]
            continue
        except DamagedPart:
            if damaged is None:
                raise
            damaged(part)
            others = [p for p in list_parts(directory)[0][::-1] if p.path != part.path]
            waiting = [p for p in others if part.holds(p) or p.comes_after(part)]
            continue
        if yielded and yielded[-1][0].rank != part.rank:
            yielded.clear()
        seen = 0
        for other, count in reversed(yielded):
            if not part.holds(other):
                break
            seen += count
        yield part, content, seen
        yielded.append((part, len(content) - seen))
