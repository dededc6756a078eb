"""Seals of parts: a digest that says whether a part still is what was written.

A parquet part carries its seal inside, between its rows and its footer, where readers of parquet
never look; page checksums beside it are for them. A part of JSON lines has it in a hidden file of
its own, which is there before the part is. Parts of older versions have none and are believed.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from .durable import write_durably

_MARK = b"\x00temporal-sha256:"
_DIGEST_BYTES = 32
_TAIL_BYTES = 8  # the footer's length and the magic number


class DamagedPart(ValueError):
    """A committed part is not what was written."""


def seal_parquet(data: bytes) -> bytes:
    """Put the digest of a parquet file's bytes in front of its footer."""
    footer = _footer_of(data)
    digest = hashlib.sha256(data).digest()
    return data[:footer] + _MARK + digest + data[footer:]


def _footer_of(data: bytes) -> int:
    """Where a parquet file says that its footer begins."""
    return len(data) - _TAIL_BYTES - int.from_bytes(data[-8:-4], "little")


def write_sealed(path: Path, data: bytes, *, tag: str = "") -> None:
    """Write a part durably with its digest: it is there as a whole and sealed, or not at all.

    Args:
        path: Its name.
        data: What is in it.
        tag: See `write_durably`.

    Raises:
        OSError: the disk refused; there is no part of this name.
    """
    if path.suffix == ".jsonl":  # before the part: no part is ever without its digest
        digest = hashlib.sha256(data).hexdigest().encode()
        write_durably(sidecar(path), lambda file: file.write(digest + b"\n"), tag=tag)
    else:
        data = seal_parquet(data)
    write_durably(path, lambda file: file.write(data), tag=tag)


def sidecar(path: Path) -> Path:
    """Where the digest of a part of JSON lines lies."""
    return path.with_name(f".{path.name}.sha256")


def read_sealed(path: Path) -> bytes:
    """Read a part and check its seal, where it has one.

    Raises:
        DamagedPart: the bytes are not those that were sealed.
        OSError: the part cannot be read.
    """
    data = path.read_bytes()
    if path.suffix == ".jsonl":
        try:
            expected = sidecar(path).read_bytes().strip()
        except FileNotFoundError:
            return data
        if hashlib.sha256(data).hexdigest().encode() != expected:
            raise DamagedPart("its bytes are not those of its digest")
        return data
    # Texts may hold the mark as well, and the footer has some of them as statistics.
    start = _footer_of(data) - len(_MARK) - _DIGEST_BYTES
    if start < 0 or not data.startswith(_MARK, start):
        if _MARK in data:
            raise DamagedPart("its digest is not where it was put")
        return data
    stop = start + len(_MARK) + _DIGEST_BYTES
    content = hashlib.sha256(data[:start])
    content.update(data[stop:])
    if content.digest() != data[start + len(_MARK) : stop]:
        raise DamagedPart("its bytes are not those of its digest")
    return data
