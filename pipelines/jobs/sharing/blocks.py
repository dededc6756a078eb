"""`Blocks`: groups that follow each other, taken by one rank; the others' when it does not end.

    open/N   the end of the block that begins with group N, while it is not written
    held/R   the block (first group, end) that rank R took last
    runs/N   how often it was begun
    done     groups of the blocks that are written
    read     inputs of these
    skipped  those of them that were left without a row

A block has one part, called by its first input. Whoever reads it writes that part, so that a block
that was read twice is there once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from .board import Board

_SECONDS, _SECONDS_JOINED = 0.5, 5.0
"""What a block is to take at least: a commit costs some milliseconds, and a pipeline that joins
groups is less dense at both ends of a block."""

_SHARE_OF_AGE, _MOST_SECONDS = 0.01, 60.0
"""... and of a long run so much of its age, so that the number of its parts stays small."""

_MOST_INPUTS = 4096
_MOST_RUNS = 3
"""A block that ended so many ranks is left alone."""

_NOTHING = (-1, -1)
"""What a rank holds that gave its block up: no group has this number."""

_POLL_SECONDS = 0.02
_ORPHAN_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Block:
    """Groups `first` up to `end`."""

    first: int
    end: int


class Blocks:
    """Takes blocks for one rank.

    Args:
        board: of the run.
        most_inputs: of a group.
        joins_groups: whether a block is read in one call.
        is_stopped: whether to take no more.
        is_gone: whether a rank is known to have ended.
    """

    def __init__(
        self,
        board: Board,
        *,
        most_inputs: int,
        joins_groups: bool,
        is_stopped: Callable[[], bool],
        is_gone: Callable[[int], bool],
    ) -> None:
        self._board = board
        self._most_groups = max(1, _MOST_INPUTS // most_inputs)
        self._least_seconds = _SECONDS_JOINED if joins_groups else _SECONDS
        self._is_stopped = is_stopped
        self._is_gone = is_gone
        self._began = time.monotonic()
        self._group_seconds = 0.0  # moving mean; 0: not known
        self._waiting_since: dict[int, float] = {}  # for blocks of others, by their first group
        self._tried: set[int] = set()
        self._written = 0  # all groups before this one are

    def take(self) -> Block | None:
        """The next block for this rank; None: all are written, or it is to stop."""
        while not self._is_stopped():
            if (block := self._take_new() or self._take_over()) is not None:
                return block
            if self.is_over():
                return None
            time.sleep(_POLL_SECONDS)
        return None

    def is_over(self) -> bool:
        """Whether every group is written, or none of the others can be."""
        board = self._board
        if not board.has("all_listed"):
            return False
        return board.number("done") >= board.number("listed") or self._is_hopeless()

    def finish(self, block: Block, seconds: float, *, inputs: int = 0, skipped: int = 0) -> None:
        """Be told that a block is written, how long it took, and how many inputs it has.

        Args:
            block: it.
            seconds: of reading it.
            inputs: of the block.
            skipped: those of them that have no row.
        """
        board = self._board
        end = min(block.end, board.number("listed"))  # behind the last group there is none
        if board.remove(f"open/{block.first}"):
            board.add("read", inputs)
            board.add("skipped", skipped)
            board.add("done", max(0, end - block.first))
        for number in range(block.first, block.end):
            board.remove(f"group/{number}")
        mean = seconds / max(block.end - block.first, 1)
        before = self._group_seconds or mean
        self._group_seconds = 0.5 * before + 0.5 * mean

    def first_unwritten(self) -> int | None:
        """Position before which no input is left to be written; None where it is not known now."""
        board = self._board
        listed = board.number("listed")
        while self._written < listed and not board.has(f"group/{self._written}"):
            self._written += 1
        group = board.get(f"group/{self._written}") if self._written < listed else None
        return None if group is None else int(group[0])

    def is_open(self, block: Block) -> bool:
        """Whether nobody has written it."""
        return self._board.has(f"open/{block.first}")

    def _take_new(self) -> Block | None:
        board = self._board
        left = board.number("listed") - board.number("drawn")
        if left <= 0:
            return None
        count = self._size(left)
        end = board.add("drawn", count)
        block = Block(first=end - count, end=end)
        board.put(f"open/{block.first}", block.end)
        self._begin(block)
        return block

    def _size(self, left: int) -> int:
        """Many groups of cheap inputs, few towards the end: guided self-scheduling."""
        share = left // (2 * self._board.world_size)
        age = time.monotonic() - self._began
        seconds = max(self._least_seconds, min(_SHARE_OF_AGE * age, _MOST_SECONDS))
        by_time = int(seconds / self._group_seconds) if self._group_seconds else 1
        return max(1, min(share, by_time, self._most_groups))

    def _begin(self, block: Block) -> bool:
        """Count this run of a block; False: others had its last ones in this moment."""
        board = self._board
        board.put(f"held/{board.rank}", (block.first, block.end))
        if board.add(f"runs/{block.first}") > _MOST_RUNS:
            board.put(f"held/{board.rank}", _NOTHING)
            return False
        self._tried.add(block.first)
        return True

    def _take_over(self) -> Block | None:
        """A block that another rank does not end: that rank is gone, or slower than this one."""
        board = self._board
        if not board.has("all_listed"):
            return None
        now = time.monotonic()
        for rank, block in self._of_others():
            since = self._waiting_since.setdefault(block.first, now)
            patience = 0.0 if self._is_gone(rank) else self._patience(block)
            if block.first in self._tried or now - since < patience:
                continue
            if board.number(f"runs/{block.first}") < _MOST_RUNS and self._begin(block):
                return block
        return self._orphan(now)

    def _of_others(self) -> list[tuple[int, Block]]:
        """What other ranks have taken and not written, the longest known first."""
        found = []
        for rank in range(self._board.world_size):
            held = None if rank == self._board.rank else self._board.get(f"held/{rank}")
            if held is not None:
                block = Block(first=held[0], end=held[1])
                if self.is_open(block):
                    found.append((rank, block))
        return sorted(found, key=lambda pair: self._waiting_since.get(pair[1].first, float("inf")))

    def _patience(self, block: Block) -> float:
        return max(0.2, 2 * self._group_seconds * (block.end - block.first))

    def _orphan(self, now: float) -> Block | None:
        """A group that a rank took, which then ended before it could say so."""
        board = self._board
        if self._of_others() or board.number("done") >= board.number("listed"):
            self._waiting_since.pop(-1, None)
            return None
        if now - self._waiting_since.setdefault(-1, now) < _ORPHAN_SECONDS:
            return None
        for number in range(board.number("listed")):
            if number not in self._tried and board.has(f"group/{number}"):
                block = Block(first=number, end=number + 1)
                board.put(f"open/{number}", block.end)
                if self._begin(block):
                    return block
        return None

    def _is_hopeless(self) -> bool:
        """Whether what is left ended each rank that began it."""
        others = self._of_others()
        return bool(others) and all(
            self._is_gone(rank)
            and (
                block.first in self._tried
                or self._board.number(f"runs/{block.first}") >= _MOST_RUNS
            )
            for rank, block in others
        )
