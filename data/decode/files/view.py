"""Files as decoders see them: each with a place of its own, and never more bytes than asked for.

A container reads through whatever object the caller gave. Two containers on one file object (a
stream and a read of the same video) would move each other's place; and a `read` that returns more
than it was asked for would write past the demuxer's buffer.
"""

from __future__ import annotations

import io
import threading
from typing import Any, BinaryIO

from ..errors import VideoError


class FileView(io.RawIOBase):
    """A seekable file from its beginning, with its own place. Never closes the file.

    Args:
        file: The seekable binary file.
        turn: Shared by all views of one file: only one of them moves it at a time.
    """

    def __init__(self, file: BinaryIO, turn: threading.Lock) -> None:
        super().__init__()
        self._file = file
        self._turn = turn
        self._place = 0
        self._is_lost = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer from this view's place; return the number of bytes, 0 at the end.

        Raises:
            VideoError: A remote file was lost. Said once, which ends this view: a demuxer that asks
                on within the same call could only print the next ones.
        """
        if self._is_lost:
            return 0
        try:
            with self._turn:
                self._file.seek(self._place)
                data = self._file.read(len(buffer))
        except VideoError:
            self._is_lost = True
            raise
        self._place += len(data)
        return _copy(data, buffer)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the place of this view; return it, in bytes from the start of the file."""
        if whence == io.SEEK_END:
            with self._turn:
                self._file.seek(0, io.SEEK_END)
                offset += self._file.tell()
        elif whence == io.SEEK_CUR:
            offset += self._place
        self._place = max(0, offset)
        return self._place


class ForwardFile(io.RawIOBase):
    """A source that can only be read forward (a pipe, a socket's file); never closes it.

    Args:
        head: Bytes that were already taken from the source, to be given first.
        source: Has `read(size)`, and maybe `read1(size)`, which is preferred: it returns what is
            there instead of waiting for all of it.
    """

    def __init__(self, head: bytes, source: Any) -> None:
        super().__init__()
        self._head = head
        self._read = getattr(source, "read1", source.read)

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a part of the buffer; return the number of bytes, 0 at the end of the source."""
        if self._head:
            data, self._head = self._head[: len(buffer)], self._head[len(buffer) :]
        else:
            data = self._read(len(buffer))
        return _copy(data, buffer)


def can_seek(source: Any) -> bool:
    """Whether a file object can be read from any place."""
    seekable = getattr(source, "seekable", None)
    return hasattr(source, "seek") and (seekable is None or bool(seekable()))


def _copy(data: Any, buffer: Any) -> int:
    if data is None:
        raise BlockingIOError("the source has no bytes yet: its read() must wait for them")
    if not isinstance(data, bytes | bytearray | memoryview) or len(data) > len(buffer):
        found = f"{len(data)} of them" if isinstance(data, bytes) else type(data).__name__
        raise TypeError(
            f"the source's read({len(buffer)}) must return at most so many bytes, not {found}"
        )
    buffer[: len(data)] = data
    return len(data)
