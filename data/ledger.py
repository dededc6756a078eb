"""Committed results: rows in parts that are there as a whole or not at all.

    DIR/.run.json                  what the run was asked to do
    DIR/part-00000-000000.parquet  rank 0's first part; parts are never changed or overwritten
    DIR/.part-*.jsonl.sha256       the digest of a part of JSON lines (parquet has it inside)
    DIR/.part-*.tmp                a part being written: never read, removed when the run resumes
    DIR/.damaged-part-*            a part that changed after it was written, set aside on resuming

All but the parts is hidden, so that the directory opens as a table with what people use. A part
counts once it has its final name. A process killed at any point loses the rows it had not committed
and nothing else; the next run finds the committed ids and does the rest.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from .durable import TEMPORARY_SUFFIX, write_durably
from .lock import RankLock
from .seal import DamagedPart, read_sealed, seal_parquet, sidecar

if TYPE_CHECKING:
    import pyarrow as pa

Format = Literal["parquet", "jsonl"]

_PART = re.compile(r"part-(?P<rank>\d{5,})-(?P<number>\d{6,})\.(?P<format>parquet|jsonl)")
_TEMPORARY = re.compile(
    rf"\.{{1,2}}part-(?P<rank>\d{{5,}})-\d{{6,}}\.[\w.]+{re.escape(TEMPORARY_SUFFIX)}"
)

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
        rows_per_part: The most rows in a part, >= 1.
        commit_seconds: Longest time between commits; None: 5 s at first, then 1 % of the run's
            age, at most 5 minutes.
        rank: This process's rank; part names carry it, so ranks share a directory.
        world_size: Number of ranks. Left-over temporary files are cleaned by rank modulo this.

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
        rows_per_part: int = 256,
        commit_seconds: float | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if format not in ("parquet", "jsonl"):
            raise ValueError(f"format ({format!r}) must be 'parquet' or 'jsonl'")
        if rows_per_part < 1:
            raise ValueError(f"rows_per_part ({rows_per_part}) must be >= 1")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank ({rank}) must be >= 0 and < world_size ({world_size})")
        self.directory = Path(directory)
        self.schema = schema
        self.format: Format = format
        self.rows_per_part = rows_per_part
        self.commit_seconds = commit_seconds
        self.rank = rank
        self.rows_committed = 0
        self._lock = RankLock(self.directory, rank=rank, world_size=world_size)
        self._rows: list[dict[str, Any]] = []
        self._number = _next_number(self.directory, rank)
        self._started = self._last_commit = time.monotonic()
        for path in self.directory.iterdir():
            match = _TEMPORARY.fullmatch(path.name)
            if match and int(match["rank"]) % world_size == rank:
                path.unlink(missing_ok=True)

    def write(self, row: dict[str, Any]) -> None:
        """Add one row, and commit when it is time.

        Raises:
            ValueError: the row's columns are not the schema's.
            CommitError: the disk refused; the rows stay here and the next commit tries again.
        """
        if row.keys() != set(self.schema.names):
            wrong = sorted(row.keys() ^ set(self.schema.names))
            raise ValueError(f"row has missing or unknown columns: {', '.join(wrong)}")
        self._rows.append(row)
        due = time.monotonic() - self._last_commit >= self._commit_seconds()
        if len(self._rows) >= self.rows_per_part or due:
            self.commit()

    def commit(self) -> None:
        """Commit what was written so far; nothing happens when that is nothing.

        Raises:
            CommitError: the disk refused; no part was made and the rows stay here.
        """
        self._last_commit = time.monotonic()
        if not self._rows:
            return
        name = f"part-{self.rank:05d}-{self._number:06d}.{self.format}"
        path = self.directory / name
        try:
            data = self._part()
            if self.format == "jsonl":  # before the part: no part is ever without its digest
                digest = hashlib.sha256(data).hexdigest().encode()
                write_durably(sidecar(path), lambda file: file.write(digest + b"\n"))
            write_durably(path, lambda file: file.write(data))
        except OSError as error:
            raise CommitError(
                f"{self.directory / name} could not be written ({error}); make room or choose "
                "another disk, then resume"
            ) from error
        self._number += 1
        self.rows_committed += len(self._rows)
        self._rows = []

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

    def _commit_seconds(self) -> float:
        if self.commit_seconds is not None:
            return self.commit_seconds
        age = time.monotonic() - self._started
        return min(max(_FIRST_COMMIT_SECONDS, age * _COMMIT_SHARE), _LONGEST_COMMIT_SECONDS)

    def _part(self) -> bytes:
        if self.format == "jsonl":
            ordered = ({name: row[name] for name in self.schema.names} for row in self._rows)
            return b"".join(json.dumps(row, allow_nan=False).encode() + b"\n" for row in ordered)
        import pyarrow as pa
        import pyarrow.parquet as pq

        buffer = pa.BufferOutputStream()
        table = pa.Table.from_pylist(self._rows, schema=self.schema)
        pq.write_table(table, buffer, write_page_checksum=True)
        return seal_parquet(buffer.getvalue().to_pybytes())


def parts(directory: str | os.PathLike[str]) -> list[Path]:
    """Paths of the committed parts, by rank and number."""
    found = [(match, path) for path in Path(directory).iterdir() if (match := _match(path))]
    found.sort(key=lambda part: (int(part[0]["rank"]), int(part[0]["number"]), part[0]["format"]))
    return [path for _, path in found]


def read_rows(
    directory: str | os.PathLike[str], *, columns: Sequence[str] | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the committed rows, part by part; `columns` limits what is read.

    Raises:
        DamagedPart: a committed part is damaged; the message names it.
        OSError: a part cannot be read, which says nothing about what is in it.
    """
    for path in parts(directory):
        yield from _read_part(path, columns)


def committed_ids(directory: str | os.PathLike[str], *, damaged_too: bool = True) -> set[str]:
    """Ids of the inputs that have their row, written by any rank.

    Args:
        directory: The run's directory.
        damaged_too: False: pass over damaged parts, whose rows are to be made again.

    Raises:
        DamagedPart: a part is damaged, unless these are passed over.
    """
    ids: set[str] = set()
    for path in parts(directory):
        try:
            ids.update(row["id"] for row in _read_part(path, ["id"]))
        except (DamagedPart, FileNotFoundError):  # gone: another rank has set it aside
            if damaged_too:
                raise
    return ids


def set_damaged_aside(
    directory: str | os.PathLike[str], *, rank: int = 0, world_size: int = 1
) -> list[Path]:
    """Rename the damaged parts of this rank's share to hidden names; return their former paths.

    The rows of a part that was set aside have to be made again.
    """
    aside = []
    for path in parts(directory):
        match = _match(path)
        assert match is not None
        if int(match["rank"]) % world_size != rank:
            continue
        try:
            _read_part(path, ["id"])
        except DamagedPart:
            target = path.with_name(f".damaged-{path.name}")
            while target.exists():
                target = target.with_name(f"{target.name}-again")
            path.replace(target)
            sidecar(path).unlink(missing_ok=True)
            aside.append(path)
    return aside


def _read_part(path: Path, columns: Sequence[str] | None) -> list[dict[str, Any]]:
    try:
        data = read_sealed(path)
    except DamagedPart as error:
        raise _damaged(path, error) from error
    try:
        return _rows_of(path, data, columns)
    except (ValueError, KeyError, TypeError, OSError) as error:  # OSError: pyarrow's, of the bytes
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> DamagedPart:
    return DamagedPart(f"{path} is damaged ({error}); resume the run to make its rows again")


def _rows_of(path: Path, data: bytes, columns: Sequence[str] | None) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        # From memory and not in threads: a thread of pyarrow that lets go of a Python object
        # while the interpreter exits aborts the process, and with it the exit code.
        table = pq.read_table(
            pa.BufferReader(pa.py_buffer(data)),
            columns=columns,
            use_threads=False,
            pre_buffer=False,
            page_checksum_verification=True,
        )
        rows: list[dict[str, Any]] = table.to_pylist()
        return rows
    rows = [json.loads(line) for line in data.splitlines()]
    return rows if columns is None else [{name: row[name] for name in columns} for row in rows]


def _match(path: Path) -> re.Match[str] | None:
    return _PART.fullmatch(path.name)


def _next_number(directory: Path, rank: int) -> int:
    matches = [_match(path) for path in directory.iterdir()]
    return max((int(m["number"]) + 1 for m in matches if m and int(m["rank"]) == rank), default=0)
