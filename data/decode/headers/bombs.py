"""Refuse mp4/mov headers whose numbers would make a demuxer take all memory.

A few bytes can announce a hundred million frames, or a header that unpacks to gigabytes. The
demuxer makes room for them before it looks whether they are there, so this looks first.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from .boxes import walk

MAX_TRACKS = 1000
"""Tracks in one file; the demuxer takes no more."""

MAX_PACKED_BYTES = 64 << 20
"""Bytes that a compressed header may unpack to."""

MAX_FRAGMENT_SAMPLES = 1_000_000
"""Samples of one fragment (half a day of video) that has no table of them."""

_SAMPLE_FIELDS = (0x100, 0x200, 0x400, 0x800)  # duration, size, flags, time offset: 4 bytes each
_TRUN_FIELDS = (0x1, 0x4)  # what stands before the table


def find_bomb(file: BinaryIO) -> str | None:
    """Say what in an mp4/mov file must not be opened; None when nothing is."""
    end = file.seek(0, 2)
    for kind, start, stop in walk(file, 0, end):
        if kind == b"moov":
            found = _in_header(file, start, min(stop, end))
        elif kind == b"moof":
            found = _in_fragment(file, start, min(stop, end))
        else:
            continue
        if found is not None:
            return found
    return None


def _in_header(file: BinaryIO, start: int, stop: int) -> str | None:
    tracks = 0
    for kind, inner, inner_stop in walk(file, start, stop):
        tracks += kind == b"trak"
        if kind == b"cmov":
            for packed, place, _ in walk(file, inner, min(inner_stop, stop)):
                size = _numbers(file, place, 1)
                if packed == b"cmvd" and size and size[0] > MAX_PACKED_BYTES:
                    return f"its header unpacks to {size[0]} bytes"
    return f"it has {tracks} tracks" if tracks > MAX_TRACKS else None


def _in_fragment(file: BinaryIO, start: int, stop: int) -> str | None:
    for kind, inner, inner_stop in walk(file, start, stop):
        if kind != b"traf":
            continue
        for leaf, place, leaf_stop in walk(file, inner, min(inner_stop, stop)):
            numbers = _numbers(file, place, 2) if leaf == b"trun" else ()
            if not numbers:
                continue
            flags, count = numbers
            fields = sum(bool(flags & field) for field in _SAMPLE_FIELDS)
            before = 8 + 4 * sum(bool(flags & field) for field in _TRUN_FIELDS)
            room = (leaf_stop - place - before) // (4 * fields) if fields else MAX_FRAGMENT_SAMPLES
            if count > room:
                return f"a fragment announces {count} frames and has room for {max(room, 0)}"
    return None


def _numbers(file: BinaryIO, place: int, count: int) -> tuple[int, ...]:
    """Big-endian 32-bit numbers; none at the end of the file."""
    file.seek(place)
    data = file.read(4 * count)
    return struct.unpack(f">{count}I", data) if len(data) == 4 * count else ()
