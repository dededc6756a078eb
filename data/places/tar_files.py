"""The files of tar archives, none of which is kept, and what is wrong between them."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple


class TarFault(NamedTuple):
    """What is wrong with an archive, or with a place in it."""

    place: str
    """Where: `""` of the whole archive, `"@1536"` at that byte."""

    message: str
    """What it is."""


class TarMember(NamedTuple):
    """A regular file of an archive, or a link."""

    info: tarfile.TarInfo
    """Its header."""

    is_cut: bool
    """Whether the archive ends before it does."""


def tar_files(path: str, file: BinaryIO) -> Iterator[TarMember | TarFault]:
    """Yield the files and links of an uncompressed archive in their order, and its faults.

    Args:
        path: How messages call it.
        file: The archive, seekable.
    """
    file.seek(0, 2)
    size = file.tell()
    file.seek(0)
    try:
        # Invalid blocks are passed over, rather than taken for the end of all.
        archive = tarfile.TarFile(path, fileobj=file, ignore_zeros=True)
    except tarfile.TarError as error:
        yield TarFault("", f"{path} must be an uncompressed tar archive: {error}")
        return
    is_empty, end = True, 0
    for info in _headers(archive):
        if isinstance(info, str):
            if end <= size:  # else a file was found to be cut off
                yield TarFault("", f"{path}: {info}")
            continue
        if info.offset > end and not _is_blank(file, end, info.offset):
            yield TarFault(f"@{end}", f"{path}: what lies at byte {end} is no file's header")
        end = info.offset_data + -(-info.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        base = info.name.rpartition("/")[2]
        is_file = info.isreg() or info.islnk()
        if (is_file or info.issym()) and (not base.startswith(".") or base.startswith("..")):
            is_empty &= not is_file
            yield TarMember(info, info.offset_data + info.size > size)
    if end == 0 or is_empty:
        yield TarFault("", f"{path} must be an uncompressed tar archive, and holds no file")
    elif end < size and not _is_blank(file, end, size):
        yield TarFault(f"@{end}", f"{path}: what lies at byte {end} is no file's header")


def _headers(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo | str]:
    """The headers of an archive, none of them kept; at the end perhaps what is wrong with it."""
    while True:
        try:
            info = archive.next()
        except (tarfile.TarError, ValueError) as error:
            yield f"it breaks off ({error})"
            return
        if info is None:
            return
        archive.members = []  # type: ignore[attr-defined]
        yield info


def _is_blank(file: BinaryIO, start: int, stop: int) -> bool:
    """Whether only zeros lie there, as at the end of one of two archives that were joined."""
    place = file.tell()
    try:
        while start < stop:
            file.seek(start)
            block = file.read(min(stop - start, 1 << 20))
            if not block or block.count(0) < len(block):
                return not block
            start += len(block)
        return True
    finally:
        file.seek(place)
