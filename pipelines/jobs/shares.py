"""Whether the other ranks of a run have done their shares."""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from ...data.names.key_list import KeyList
from ...data.names.known_names import KnownNames
from .store.lock import is_at_work
from .store.resumed import done_by_now

_POLL_SECONDS = 1.0


@dataclass
class OtherShares:
    """The ids of the inputs that other ranks are to read."""

    ids: dict[int, KeyList] = field(default_factory=lambda: defaultdict(KeyList))
    """By rank: what they are known by."""

    def unread(
        self,
        output: str | os.PathLike[str],
        *,
        rows_for_all: bool = True,
        patience_seconds: float = 0.0,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> tuple[dict[int, int], list[int]]:
        """Look which shares are not done.

        Args:
            output: The run's directory.
            rows_for_all: False: bad inputs get no row, so a rank that has written any is done.
            patience_seconds: How long a rank that has nothing yet may take to begin.
            is_stopped: Whether to look no longer.

        Returns:
            Inputs without a row by rank, for the ranks that no process works as; and the ranks
            with such inputs that are still at work.
        """
        if not self.ids:
            return {}, []
        deadline = time.monotonic() + patience_seconds
        while True:
            # Who is at work is asked first: who ends in between has committed its rows by then.
            working = {rank for rank in self.ids if is_at_work(output, rank)}
            missing = self._missing(done_by_now(output), rows_for_all)
            absent = {rank: count for rank, count in missing.items() if rank not in working}
            if not absent or time.monotonic() >= deadline or is_stopped():
                return absent, sorted(missing.keys() & working)
            time.sleep(min(_POLL_SECONDS, max(0.0, deadline - time.monotonic())))

    def _missing(self, done: KnownNames, rows_for_all: bool) -> Counter[int]:
        missing: Counter[int] = Counter()
        for rank, ids in self.ids.items():
            count = sum(not done.has_key(key) for key in ids)
            if count and (rows_for_all or count == len(ids)):
                missing[rank] = count
        return missing


def told(unread: Mapping[int, int], at_work: Collection[int]) -> list[str]:
    """Say in sentences what other ranks have not done."""
    lines = [
        f"rank {rank} is not at work and {count} of its inputs have no row; start it (or set "
        "WORLD_SIZE=1 RANK=0 for one process) and go on with --resume"
        for rank, count in sorted(unread.items())
    ]
    return lines + [f"rank {rank} is still at work" for rank in sorted(at_work)]
