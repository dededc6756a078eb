"""Where the units of an H.264, HEVC or MPEG packet begin: parted by lengths or by start codes."""

from __future__ import annotations

import struct
from collections.abc import Iterator

FOUR_BYTES = struct.Struct(">I").unpack_from


def h264_length_bytes(extradata: bytes | None) -> int:
    """Bytes of the length before each H.264 unit of a packet; 0 where start codes part them."""
    return (extradata[4] & 3) + 1 if extradata and len(extradata) > 4 and extradata[0] == 1 else 0


def hevc_length_bytes(extradata: bytes | None) -> int:
    """Bytes of the length before each HEVC unit of a packet; 0 where start codes part them."""
    return (extradata[21] & 3) + 1 if extradata and len(extradata) > 22 and extradata[0] == 1 else 0


def unit_places(packet: memoryview, length_bytes: int) -> list[int]:
    """Where each unit's header byte is; at last the packet's end if its lengths do not add up."""
    if not length_bytes:
        return list(start_codes(bytes(packet)))
    found, place, end = [], 0, len(packet)
    while place + length_bytes < end:
        if length_bytes == 4:  # nearly always, and every packet comes here
            (size,) = FOUR_BYTES(packet, place)
        else:
            size = int.from_bytes(packet[place : place + length_bytes], "big")
        place += length_bytes
        if size:
            found.append(place)
        place += size
    if place != end:
        found.append(end)
    return found


def start_codes(data: bytes) -> Iterator[int]:
    """Where the byte after each start code is."""
    place = data.find(b"\0\0\1")
    while 0 <= place < len(data) - 3:
        yield place + 3
        place = data.find(b"\0\0\1", place + 3)
