"""What the other processes of a run have counted: each writes its own counts beside the rows.

The capital of the bets depends on the counts alone, so that counts of several processes add up. A
file that a killed process left is taken over by whoever has its rank modulo the ranks there are:
its rows are counted there.
"""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

_LOOK_SECONDS = 1.0
_NAME = re.compile(r"\.audit-(\d{5,})\.json")


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """Inputs that were audited, and those of them whose answers differ."""

    audited: int = 0
    disagreed: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            audited=self.audited + other.audited, disagreed=self.disagreed + other.disagreed
        )


class Others:
    """The other processes of a run; without a directory there are none.

    Args:
        directory: of the run's rows.
        rank: this process's.
        world_size: processes of the run, more than 1 for there to be others.

    Attributes:
        total: what they had counted when it was last looked.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str] | None = None,
        *,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self._directory = Path(directory) if directory is not None and world_size > 1 else None
        self._rank, self._world_size = rank, world_size
        self._next_look = 0.0
        self.total = Counts()
        if directory is not None:
            for path, its_rank in _files(Path(directory)):
                if its_rank % world_size == rank:
                    path.unlink(missing_ok=True)

    def publish(self, audited: int, disagreed: int) -> None:
        """Tell the others what was counted here, in all."""
        if self._directory is None:
            return
        path = self._directory / f".audit-{self._rank:05d}.json"
        whole = path.with_suffix(".tmp")
        try:
            whole.write_text(json.dumps({"audited": audited, "disagreed": disagreed}))
            whole.replace(path)
        except OSError:  # the rows tell it as well, to whoever resumes; a full disk stops those
            return

    def look(self) -> None:
        """See what the others have counted, once a second at most."""
        if self._directory is None or time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK_SECONDS
        total = Counts()
        for path, its_rank in _files(self._directory):
            if its_rank == self._rank:
                continue
            try:
                total += Counts(**json.loads(path.read_bytes()))
            except (OSError, ValueError, TypeError):  # gone, or not whole: the next look will tell
                return
        self.total = total


def _files(directory: Path) -> list[tuple[Path, int]]:
    try:
        names = [(path, _NAME.fullmatch(path.name)) for path in directory.iterdir()]
    except OSError:
        return []
    return [(path, int(match[1])) for path, match in names if match is not None]
