"""What a file is (`120 bytes, sha256 9f86...`), whatever its name and its time of change."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

_GROWN = ", grown from "
_CHUNK_BYTES = 1 << 20

_APPENDED = {".csv", ".tsv", ".jsonl", ".ndjson", ".txt", ".lst"}
"""Files whose first rows stay what they are when lines are written behind them."""


def fingerprint(
    path: str | os.PathLike[str], *, before: str | None = None, may_grow: bool = True
) -> str:
    """Read a file and say what it is.

    Args:
        path: The file.
        before: An earlier fingerprint of it. When lines were written behind what it tells of, the
            result says so, and is still the same content (`same_content`).
        may_grow: False: with lines behind the old ones it is another content.
    """
    path = Path(path)
    status = path.stat()
    if before == by_time(status):  # written by an older version, which did not read the file
        return before
    may_grow = may_grow and path.suffix.lower() in _APPENDED
    size = _size_of(before) if before and may_grow else None
    digest, grown = hashlib.sha256(), ""
    with path.open("rb") as file:
        if size is not None and 0 < size < status.st_size:
            last = _update(digest, file, size)
            earlier = _told(size, digest)
            following = file.read(1)
            if earlier == _own(before) and (last == b"\n" or following in (b"\n", b"\r")):
                grown = f"{_GROWN}{earlier}"
            digest.update(following)
        _update(digest, file, None)
        return _told(file.tell(), digest) + grown


def fingerprint_by(path: Path, sha256: str) -> str:
    """The fingerprint of a file whose SHA-256 is known: it is not read."""
    return f"{path.stat().st_size} bytes, sha256 {sha256}"


def fingerprint_of_many(
    paths: Sequence[str], *, before: str | None = None, may_grow: bool = True
) -> str:
    """Read files and say what they are, names and order included.

    Args:
        paths: The files, in the order in which they are read.
        before: An earlier fingerprint. When there are files behind those that it tells of, the
            result says so, and is still the same content.
        may_grow: False: with files behind the old ones it is another content.
    """
    number, _, _ = (before or "").partition(" files, sha256 ")
    count = int(number) if may_grow and number.isdecimal() else None
    digest, grown = hashlib.sha256(), ""
    for done, path in enumerate(paths):
        if done == count:
            earlier = f"{count} files, sha256 {digest.hexdigest()}"
            grown = f"{_GROWN}{earlier}" if earlier == _own(before) else ""
        try:
            told = fingerprint(path) if os.path.isfile(path) else "no file"
        except OSError:
            told = "unreadable"
        digest.update(f"{path}: {told}\n".encode(errors="surrogateescape"))
    return f"{len(paths)} files, sha256 {digest.hexdigest()}{grown}"


def same_content(found: str, now: str) -> bool:
    """Whether a fingerprint of now is that of an earlier one, perhaps with lines behind it."""
    own, _, earlier = now.partition(_GROWN)
    return _own(found) in (own, earlier)


def _own(text: str | None) -> str:
    return (text or "").partition(_GROWN)[0]


def _size_of(before: str) -> int | None:
    number, unit, _ = before.partition(" bytes, sha256 ")
    return int(number) if unit and number.isdecimal() else None


def _told(size: int, digest: hashlib._Hash) -> str:
    return f"{size} bytes, sha256 {digest.hexdigest()}"


def by_time(status: os.stat_result) -> str:
    """What older versions told of a file, which they did not read."""
    return f"{status.st_size} bytes, mtime_ns {status.st_mtime_ns}"


def _update(digest: hashlib._Hash, file: BinaryIO, size: int | None) -> bytes:
    """Feed `size` bytes (None: all that are left); return the last one."""
    last = b""
    while size is None or size > 0:
        wanted = _CHUNK_BYTES if size is None else min(size, _CHUNK_BYTES)
        data = file.read(wanted)
        if not data:
            break
        digest.update(data)
        last = data[-1:]
        size = None if size is None else size - len(data)
    return last
