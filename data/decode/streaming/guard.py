"""Look at an mp4/mov header on its way through a pipe, before the demuxer gets it.

A file is searched for bombs before it is opened (see `bombs`). What comes through a pipe cannot be:
it is there only once. So each header and each head of a fragment is taken from the pipe as a whole,
looked at, and then handed on; all else passes untouched.
"""

from __future__ import annotations

import io
import struct
from typing import Any

from ..errors import Reason, VideoError
from ..headers.bombs import find_bomb, largest_frame

MAX_HEADER_BYTES = 128 << 20
"""Bytes of one header (some ten million frames); larger ones are not taken into memory."""

_HEADERS = (b"moov", b"moof")


class BoxGuard(io.RawIOBase):
    """An mp4/mov source read forward, whose headers are known to be harmless.

    Args:
        file: The source, at its start.
        name: How errors call it.
    """

    largest_frame_bytes = 0
    """Bytes of the largest frame that a fragment announced so far."""

    def __init__(self, file: io.RawIOBase, *, name: str) -> None:
        super().__init__()
        self._file = file
        self._name = name
        self._ready = memoryview(b"")  # looked at, and not yet handed on
        self._num_passing: int | None = 0  # bytes up to the next box; None: all that come

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a part of the buffer; return the number of bytes, 0 at the end of the source.

        Raises:
            VideoError: `too_large` or `corrupt`: the next header is a bomb.
        """
        target = memoryview(buffer).cast("B")
        if not self._ready and self._num_passing == 0:
            self._take_box()
        if self._ready:
            count = min(len(target), len(self._ready))
            target[:count] = self._ready[:count]
            self._ready = self._ready[count:]
            return count
        if self._num_passing is None:
            return self._file.readinto(target) or 0
        count = self._file.readinto(target[: self._num_passing]) or 0
        self._num_passing -= count
        return count

    def _take_box(self) -> None:
        """Take the head of the next box from the source, or all of it where it is a header."""
        head = self._read(8)
        size, kind = struct.unpack(">I4s", head) if len(head) == 8 else (0, b"")
        if size == 1:
            head += self._read(8)
            size = struct.unpack(">Q", head[8:])[0] if len(head) == 16 else 0
        # A box without a size goes on to the end. After one that makes no sense, nothing is read.
        body_bytes = size - len(head) if size >= len(head) else None
        if kind in _HEADERS:
            if body_bytes is not None and body_bytes > MAX_HEADER_BYTES:
                self._refuse("too_large", f"its header has {body_bytes} bytes")
            limit = MAX_HEADER_BYTES if body_bytes is None else body_bytes
            head += self._read(limit)
            bomb = find_bomb(io.BytesIO(head), holds_all=False)
            if bomb is not None:
                self._refuse(*bomb)
            if kind == b"moof":
                self.largest_frame_bytes = max(
                    self.largest_frame_bytes, largest_frame(io.BytesIO(head))
                )
            body_bytes = None if body_bytes is None else 0
        self._ready, self._num_passing = memoryview(head), body_bytes

    def _read(self, count: int) -> bytes:
        """So many bytes; fewer at the end of the source."""
        parts, left = [], count
        while left and (part := self._file.read(min(left, 1 << 20))):
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def _refuse(self, reason: Reason, what: str) -> None:
        raise VideoError(reason, f"{self._name}: {what}")
