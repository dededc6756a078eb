"""GIF pictures that were cut: a decoder shows what it has of them, as if that were all.

A picture's data are blocks, each with its length before it, and end with an empty one. So a packet
that was cut is told from its blocks alone.
"""

from __future__ import annotations

_SIGNATURES = (b"GIF87a", b"GIF89a")
_EXTENSION, _PICTURE, _END = 0x21, 0x2C, 0x3B


def is_whole(packet: bytes) -> bool:
    """Whether a GIF packet has all blocks of its picture."""
    place = 0
    if packet[:6] in _SIGNATURES:
        place = 13 + _palette_bytes(packet, 10)
    while place < len(packet):
        kind = packet[place]
        if kind == _EXTENSION:
            place = _after_blocks(packet, place + 2)
        elif kind == _PICTURE:
            # Nine bytes of place and size, colours, and how wide the first codes are.
            return _after_blocks(packet, place + 11 + _palette_bytes(packet, place + 9)) >= 0
        else:
            return kind == _END
        if place < 0:
            return False
    return False


def _palette_bytes(packet: bytes, at: int) -> int:
    flags = packet[at] if at < len(packet) else 0
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _after_blocks(packet: bytes, place: int) -> int:
    """Where the empty block ends; -1 where there is none."""
    while place < len(packet):
        size = packet[place]
        place += 1 + size
        if not size:
            return place
    return -1
