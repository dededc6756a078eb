"""Committed results: rows in parts that are there as a whole or not at all.

    DIR/.run.json                  what the run was asked to do
    DIR/part-00000-000000.parquet  a part, called by the position of its first input
    DIR/part-00000-000000-001792.parquet  the first parts up to that one, joined
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
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .committed import committed_ids as committed_ids
from .committed import parts as parts
from .committed import read_rows as read_rows
from .committed import read_tables as read_tables
from .committed import set_damaged_aside as set_damaged_aside
from .join import FAN_IN, Sized, join_neighbours, join_parts
from .lock import RankLock, joining
from .parts import Format, FreeNames, list_parts, part_name, remove_torn
from .pending import Pending
from .seal import DamagedPart, write_sealed

if TYPE_CHECKING:
    import pyarrow as pa

# A commit costs a file. Committing every 5 s would leave 17,000 files a day; waiting for 1 % of
# the time that has passed keeps both the number of files and the share of lost work small.
_FIRST_COMMIT_SECONDS = 5.0
_COMMIT_SHARE = 0.01
_LONGEST_COMMIT_SECONDS = 300.0

_MOST_HELD_BYTES = 24 * 2**20
"""Of rows in memory: more than half of what a part may hold, so that it is not written again."""

_WAIT_SECONDS = 5.0
"""For another rank that joins parts. Where it hangs, they stay as they are."""


class CommitError(OSError):
    """The disk refused a part; nothing that was committed before is harmed."""


class ResultWriter:
    """Writes rows into committed parts of one directory, as one rank of a run.

    A part is committed when it has `rows_per_part` rows, or some megabytes of them, when
    `commit_seconds` have passed since the last commit (looked at on every `write`), and on `close`.
    As a context manager it closes on the way out, after an exception too: rows that were written
    are finished work.

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
        self._columns = set(schema.names)
        self._names_seen: tuple[str, ...] = ()
        self._pending = Pending(schema, format)
        self._first: tuple[int | None, int] | None = None  # column and position of those rows
        self._end: int | None = None
        self._names = FreeNames(self.directory, rank=rank, step=world_size)
        mine = [part.last for part in sum(list_parts(self.directory), []) if part.rank == rank]
        self._number = max(mine, default=-1) + 1
        self._commits_since_join = 0
        self._looked: dict[Path, Sized] = {}
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
        if (names := tuple(row)) != self._names_seen:  # rows of one run have the same order, too
            if wrong := sorted(row.keys() ^ self._columns):
                raise ValueError(f"row has missing or unknown columns: {', '.join(wrong)}")
            self._names_seen = names
        self._pending.add(row)

    def discard(self) -> None:
        """Forget the rows that are not committed: another rank has committed them."""
        self._pending.clear()
        self._first = None

    def has_part(self, first: int, column: int) -> bool:
        """Whether there is a part of this name."""
        return (self.directory / part_name(self.format, rank=column, first=first)).exists()

    def pack(self) -> None:
        """Hold the rows that were written in less memory."""
        self._pending.pack()

    def _commit_when_due(self) -> None:
        if self.rows_per_part is None:
            return
        due = time.monotonic() - self._last_commit >= self._commit_seconds()
        is_large = self._pending.num_bytes >= _MOST_HELD_BYTES
        if len(self._pending) >= self.rows_per_part or is_large or due:
            self.commit()

    def commit(self, *, empty_too: bool = False) -> None:
        """Commit what was written so far; nothing happens when that is nothing.

        Args:
            empty_too: Make a part without rows then, which has the columns.

        Raises:
            CommitError: the disk refused; no part was made and the rows stay here.
        """
        self._last_commit = time.monotonic()
        if not len(self._pending) and not empty_too:
            return
        column, number = self._first or (self.rank, self._number)
        if column is None:
            column = self._names.column_for(number)
        path = self.directory / part_name(self.format, rank=column, first=number)
        try:
            write_sealed(path, self._pending.part(), tag=self._tag)
        except OSError as error:
            raise CommitError(
                f"{path} could not be written ({error}); make room or choose "
                "another disk, then resume"
            ) from error
        self._names.take(column, number)
        self._number += self._first is None
        self.rows_committed += len(self._pending)
        self._pending.clear()
        self._first = None
        if not self.shares_names:
            self.join_neighbours(below=lambda: number + 1)

    def join_neighbours(self, *, below: Callable[[], int | None]) -> None:
        """Join small parts that follow each other, once many were committed; the run goes on.

        Where that cannot be done now, the parts stay as they are.

        Args:
            below: Tells the position before which no input is left to be written; None: it is not
                known now.
        """
        self._commits_since_join += 1
        if self._commits_since_join * (self.world_size if self.shares_names else 1) < FAN_IN:
            return
        self._commits_since_join = 0
        try:
            with joining(self.directory, only_one=self.shares_names) as may_join:
                if may_join and (end := below()) is not None:
                    join_neighbours(
                        self.directory,
                        lambda rank: self.shares_names or self._owns(rank),
                        below=end,
                        note=self._names.take_joined,
                        looked=self._looked,
                        tag=self._tag,
                    )
        except (OSError, DamagedPart):  # who resumes, or joins at the end, tells
            self._looked.clear()

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
            its = ranks if of_all else set(filter(self._owns, ranks))
            with joining(
                self.directory, only_one=self.shares_names, wait_seconds=_WAIT_SECONDS
            ) as may_join:
                if may_join:
                    join_parts(self.directory, its, tag=self._tag)
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

    @property
    def _tag(self) -> str:
        """Of temporary files that another rank may be writing as well."""
        return f".{self.rank}" if self.shares_names else ""

    def _owns(self, rank: int) -> bool:
        return self.rank == (0 if self.shares_names else rank % self.world_size)

    def _commit_seconds(self) -> float:
        if self.commit_seconds is not None:
            return self.commit_seconds
        age = time.monotonic() - self._started
        return min(max(_FIRST_COMMIT_SECONDS, age * _COMMIT_SHARE), _LONGEST_COMMIT_SECONDS)
