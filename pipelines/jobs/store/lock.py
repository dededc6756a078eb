"""A lock that says "this rank is at work", and that a killed process gives back by itself."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..manifest import OutputRefused

# Whoever looks whether a lock is held has it for a moment, and who takes it says its run's size
# a moment later.
_LOOKING_SECONDS = 0.3


class RankLock:
    """Exclusive lock on `directory/.rank-NNNNN.lock`, held until `release` or the process's end.

    Every run has a rank 0, so two runs can never write to one directory at the same time; ranks
    of a run that was shared out among another number of processes are refused as well, since
    their shares overlap. Locks that dead processes left behind are removed.

    Raises:
        OutputRefused: a living process holds the lock, or one of a run of another size.
    """

    def __init__(
        self, directory: str | os.PathLike[str], *, rank: int = 0, world_size: int = 1
    ) -> None:
        self.path = _path(directory, rank)
        self.world_size = world_size
        self._descriptor: int | None = None
        try:
            self._descriptor = self._acquire()
            self._refuse_others(rank)
        except OutputRefused:
            self.release()
            raise
        except OSError as error:
            self.release()
            raise OutputRefused(
                f"output ({self.path.parent}) must be a directory that can be made and written "
                f"to: {error.strerror or error}; choose another directory"
            ) from error

    def _acquire(self) -> int:
        import fcntl

        deadline = time.monotonic() + _LOOKING_SECONDS
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                if time.monotonic() < deadline:
                    time.sleep(0.01)
                    continue
                raise OutputRefused(
                    f"output ({self.path.parent}) is being written by another run; wait for it "
                    "to end, or choose another directory"
                ) from None
            # The former holder unlinks its file before it unlocks: a lock on a file that is no
            # longer there protects nothing, so take the new file's.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), os.stat(self.path)):
                    os.ftruncate(descriptor, 0)
                    os.pwrite(descriptor, f"{self.world_size}\n".encode(), 0)
                    return descriptor
            os.close(descriptor)

    def _refuse_others(self, rank: int) -> None:
        """Look at the locks of other runs' ranks; those of this run's are left alone."""
        for path in self.path.parent.iterdir():
            match = _LOCK.fullmatch(path.name)
            if match is None or int(match["rank"]) == rank:
                continue
            other = int(match["rank"])
            deadline = time.monotonic() + _LOOKING_SECONDS
            while other >= self.world_size or _size_of(path) != self.world_size:
                if not _is_held(path, remove=True):
                    break
                # A rank that has its lock this very moment says its run's size in the next.
                if time.monotonic() > deadline:
                    raise OutputRefused(
                        f"output ({path.parent}) is being written by rank {other} of another run; "
                        "wait for it to end, or choose another directory"
                    )
                time.sleep(0.01)

    def release(self) -> None:
        """Give the lock back and remove its file. Harmless when called twice."""
        if self._descriptor is None:
            return
        with contextlib.suppress(OSError):  # read-only by now: the lock is given back all the same
            self.path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = None


@contextmanager
def joining(
    directory: str | os.PathLike[str], *, only_one: bool, wait_seconds: float = 0.0
) -> Iterator[bool]:
    """Whether parts may be joined now, of ranks that may all do so: one of them at a time.

    Args:
        directory: Of the parts; it is the lock, so that no file stays behind.
        only_one: Whether there are such ranks; False: nobody needs to wait.
        wait_seconds: How long another one may go on with it.
    """
    import fcntl

    if not only_one:
        yield True
        return
    deadline = time.monotonic() + wait_seconds
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        has_it = False
        while not has_it:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                has_it = True
            except OSError:  # held, or a file system that locks no directories
                if time.monotonic() >= deadline:
                    break
                time.sleep(0.02)
        yield has_it
    finally:
        os.close(descriptor)


def is_at_work(directory: str | os.PathLike[str], rank: int) -> bool:
    """Whether a living process writes to `directory` as this rank."""
    return _is_held(_path(directory, rank))


def remove_locks(directory: str | os.PathLike[str]) -> None:
    """Remove the files of locks that dead processes left behind."""
    for path in Path(directory).iterdir():
        if _LOCK.fullmatch(path.name):
            _is_held(path, remove=True)


_LOCK = re.compile(r"\.rank-(?P<rank>\d{5,})\.lock")


def _path(directory: str | os.PathLike[str], rank: int) -> Path:
    return Path(directory) / f".rank-{rank:05d}.lock"


def _size_of(path: Path) -> int | None:
    """Processes in the run of a lock's holder; None where it does not tell (yet)."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _is_held(path: Path, *, remove: bool = False) -> bool:
    """Whether a living process holds a lock; `remove` its file when none does."""
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if remove:
            path.unlink(missing_ok=True)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
