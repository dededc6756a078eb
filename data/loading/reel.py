"""`Reel`: rows of a stream by their number, as far as one goes through it in order."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Row = TypeVar("Row")


class Reel(Generic[Row]):
    """Rows of a stream: those ahead are gone on to, for others it begins anew.

    Args:
        begin: iterates over all rows, from the first.
        hold: rows that are held at a time, so that they may be had in any order: 0 to hold - 1,
            then as many after them.
    """

    def __init__(self, begin: Callable[[], Iterator[Row]], hold: int = 1) -> None:
        self.begin, self.hold = begin, hold
        self.num_passes = 0
        """How often the stream was begun."""
        self._rewind()

    def _rewind(self) -> None:
        self._rows: Iterator[tuple[int, Row]] = iter(())
        self._held: dict[int, Row] = {}
        self._next: int | None = None  # not begun
        self._process = os.getpid()

    def __iter__(self) -> Iterator[Row]:
        self.num_passes += 1
        return self.begin()

    def __getitem__(self, number: int) -> Row:
        if self._process != os.getpid():
            self._rewind()  # the parent's files move with it
        if number not in self._held:
            self._held = {}
            first = number - number % self.hold
            if self._next is None or first < self._next:
                self._rows, self._next = enumerate(iter(self)), 0
            while self._next < first + self.hold:
                found = next(self._rows, None)
                if found is None:
                    break
                self._next = found[0] + 1
                if found[0] >= first:
                    self._held[found[0]] = found[1]
        if number not in self._held:
            raise IndexError(f"the stream ends before its row {number}")
        return self._held[number]

    def __getstate__(self) -> tuple[Callable[[], Iterator[Row]], int]:
        return self.begin, self.hold

    def __setstate__(self, state: tuple[Callable[[], Iterator[Row]], int]) -> None:
        self.begin, self.hold = state
        self.num_passes = 0
        self._rewind()
