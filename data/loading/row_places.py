"""Where a row's video lies, for who comes back to it: a file, a part of an archive, a row.

What is remembered of a row is small; its bytes are read when they are wanted.
"""

from __future__ import annotations

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
    """Rows of a stream by their number: those after the last one go on, others begin anew.

    Args:
        clips: `StreamedClips`; no row is held but the last.
    """

    def __init__(self, clips: Any) -> None:
        self.clips = clips
        self.num_passes = 0
        """How often the stream was begun."""
        self._rows: Iterator[tuple[int, ClipRow]] = iter(())
        self._last: tuple[int, ClipRow] | None = None

    def __iter__(self) -> Iterator[tuple[int, ClipRow]]:
        order = Order(shuffle=False, buffer_size=1, seed=0, epoch=0, shard=0, num_shards=1)
        self.num_passes += 1
        return ((number, row) for _, number, row in self.clips.walk(order, None))

    def __getitem__(self, number: int) -> ClipRow:
        if self._last is None or number < self._last[0]:
            self._rows = iter(self)
            self._last = None
        while self._last is None or self._last[0] < number:
            self._last = next(self._rows, None)
            if self._last is None:
                raise VideoError("not_found", f"the stream ends before its row {number}")
        return self._last[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_rows": iter(()), "_last": None}  # a worker begins its own


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
