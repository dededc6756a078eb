"""`Member`: a file inside of a zip or tar archive, read where it lies; nothing is extracted."""

from __future__ import annotations

import io
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from .unpacked import Unpacked, is_bomb

_HELD_BYTES = 64 * 2**20
"""A compressed member that is read out of turn is unpacked: to memory, a larger one to a file."""

_LOCAL_HEADER = b"PK\x03\x04"
_LOCAL_HEADER_BYTES = 30
_BUFFER_BYTES = 1 << 16


class MemberLost(OSError):
    """A member cannot be read: its archive is gone or damaged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """Where a file lies inside of an archive; it goes to other processes as this."""

    archive: str
    """Path of the archive on this machine."""

    shown: str
    """How messages call it: the archive's own name, and the file's in it."""

    offset: int
    """Where its bytes begin; in a zip, where its header does."""

    num_bytes: int
    """How many bytes it holds."""

    num_packed: int
    """How many bytes of the archive those are."""

    packing: int | None = None
    """How a zip packs it (`zipfile.ZIP_DEFLATED` ...); None: it lies there as it is, in a tar."""

    crc: int = 0
    """Of a zip: the checksum."""

    def __str__(self) -> str:
        return self.shown

    @property
    def name(self) -> str:
        """How messages call it."""
        return self.shown

    def open_file(self) -> BinaryIO:
        """Open it for reading forward.

        Raises:
            MemberLost: There is no such member any more.
        """
        file = self._archive()
        try:
            start = self._start(file)
            if self.packing in (None, zipfile.ZIP_STORED):
                return cast(BinaryIO, io.BufferedReader(Slice(file, start, self.num_bytes)))
            file.seek(start)
            stream = zipfile.ZipExtFile(
                cast(Any, file), "r", self._info(), pwd=None, close_fileobj=True
            )
            return cast(
                BinaryIO,
                io.BufferedReader(Unpacked(stream, lambda: self.num_packed), _BUFFER_BYTES),
            )
        except BaseException:
            file.close()
            raise

    def open_seekable(self) -> BinaryIO:
        """Open it for reading from any place; a compressed one is unpacked first.

        Raises:
            MemberLost: There is no such member any more, it is damaged, or it unpacks to far more
                than it was packed in.
        """
        if self.packing in (None, zipfile.ZIP_STORED):
            return self.open_file()
        if is_bomb(self.num_bytes, self.num_packed, least_bytes=_HELD_BYTES):
            raise MemberLost(
                f"{self.shown} would unpack from {self.num_packed} bytes to {self.num_bytes}: "
                "taken for a bomb; unpack it yourself to have it read"
            )
        held = tempfile.SpooledTemporaryFile(max_size=_HELD_BYTES)  # noqa: SIM115
        try:
            with self.open_file() as packed:
                shutil.copyfileobj(packed, held, 1 << 20)
                damage = cast(Any, packed).raw.damage
            if damage is None and held.tell() != self.num_bytes:
                damage = f"it holds {held.tell()} bytes, and should {self.num_bytes}"
            if damage is not None:
                raise MemberLost(f"{self.shown}: {damage}")
            held.seek(0)
            return cast(BinaryIO, held)
        except BaseException:
            held.close()
            raise

    def _archive(self) -> BinaryIO:
        try:
            return open(self.archive, "rb")
        except OSError as error:
            raise MemberLost(f"{self.shown}: {error.strerror}: {self.archive}") from error

    def _start(self, file: BinaryIO) -> int:
        """Where its bytes begin: in a zip behind a header of its own."""
        if self.packing is None:
            return self.offset
        file.seek(self.offset)
        header = file.read(_LOCAL_HEADER_BYTES)
        if len(header) < _LOCAL_HEADER_BYTES or not header.startswith(_LOCAL_HEADER):
            raise MemberLost(f"{self.shown}: it does not begin where the archive says")
        name, extra = (int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
        return self.offset + _LOCAL_HEADER_BYTES + name + extra

    def _info(self) -> zipfile.ZipInfo:
        info = zipfile.ZipInfo(self.shown.replace("\0", "?"))
        info.compress_type = cast(int, self.packing)
        info.compress_size, info.file_size = self.num_packed, self.num_bytes
        info.CRC = self.crc
        return info


class Slice(io.RawIOBase):
    """A part of an open file, as a file of its own, with which the whole is closed.

    Args:
        file: The file.
        start: Where the part begins.
        num_bytes: How long it is.
    """

    def __init__(self, file: BinaryIO, start: int, num_bytes: int) -> None:
        super().__init__()
        self._file = file
        self._start = start
        self._num_bytes = num_bytes
        self._place = 0
        self.damage: str | None = None
        """Why it ends before its end (`unpacked.damage_of`)."""

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; return the number of bytes, 0 at the end."""
        wanted = min(len(buffer), max(0, self._num_bytes - self._place))
        self._file.seek(self._start + self._place)
        data = self._file.read(wanted)
        if len(data) < wanted:
            self.damage = "the archive ends within it"
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a place of the part; return it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._num_bytes}[whence]
        self._place = max(0, base + offset)
        return self._place

    def close(self) -> None:
        """Close the whole file."""
        if not self.closed:
            self._file.close()
        super().close()
