"""Refuse mp4/mov headers whose numbers would make a demuxer take all memory.

A few bytes can announce a hundred million frames, or a header that unpacks to gigabytes. The
demuxer makes room for them before it looks whether they are there, so this looks first. What a box
announces and cannot hold is damage, on a machine with much memory as on one with little.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from ..errors import Reason
from .boxes import walk_boxes

MAX_TRACKS = 1000
"""Tracks in one file; the demuxer takes no more."""

MAX_PACKED_BYTES = 64 << 20
"""Bytes that a compressed header may unpack to."""

MAX_UNLISTED_SAMPLES = 1_000_000
"""Samples (half a day of video) of a fragment, or of constant size, that no table lists."""

SLACK_BYTES = 1 << 20
"""What a table may announce beyond its box: too little to harm, and left to the demuxer."""

_MOST_HELD_BYTES = 1 << 16
_DEEPEST = 6  # moov, trak, mdia, minf, stbl and their tables
_FAMILY = frozenset({b"moov", b"trak", b"edts", b"mdia", b"minf", b"dinf", b"stbl", b"traf"})
# Where a table's count stands in its box, and the least bytes of one entry, which follow it.
_TABLES = {
    b"stts": (4, 8), b"ctts": (4, 8), b"stss": (4, 4), b"stps": (4, 4), b"stsc": (4, 12),
    b"stco": (4, 4), b"co64": (4, 8), b"elst": (4, 12), b"dref": (4, 12), b"stsd": (4, 8),
}  # fmt: skip
_SAMPLE_SIZE = 0x200
_SAMPLE_FIELDS = (
    0x100,
    _SAMPLE_SIZE,
    0x400,
    0x800,
)  # duration, size, flags, time offset: 4 bytes each
_TRUN_FIELDS = (0x1, 0x4)  # what stands before the table


class Bomb(NamedTuple):
    """What must not be opened."""

    reason: Reason
    """`corrupt`: the file cannot hold what it announces; `too_large`: it is too much."""

    what: str
    """The same in words."""


def find_bomb(file: BinaryIO, *, holds_all: bool = True) -> Bomb | None:
    """Say what in an mp4/mov file must not be opened; None when nothing is.

    Args:
        file: The file, or one of its headers alone.
        holds_all: Whether this is the whole file, so that frames can be compared with its size.
    """
    end = file.seek(0, 2)
    most_frames = max(MAX_UNLISTED_SAMPLES, end if holds_all else 0)
    for kind, start, stop in walk_boxes(file, 0, end):
        if kind == b"moov":
            found = _in_movie(file, start, min(stop, end), most_frames)
        elif kind == b"moof":
            found = _in_fragment(file, start, min(stop, end))
        else:
            continue
        if found is not None:
            return found
    return None


def _in_movie(file: BinaryIO, start: int, stop: int, most_frames: int) -> Bomb | None:
    if stop - start <= _MOST_HELD_BYTES:  # one read instead of one for each box
        file.seek(start)
        file = io.BytesIO(file.read(stop - start))
        start, stop = 0, stop - start
    return _in_header(file, start, stop) or _in_tables(file, start, stop, most_frames)


def _in_header(file: BinaryIO, start: int, stop: int) -> Bomb | None:
    tracks = 0
    for kind, inner, inner_stop in walk_boxes(file, start, stop):
        tracks += kind == b"trak"
        if kind == b"cmov":
            for packed, place, _ in walk_boxes(file, inner, min(inner_stop, stop)):
                size = _numbers(file, place, 1)
                if packed == b"cmvd" and size and size[0] > MAX_PACKED_BYTES:
                    return Bomb("too_large", f"its header unpacks to {size[0]} bytes")
    return Bomb("too_large", f"it has {tracks} tracks") if tracks > MAX_TRACKS else None


def _in_tables(
    file: BinaryIO, start: int, stop: int, most_frames: int, depth: int = 0
) -> Bomb | None:
    """Look for tables with more entries than their boxes have room for, at any depth."""
    is_video = False
    for kind, inner, inner_stop in walk_boxes(file, start, stop):
        inner_stop = min(inner_stop, stop)
        found = None
        if kind == b"hdlr":
            is_video = _numbers(file, inner + 8, 1) == (int.from_bytes(b"vide", "big"),)
        elif kind in _FAMILY and depth < _DEEPEST:
            # Sound of a constant size is read in chunks, and not listed sample by sample.
            most = most_frames if is_video or kind != b"minf" else 1 << 32
            found = _in_tables(file, inner, inner_stop, most, depth + 1)
        elif kind in _TABLES:
            count_at, entry_bytes = _TABLES[kind]
            found = _in_table(file, kind, inner + count_at, inner_stop, entry_bytes)
        elif kind == b"stsz":
            size = _numbers(file, inner + 4, 2)
            if size[:1] == (0,):
                found = _in_table(file, kind, inner + 8, inner_stop, 4)
            elif size and size[1] > most_frames:
                found = Bomb("corrupt", f"its header announces {size[1]} frames of {size[0]} bytes")
        if found is not None:
            return found
    return None


def _in_table(
    file: BinaryIO, kind: bytes, count_at: int, stop: int, entry_bytes: int
) -> Bomb | None:
    for count in _numbers(file, count_at, 1):
        room = max(stop - count_at - 4, 0)
        if count * entry_bytes > room + SLACK_BYTES:
            name = kind.decode()
            has = room // entry_bytes
            return Bomb("corrupt", f"its table {name} announces {count} entries, not {has} at most")
    return None


def largest_frame(fragment: BinaryIO) -> int:
    """Bytes of the largest frame that the tables of a fragment's head (`moof`) announce."""
    largest, end = 0, fragment.seek(0, 2)
    for _, start, stop in walk_boxes(fragment, 0, end):
        for flags, count, place, _ in _runs(fragment, start, min(stop, end)):
            fields = [field for field in _SAMPLE_FIELDS if flags & field]
            if _SAMPLE_SIZE in fields:
                numbers = _numbers(fragment, place, count * len(fields))
                largest = max(largest, *numbers[fields.index(_SAMPLE_SIZE) :: len(fields)], 0)
    return largest


def _in_fragment(file: BinaryIO, start: int, stop: int) -> Bomb | None:
    for flags, count, place, run_stop in _runs(file, start, stop):
        fields = sum(bool(flags & field) for field in _SAMPLE_FIELDS)
        room = (run_stop - place) // (4 * fields) if fields else MAX_UNLISTED_SAMPLES
        if count > room:
            what = f"a fragment announces {count} frames and has room for {max(room, 0)}"
            return Bomb("corrupt", what)
    return None


def _runs(file: BinaryIO, start: int, stop: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (flags, count, start of the table, stop) of the runs of frames of a fragment."""
    for kind, inner, inner_stop in walk_boxes(file, start, stop):
        if kind != b"traf":
            continue
        for leaf, place, leaf_stop in walk_boxes(file, inner, min(inner_stop, stop)):
            numbers = _numbers(file, place, 2) if leaf == b"trun" else ()
            if numbers:
                flags, count = numbers
                before = 8 + 4 * sum(bool(flags & field) for field in _TRUN_FIELDS)
                yield flags, count, place + before, leaf_stop


def _numbers(file: BinaryIO, place: int, count: int) -> tuple[int, ...]:
    """Big-endian 32-bit numbers; none at the end of the file."""
    file.seek(place)
    data = file.read(4 * count)
    return struct.unpack(f">{count}I", data) if len(data) == 4 * count else ()
