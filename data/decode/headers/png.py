"""Whether a PNG moves: its chunk `acTL` comes somewhere before its pixels, behind any metadata."""

from __future__ import annotations

import struct
from collections.abc import Callable

PNG = b"\x89PNG\r\n\x1a\n"
"""How each begins."""

_MAX_BYTES = 1 << 22  # of metadata before the pixels


def moves(head: bytes) -> bool:
    """Whether the beginning of a PNG says that it is animated."""
    return _look(head)[0] == b"acTL"


def read_head(head: bytes, read: Callable[[int], bytes]) -> bytes:
    """Lengthen the beginning of a file until it tells, if it is a PNG; others stay as they are.

    Args:
        head: What was read.
        read: Reads on, at most so many bytes.
    """
    if not head.startswith(PNG):
        return head
    while True:
        kind, needed = _look(head)
        if kind is not None or needed > _MAX_BYTES:
            return head
        more = read(needed - len(head))
        if not more:
            return head
        head += more


def _look(head: bytes) -> tuple[bytes | None, int]:
    """The first chunk that tells, or how many bytes are needed to see the next one."""
    place = len(PNG)
    while place + 8 <= len(head):
        size, kind = struct.unpack_from(">I4s", head, place)
        if kind in (b"acTL", b"IDAT", b"IEND"):
            return kind, 0
        place += 12 + size
    return None, place + 8
