"""Committed results: rows in parts that are there as a whole or not at all.

    DIR/.run.json                  what the run was asked to do
    DIR/part-00000-000000.parquet  a part, called by the position of its first input
    DIR/part-00000-000000-001792.parquet  the first parts up to that one, joined at the end
    DIR/.part-*.jsonl.sha256       the digest of a part of JSON lines (parquet has it inside)
    DIR/.part-*.tmp                a part being written: never read, removed when the run resumes
    DIR/.damaged-part-*.aside      a part that changed after it was written, set aside on resuming

All but the parts is hidden, so that the directory opens as a table with what people use. A part
counts once it has its final name. A process killed at any point loses the rows it had not committed
and nothing else; the next run finds the committed ids and does the rest.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .content import part_bytes, read_content, rows_in
from .join import join_parts
from .lock import RankLock
from .parts import Format, FreeNames, Part, list_parts, part_name, remove_torn
from .seal import DamagedPart, sidecar, write_sealed

if TYPE_CHECKING:
    import pyarrow as pa

# A commit costs a file. Committing every 5 s would leave 17,000 files a day; waiting for 1 % of
# the time that has passed keeps both the number of files and the share of lost work small.
_FIRST_COMMIT_SECONDS = 5.0
_COMMIT_SHARE = 0.01
_LONGEST_COMMIT_SECONDS = 300.0


class CommitError(OSError):
    """The disk refused a part; nothing that was committed before is harmed."""


class ResultWriter:
    """Writes rows into committed parts of one directory, as one rank of a run.

    A part is committed when it has `rows_per_part` rows, when `commit_seconds` have passed since
    the last commit (looked at on every `write`), and on `close`. As a context manager it closes
    on the way out, after an exception too: rows that were written are finished work.

    Args:
        directory: An existing directory; see `open_run`.
        schema: Names and types of the columns, the same in every part.
        format: `"parquet"` or `"jsonl"` (one JSON object a line).
        rows_per_part: The most rows in a part, >= 1; None: parts are committed by `commit` alone.
        commit_seconds: Longest time between commits; None: 5 s at first, then 1 % of the run's
            age, at most 5 minutes.
        rank: This process's rank; part names carry it, so ranks share a directory.
        world_size: Number of ranks. Left-over temporary files are cleaned by rank modulo this.
        shares_names: Ranks write groups that any of them may write: see `write_group`. What belongs
            to no rank is rank 0's to clean, and to `join`.

    Raises:
        ValueError: a parameter is outside its range.
        OutputRefused: another process writes there as this rank.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        schema: pa.Schema,
        format: Format = "parquet",
        rows_per_part: int | None = 256,
        commit_seconds: float | None = None,
        rank: int = 0,
        world_size: int = 1,
        shares_names: bool = False,
    ) -> None:
        if format not in ("parquet", "jsonl"):
            raise ValueError(f"format ({format!r}) must be 'parquet' or 'jsonl'")
        if rows_per_part is not None and rows_per_part < 1:
            raise ValueError(f"rows_per_part ({rows_per_part}) must be >= 1")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank ({rank}) must be >= 0 and < world_size ({world_size})")
        self.directory = Path(directory)
        self.schema = schema
        self.format: Format = format
        self.rows_per_part = rows_per_part
        self.commit_seconds = commit_seconds
        self.rank = rank
        self.world_size = world_size
        self.shares_names = shares_names
        self.rows_committed = 0
        self._lock = RankLock(self.directory, rank=rank, world_size=world_size)
        self._rows: list[dict[str, Any]] = []
        self._first: tuple[int | None, int] | None = None  # column and position of those rows
        self._end: int | None = None
        self._names = FreeNames(self.directory, rank=rank, step=world_size)
        mine = [part.last for part in sum(list_parts(self.directory), []) if part.rank == rank]
        self._number = max(mine, default=-1) + 1
        self._started = self._last_commit = time.monotonic()
        remove_torn(self.directory, self._owns)

    def write(self, row: dict[str, Any]) -> None:
        """Add one row, and commit when it is time.

        Raises:
            ValueError: the row's columns are not the schema's.
            CommitError: the disk refused; the rows stay here and the next commit tries again.
        """
        self._add(row)
        self._commit_when_due()

    def write_group(
        self,
        rows: Iterable[dict[str, Any]],
        *,
        first: int,
        end: int | None = None,
        column: int | None = None,
    ) -> None:
        """Add rows that belong together, and commit when it is time: parts lie in their order.

        Args:
            rows: Of inputs that follow each other, in the collection's order.
            first: Position of the first of them. The part that begins with them is called by it.
            end: Position behind the last of them. What does not follow comes into another part:
                an earlier run has written what lies between. None: nothing lies there.
            column: Of that name, where others may write the same group; None: a free one.

        Raises:
            ValueError: a row's columns are not the schema's.
            CommitError: see `write`.
        """
        if self._first is not None and self._end not in (None, first):
            self.commit()
        for row in rows:
            self._add(row)
            self._first = self._first or (column, first)
        self._end = end
        self._commit_when_due()

    def _add(self, row: dict[str, Any]) -> None:
        if row.keys() != set(self.schema.names):
            wrong = sorted(row.keys() ^ set(self.schema.names))
            raise ValueError(f"row has missing or unknown columns: {', '.join(wrong)}")
        self._rows.append(row)

    def discard(self) -> None:
        """Forget the rows that are not committed: another rank has committed them."""
        self._rows, self._first = [], None

    def has_part(self, first: int, column: int) -> bool:
        """Whether there is a part of this name."""
        return (self.directory / part_name(self.format, rank=column, first=first)).exists()

    def _commit_when_due(self) -> None:
        if self.rows_per_part is None:
            return
        due = time.monotonic() - self._last_commit >= self._commit_seconds()
        if len(self._rows) >= self.rows_per_part or due:
            self.commit()

    def commit(self, *, empty_too: bool = False) -> None:
        """Commit what was written so far; nothing happens when that is nothing.

        Args:
            empty_too: Make a part without rows then, which has the columns.

        Raises:
            CommitError: the disk refused; no part was made and the rows stay here.
        """
        self._last_commit = time.monotonic()
        if not self._rows and not empty_too:
            return
        column, number = self._first or (self.rank, self._number)
        if column is None:
            column = self._names.column_for(number)
        path = self.directory / part_name(self.format, rank=column, first=number)
        try:
            data = part_bytes(self._rows, self.schema, self.format)
            write_sealed(path, data, tag=f".{self.rank}" if self.shares_names else "")
        except OSError as error:
            raise CommitError(
                f"{path} could not be written ({error}); make room or choose "
                "another disk, then resume"
            ) from error
        self._names.take(column, number)
        self._number += self._first is None
        self.rows_committed += len(self._rows)
        self._rows, self._first = [], None

    def join(self, *, of_all: bool = False) -> None:
        """Commit the rest, and make few large parts of many small ones: the run is complete.

        Also of the parts of ranks that an earlier run had and this one has not. A table that has no
        row at all has its columns.

        Args:
            of_all: Join the parts of all ranks, none of which writes any more.

        Raises:
            CommitError: the disk refused; every row is in a committed part.
            DamagedPart: a part has changed since it was written.
        """
        self.commit(empty_too=self.format == "parquet" and not parts(self.directory))
        kept, replaced = list_parts(self.directory)
        try:
            ranks = {part.rank for part in kept + replaced}
            join_parts(self.directory, ranks if of_all else filter(self._owns, ranks))
        except OSError as error:
            raise CommitError(
                f"the parts in {self.directory} could not be joined ({error}); make room, then "
                "resume"
            ) from error

    def close(self) -> None:
        """Commit the rest and let go of the directory. Harmless when called twice."""
        try:
            self.commit()
        finally:
            self._lock.release()

    def __enter__(self) -> ResultWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _owns(self, rank: int) -> bool:
        return self.rank == (0 if self.shares_names else rank % self.world_size)

    def _commit_seconds(self) -> float:
        if self.commit_seconds is not None:
            return self.commit_seconds
        age = time.monotonic() - self._started
        return min(max(_FIRST_COMMIT_SECONDS, age * _COMMIT_SHARE), _LONGEST_COMMIT_SECONDS)


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
    for part, rows in _contents(directory, columns):
        if owns(part.rank):
            yield from rows


def committed_ids(directory: str | os.PathLike[str], *, damaged_too: bool = True) -> set[str]:
    """Ids of the inputs that have their row, written by any rank.

    Args:
        directory: The run's directory.
        damaged_too: False: pass over damaged parts, whose rows are to be made again.

    Raises:
        DamagedPart: a part is damaged, unless these are passed over.
    """
    contents = _contents(directory, ["id"], pass_over_damaged=not damaged_too)
    return {row["id"] for _, rows in contents for row in rows}


def set_damaged_aside(
    directory: str | os.PathLike[str], *, rank: int = 0, world_size: int = 1
) -> list[Path]:
    """Rename the damaged parts of this rank's share (`aside_name`); return their former paths.

    The rows of a part that was set aside have to be made again.
    """
    aside = []
    for part in list_parts(directory)[0]:
        if part.rank % world_size != rank:
            continue
        path = part.path
        try:
            read_content(path, ["id"])
        except DamagedPart:
            target = path.with_name(aside_name(path))
            while target.exists():
                target = target.with_name(f"{target.name}-again")
            path.replace(target)
            sidecar(path).unlink(missing_ok=True)
            aside.append(path)
    return aside


def aside_name(part: Path) -> str:
    """What a damaged part is called: polars and duckdb take `*.parquet`, hidden or not."""
    return f".damaged-{part.name}.aside"


def _contents(
    directory: str | os.PathLike[str],
    columns: Sequence[str] | None,
    *,
    pass_over_damaged: bool = False,
) -> Iterator[tuple[Part, Iterator[dict[str, Any]]]]:
    """Yield the parts and their rows, each row once, also while another rank joins its parts.

    A part that is gone was joined into one that holds the rows of its neighbours as well, those
    before it first: as many of them as were yielded are left out. (Or it was found damaged by
    another rank and set aside; then no part has its place.)
    """
    waiting = list_parts(directory)[0]
    yielded: list[tuple[Part, int]] = []  # of the present rank
    while waiting:
        part = waiting.pop(0)
        try:
            content = read_content(part.path, columns)
        except FileNotFoundError:
            now = list_parts(directory)[0]
            if any(p.path != part.path and p.holds(part) for p in now):
                waiting = [p for p in now if p.holds(part) or p.comes_after(part)]
            continue
        except DamagedPart:
            if not pass_over_damaged:
                raise
            continue
        yielded = [(other, count) for other, count in yielded if other.rank == part.rank]
        seen = sum(count for other, count in yielded if part.holds(other))
        yield part, rows_in(content, start=seen)
        yielded.append((part, len(content) - seen))
