"""What an mp4/mov (or Matroska) header tells and the demuxer does not: is it there, is it turned.

The display matrix of a track is not among what the demuxer's packets carry, and finding it out by
decoding a frame would break the rule that an index decodes nothing.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import BinaryIO

MATROSKA_HEAD_BYTES = 1 << 16
"""How much of a Matroska file is searched for its projection."""

_MAX_BOXES = 100_000  # a header that lies must not keep us here


def has_header(file: BinaryIO) -> bool:
    """Whether the file holds a whole `moov` box: without one nothing can be decoded."""
    end = file.seek(0, 2)
    return any(kind == b"moov" and stop <= end for kind, _, stop in walk(file, 0, end))


def rotation_degrees(file: BinaryIO, track_id: int) -> int:
    """Read how far a track's frames are to be turned, counterclockwise, to stand upright.

    Args:
        file: The mp4/mov file.
        track_id: The track's id (`stream.id`).

    Returns:
        Degrees in (-180, 180]; 0 when the track has no display matrix.
    """
    end = file.seek(0, 2)
    for kind, start, stop in walk(file, 0, end):
        if kind != b"moov":
            continue
        for inner, inner_start, inner_stop in walk(file, start, stop):
            if inner != b"trak":
                continue
            for leaf, leaf_start, _ in walk(file, inner_start, inner_stop):
                if leaf == b"tkhd":
                    found = _track_header(file, leaf_start)
                    if found is not None and found[0] == track_id:
                        return found[1]
    return 0


def walk(file: BinaryIO, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield (kind, content start, content stop) of the boxes in the half-open byte range.

    The last one may stop after the range: a file that was cut.
    """
    for _ in range(_MAX_BOXES):
        if start + 8 > stop:
            return
        file.seek(start)
        header = file.read(16)
        if len(header) < 8:
            return
        size, kind = struct.unpack(">I4s", header[:8])
        content = start + 8
        if size == 1 and len(header) == 16:
            size, content = struct.unpack(">Q", header[8:])[0], start + 16
        elif size == 0:
            size = stop - start
        if size < content - start:
            return
        yield kind, content, start + size
        start += size


def matroska_rotation_degrees(head: bytes) -> int:
    """Read how far frames are to be turned, counterclockwise, from the roll of a projection.

    Args:
        head: The first `MATROSKA_HEAD_BYTES` of the file. The first projection counts.
    """
    start = head.find(b"\x76\x70")
    roll = head.find(b"\x76\x75", start, start + 64) if start >= 0 else -1
    size = {0x84: 4, 0x88: 8}.get(head[roll + 2]) if 0 <= roll < len(head) - 11 else None
    if size is None:
        return 0
    degrees = struct.unpack(">f" if size == 4 else ">d", head[roll + 3 : roll + 3 + size])[0]
    return round(degrees) if math.isfinite(degrees) and abs(degrees) <= 180 else 0


def _track_header(file: BinaryIO, start: int) -> tuple[int, int] | None:
    """Return (track id, degrees counterclockwise) of a `tkhd` box."""
    file.seek(start)
    content = file.read(96)
    if len(content) < 84:
        return None
    wide = content[0] == 1  # version 1 has 64-bit times
    id_at, matrix_at = (20, 52) if wide else (12, 40)
    if len(content) < matrix_at + 36:
        return None
    track_id = struct.unpack_from(">I", content, id_at)[0]
    a, b, _, c, d = struct.unpack_from(">5i", content, matrix_at)
    across, down = math.hypot(a, c), math.hypot(b, d)
    if across == 0 or down == 0:
        return track_id, 0
    return track_id, -round(math.degrees(math.atan2(b / down, a / across)))
