"""A lock that says "this rank is at work", and that a killed process gives back by itself."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from .manifest import OutputRefused


class RankLock:
    """Exclusive lock on `directory/.rank-NNNNN.lock`, held until `release` or the process's end.

    Every run has a rank 0, so two runs can never write to one directory at the same time.

    Raises:
        OutputRefused: a living process holds the lock.
    """

    def __init__(self, directory: str | os.PathLike[str], *, rank: int = 0) -> None:
        self.path = Path(directory) / f".rank-{rank:05d}.lock"
        self._descriptor: int | None = self._acquire()

    def _acquire(self) -> int:
        import fcntl

        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                raise OutputRefused(
                    f"output ({self.path.parent}) is being written by another run; wait for it "
                    "to end, or choose another directory"
                ) from None
            # The former holder unlinks its file before it unlocks: a lock on a file that is no
            # longer there protects nothing, so take the new file's.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), os.stat(self.path)):
                    return descriptor
            os.close(descriptor)

    def release(self) -> None:
        """Give the lock back and remove its file. Harmless when called twice."""
        if self._descriptor is None:
            return
        self.path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = None
