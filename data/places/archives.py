"""The files inside of zip and tar archives, listed without extracting any."""

from __future__ import annotations

import os
import re
import shutil
import stat
import struct
import zipfile
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any, NamedTuple

from ..item import InputError, InputReason
from .content import open_bytes, suffix_of
from .copies import copy_of
from .member import Member
from .tar_files import TarFault, tar_files
from .unpacked import damage_of, unpacked

_SHORT = {".tgz": ".tar.gz", ".tbz2": ".tar.bz2", ".txz": ".tar.xz", ".tzst": ".tar.zst"}
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_NAMES_ARE_UTF8, _IS_ENCRYPTED = 0x800, 0x1
_JUNK = "__MACOSX"
_SEPARATORS = re.compile(r"[\\/]")
_DRIVE = re.compile(r"[A-Za-z]:")
_UNREADABLE = (
    *(OSError, EOFError, ValueError, NotImplementedError, OverflowError),
    *(struct.error, zipfile.BadZipFile),
)


_damage: dict[str, str | None] = {}  # of the copies of compressed archives


class ArchiveFile(NamedTuple):
    """A file of an archive, or what is wrong with it."""

    name: str
    """Its path inside; empty of the archive as a whole."""

    member: Member | None = None
    """Where it lies; None where it is no regular file, or cannot be read."""

    problem: InputError | None = None
    """Why it cannot be read."""


def is_archive(name: object) -> bool:
    """Whether a file of this name is a zip or tar archive, perhaps a compressed one."""
    return _kind_of(str(name)) is not None


def archive_files(path: str, shown: str) -> Iterator[ArchiveFile]:
    """Yield the files of an archive in its order, without hidden ones; broken ones as problems.

    Nothing is written under a name that an archive gives, and no archive inside is looked into.

    Args:
        path: A file of this machine. A compressed tar archive is unpacked, into a temporary file.
        shown: How messages call it.
    """
    if _kind_of(path) == ".zip":
        yield from _zip_files(path, shown)
        return
    try:
        where, damage = path, None
        if PurePath(path).suffix.lower() != ".tar":
            where, damage = _unpacked(path)
        with open(where, "rb") as file:
            for found in tar_files(shown, file):
                if isinstance(found, TarFault) and damage is not None and not found.place:
                    continue  # it follows from the damage
                if isinstance(found, TarFault):
                    yield _fault(found.place, "bad_archive", found.message)
                    continue
                info = found.info
                name = info.name.removeprefix("./")
                if _is_hidden(name):
                    continue
                if info.issym():
                    yield ArchiveFile(name)
                    continue
                problem = "it is cut off where the archive ends" if found.is_cut else None
                problem = "sparse files are not read" if info.issparse() else problem
                if info.islnk():
                    problem = f"it is the file {info.linkname!r} under another name; read that one"
                member = Member(
                    archive=where,
                    shown=f"{shown}/{name}",
                    offset=info.offset_data,
                    num_bytes=info.size,
                    num_packed=info.size,
                )
                yield _checked(name, member, problem)
        if damage is not None:
            yield _fault("", "bad_archive", f"{shown}: {damage}")
    except OSError as error:
        yield _fault("", "bad_archive", f"{shown}: {error.strerror or error}")


def member_at(path: str) -> Member | None:
    """The member that `Member.shown` calls so: an archive's path, and the name inside behind it."""
    archive = next((above for above in map(str, PurePath(path).parents) if is_archive(above)), None)
    if archive is None or not os.path.isfile(archive):
        return None
    name = path[len(archive) + 1 :]
    found = (file.member for file in archive_files(archive, archive) if file.name == name)
    return next(found, None)


def _kind_of(name: str) -> str | None:
    suffix = suffix_of(_long_name(name))
    return suffix if suffix in (".zip", ".tar") and not name.lower().endswith(".zip.gz") else None


def _long_name(name: str) -> str:
    path = PurePath(name)
    return path.stem + _SHORT.get(path.suffix.lower(), path.suffix)


def _unpacked(path: str) -> tuple[str, str | None]:
    """A copy of a compressed archive that can be read at any place, and why it ends early."""
    short = PurePath(path).suffix.lower()
    status = os.stat(path)
    key = f"{path} {status.st_mtime_ns} {status.st_size}"

    def write(file: Any) -> None:
        if short in _SHORT:
            packed = unpacked(open_bytes(path), f".{_SHORT[short].rpartition('.')[2]}")
        else:
            packed = open_bytes(path)
        with packed:
            shutil.copyfileobj(packed, file, 1 << 20)
            _damage[key] = damage_of(packed)

    where = copy_of(key, "x.tar", write)
    return where, _damage[key]


def _zip_files(path: str, shown: str) -> Iterator[ArchiveFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except _UNREADABLE as error:
        yield _fault("", "bad_archive", f"{shown} must be a zip archive: {error}")
        return
    for info in infos:
        name = _name_of(info).removeprefix("./")
        if info.is_dir() or _is_hidden(name):
            continue
        if stat.S_ISLNK(info.external_attr >> 16):
            yield ArchiveFile(name)
            continue
        problem = None
        if info.flag_bits & _IS_ENCRYPTED:
            problem = "it is encrypted: unpack the archive with its password, and give the files"
        elif info.compress_type not in _PACKINGS:
            problem = f"it is compressed by a method that is not read here ({info.compress_type})"
        member = Member(
            archive=path,
            shown=f"{shown}/{name}",
            offset=info.header_offset,
            num_bytes=info.file_size,
            num_packed=info.compress_size,
            packing=info.compress_type,
            crc=info.CRC,
        )
        yield _checked(name, member, problem)


def _name_of(info: zipfile.ZipInfo) -> str:
    """A member's name: what does not say its encoding is often UTF-8 all the same."""
    name = info.filename
    if info.flag_bits & _NAMES_ARE_UTF8 or name.isascii():
        return name
    try:
        return name.encode("cp437").decode("utf-8")
    except UnicodeError:
        return name


def _is_hidden(name: str) -> bool:
    parts = _SEPARATORS.split(name)
    return _JUNK in parts or any(part.startswith(".") and part.strip(".") for part in parts)


def _checked(name: str, member: Member, problem: str | None) -> ArchiveFile:
    """A member, unless there is a problem, or its name leads out of the archive."""
    parts = _SEPARATORS.split(name)
    if ".." in parts or not parts[0] or _DRIVE.match(name):
        message = f"{member.shown}: its name leads out of the archive"
        return _fault(name, "path_not_allowed", message)
    if problem is not None:
        return _fault(name, "unsupported_input", f"{member.shown}: {problem}")
    return ArchiveFile(name, member)


def _fault(name: str, reason: InputReason, message: str) -> ArchiveFile:
    return ArchiveFile(name, problem=InputError(reason=reason, message=message))
