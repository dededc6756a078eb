"""What compressed files hold. One that is damaged ends where the damage begins, and says so."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, BinaryIO

_BUFFER_BYTES = 1 << 16

BOMB_BYTES, BOMB_RATIO = 1 << 30, 500
"""What comes to so many bytes, and so many times what it was packed in, is taken for a bomb: no
texts are that alike."""


class Unpacked(io.RawIOBase):
    """A stream that ends where its source cannot be unpacked any further.

    Args:
        stream: Unpacks as it is read.
        num_packed: Tells how many bytes of the packed source were taken so far.
    """

    damage: str | None = None
    """Why the stream ends before its end; None where it does not."""

    def __init__(self, stream: Any, num_packed: Callable[[], int]) -> None:
        super().__init__()
        self._stream = stream
        self._num_packed = num_packed
        self._num_bytes = 0
        # A call that fails loses what it had unpacked: one block at a time is little.
        self._read = getattr(stream, "read1", stream.read)

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a part of the buffer; return the number of bytes, 0 at the end or at the damage."""
        if self.damage is not None:
            return 0
        try:
            data = self._read(len(buffer))
        except Exception as error:  # each library has its own
            self.damage = f"it cannot be unpacked any further ({error})"
            return 0
        self._num_bytes += len(data)
        if is_bomb(self._num_bytes, self._num_packed(), least_bytes=BOMB_BYTES):
            self.damage = f"it unpacks to over {BOMB_RATIO} times its size: taken for a bomb"
            return 0
        buffer[: len(data)] = data
        return len(data)

    def tell(self) -> int:
        """How many bytes were given so far."""
        return self._num_bytes

    def close(self) -> None:
        """Close the source, too."""
        if not self.closed:
            self._stream.close()
        super().close()


def is_bomb(num_bytes: int, num_packed: int, *, least_bytes: int) -> bool:
    """Whether so few packed bytes unpack to so many that they were made to fill a memory."""
    return num_bytes > least_bytes and num_bytes > BOMB_RATIO * max(num_packed, 1)


def unpacked(packed: BinaryIO, suffix: str) -> BinaryIO:
    """Read a compressed file as what it holds.

    Args:
        packed: The file, at its beginning; it is closed with what is returned.
        suffix: One of `SUFFIXES`.

    Returns:
        A stream that cannot seek. `damage_of` says whether its end is that of the file.
    """
    raw = Unpacked(_OPENERS[suffix](packed), packed.tell)
    return _Closing(raw, packed)


class _Closing(io.BufferedReader):
    """A buffer that closes the packed file as well: gzip and its like leave it open."""

    def __init__(self, raw: Unpacked, packed: BinaryIO) -> None:
        super().__init__(raw, _BUFFER_BYTES)
        self._packed = packed

    def close(self) -> None:
        super().close()
        self._packed.close()


def damage_of(file: Any) -> str | None:
    """Why an open file, perhaps one of text, ended before its end; None: it did not, or not yet."""
    binary = getattr(file, "buffer", file)
    return getattr(getattr(binary, "raw", None), "damage", None)


def _gzip(packed: BinaryIO) -> Any:
    import gzip

    return gzip.GzipFile(fileobj=packed)


def _bzip2(packed: BinaryIO) -> Any:
    import bz2

    return bz2.BZ2File(packed)


def _xz(packed: BinaryIO) -> Any:
    import lzma

    return lzma.LZMAFile(packed)


def _zstandard(packed: BinaryIO) -> Any:
    import pyarrow as pa

    return pa.CompressedInputStream(pa.PythonFile(packed, mode="r"), "zstd")


_OPENERS: dict[str, Callable[[BinaryIO], Any]] = {
    ".gz": _gzip,
    ".bz2": _bzip2,
    ".xz": _xz,
    ".zst": _zstandard,
}

SUFFIXES = frozenset(_OPENERS)
"""Of compressed files."""
