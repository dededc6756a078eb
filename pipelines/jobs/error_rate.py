"""`ErrorRate`: whether too many inputs fail for a run to go on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Protocol

FEWEST_INPUTS = 100
"""That are judged by: a few bad ones at the beginning say nothing of the rest."""


class _Board(Protocol):
    """As `sharing.board.Board`."""

    rank: int
    world_size: int

    def add(self, name: str, amount: int = 1) -> int: ...
    def put(self, name: str, value: Any) -> None: ...
    def get(self, name: str) -> Any: ...


class _Event(Protocol):
    """As `stop.Stop` and `threading.Event`."""

    def is_set(self) -> bool: ...


class ErrorRate:
    """Counts the inputs that this run has read, and those with an error, over all ranks.

    What earlier runs left in the output does not count: a run that is gone on with begins anew.

    Args:
        most: Share of errors that is borne, 0 to 1; None: any, and nothing is counted.
        board: Where the ranks meet; None: this process counts by itself.

    Raises:
        ValueError: `most` is no share.
    """

    def __init__(self, most: float | None, board: _Board | None = None) -> None:
        if most is not None and not 0 <= most <= 1:
            raise ValueError(f"max_error_rate ({most}) must be >= 0 and <= 1")
        self.told: str | None = None
        """What is wrong, once more inputs than `most` have an error."""
        self._most = most
        self._board = board
        self._answered = 0
        self._reasons: Counter[str] = Counter()
        self._first: dict[str, str] = {}  # error of each reason

    def add(self, row: Mapping[str, Any]) -> None:
        """Count one more input."""
        if self._most is None or self.told is not None:
            return
        reason = row["error_reason"]
        self._answered += 1
        if reason is not None:
            self._reasons[reason] += 1
            self._first.setdefault(reason, f"{row['id']}: {row['error_message']}")
        failed, answered = self._counts(is_error=reason is not None)
        if answered >= FEWEST_INPUTS and failed / answered > self._most:
            self.told = self._sentence(failed, answered)
            if self._board is not None:
                self._board.put("too_many_errors", self.told)
                self._board.put("stop", True)

    def told_of_all(self) -> str | None:
        """What is wrong, whichever rank has found it."""
        if self._board is None or self.told is not None:
            return self.told
        found: str | None = self._board.get("too_many_errors")
        return found

    def _counts(self, *, is_error: bool) -> tuple[int, int]:
        board = self._board
        if board is None:
            return self._reasons.total(), self._answered
        if is_error:
            board.put(f"errors/{board.rank}", (self._reasons, self._first))
        board.add("answers")  # before its error: what others see is never too high a share
        failed = board.add("errors", int(is_error))
        return failed, board.add("answers", 0)

    def _sentence(self, failed: int, answered: int) -> str:
        reasons, first = self._reasons, self._first
        if (board := self._board) is not None:
            reasons, first = Counter(), {}
            for rank in range(board.world_size):
                of_rank, first_of_rank = board.get(f"errors/{rank}") or ({}, {})
                reasons.update(of_rank)
                first = first_of_rank | first
        ((reason, count),) = reasons.most_common(1)
        return (
            f"{failed:,} of the {answered:,} inputs read by this run have an error, more than "
            f"max_error_rate ({self._most:g}) bears: {count:,} have {reason}, the first is "
            f"{first[reason]}; what was read is committed: mend what is wrong, or raise "
            "max_error_rate (--max-error-rate), then go on with resume=True (--resume), which does "
            "the rest; rows that have an error stay as they are, unless all begins anew"
        )


def asked_to_stop(errors: ErrorRate, *events: _Event | None) -> Callable[[], bool]:
    """What tells whether a run is to stop: for its errors, a signal, or whoever has started it."""
    those = [event for event in events if event is not None]
    return lambda: errors.told is not None or any(event.is_set() for event in those)
