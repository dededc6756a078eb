"""Rows are known by their content: digests of a text's words and of a file's bytes."""

from __future__ import annotations

import hashlib
import unicodedata
from pathlib import Path
from typing import BinaryIO

from ..tables.times import Part, is_whole, name_of_part

_BLOCK_BYTES = 1 << 20


def plain(text: str) -> str:
    """The words of a text, as two files agree on them.

    White space, case, form and what is not seen (byte order marks, soft hyphens) do not count.
    """
    words = unicodedata.normalize("NFKC", text).casefold().replace("\\/", "/")
    if not words.isascii():
        words = "".join(c for c in words if unicodedata.category(c) != "Cf")
    return " ".join(words.split())


def digest_text(text: str) -> int:
    """64 bits of a digest of a text's words, the same for texts that `plain` makes equal."""
    digest = hashlib.blake2b(plain(text).encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "little")


def digest_file(path: str | Path) -> int:
    """64 bits of a digest of a file's bytes: a copy under another name is the same row."""
    with open(path, "rb") as file:
        return digest_open(file)


def digest_open(file: BinaryIO) -> int:
    """The same of an open file, from its place on."""
    digest = hashlib.blake2b(digest_size=8)
    while block := file.read(_BLOCK_BYTES):
        digest.update(block)
    return int.from_bytes(digest.digest(), "little")


def digest_part(digest: int, part: Part) -> int:
    """The digest of a part of a video, given the video's; of all of it, that itself."""
    if is_whole(part):
        return digest
    return digest_text(name_of_part(f"{digest:016x}", part))


def digest_bytes(content: bytes) -> int:
    """The digest of a file that holds these bytes."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")
