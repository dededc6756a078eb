"""Where a row's video lies, for who comes back to it: a file, a part of an archive, a row.

What is remembered of a row is small; its bytes are read when they are wanted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..decode.errors import VideoError
from ..decode.remote.urls import AllowRemote
from .order import Order
from .row import ClipRow, Member
from .tar_shards import read_member


@dataclass(frozen=True, slots=True, eq=False)
class RowOf:
    """A row of a dataset."""

    rows: Any
    """Gives the row of a number: `DatasetClips`, or a `Reel`."""

    number: int


Place = str | Member | RowOf


class Reel:
    """Rows of a stream by their number: those ahead are gone on to, for others it begins anew.

    Args:
        clips: `StreamedClips`.
    """

    def __init__(self, clips: Any) -> None:
        self.clips = clips
        self.hold = 1
        """Rows that are held at a time, so that they may be had in any order: 0 to hold - 1, then
        as many after them."""
        self.num_passes = 0
        """How often the stream was begun."""
        self._begin()

    def _begin(self) -> None:
        self._rows: Iterator[tuple[int, ClipRow]] = iter(())
        self._held: dict[int, ClipRow] = {}
        self._next: int | None = None  # not begun
        self._process = os.getpid()

    def __iter__(self) -> Iterator[tuple[int, ClipRow]]:
        order = Order(shuffle=False, buffer_size=1, seed=0, epoch=0, shard=0, num_shards=1)
        self.num_passes += 1
        return ((number, row) for _, number, row in self.clips.walk(order, None))

    def __getitem__(self, number: int) -> ClipRow:
        if self._process != os.getpid():
            self._begin()  # the parent's files move with it
        if number not in self._held:
            self._held = {}
            first = number - number % self.hold
            if self._next is None or first < self._next:
                self._rows, self._next = iter(self), 0
            while self._next < first + self.hold:
                found = next(self._rows, None)
                if found is None:
                    break
                self._next = found[0] + 1
                if found[0] >= first:
                    self._held[found[0]] = found[1]
        if number not in self._held:
            raise VideoError("not_found", f"the stream ends before its row {number}")
        return self._held[number]

    def __getstate__(self) -> dict[str, Any]:
        return {"clips": self.clips, "hold": self.hold}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["clips"])  # type: ignore[misc]
        self.hold = state["hold"]


def content_of(place: Place, allow_remote: AllowRemote = False) -> str | bytes:
    """What `Video` takes of a place: a path or URL, or the video's bytes.

    Raises:
        OSError, VideoError: It cannot be had.
    """
    if isinstance(place, RowOf):
        row = place.rows[place.number]
        if row.error is not None:
            raise VideoError("not_found", f"{row.id}: {row.error.message}")
        source = row.source
    else:
        source = place
    assert source is not None  # a row without an error has one
    return read_member(source, allow_remote) if isinstance(source, Member) else source
