"""What an mp4/mov (or Matroska) header tells and the demuxer does not: is it there, is it turned.

The display matrix of a track is not among what the demuxer's packets carry, and finding it out by
decoding a frame would break the rule that an index decodes nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from ..pictures.orientation import UPRIGHT, Orientation, from_matrix, from_roll

MATROSKA_HEAD_BYTES = 1 << 16
"""How much of a Matroska file is searched for its projection."""

_Matrix = tuple[float, float, float, float]
_SAME: _Matrix = (1.0, 0.0, 0.0, 1.0)
_HALF_TURN = 180.0
_MAX_BOXES = 100_000  # a header that lies must not keep us here


def has_header(file: BinaryIO) -> bool:
    """Whether the file holds a whole `moov` box: without one nothing can be decoded."""
    end = file.seek(0, 2)
    return any(kind == b"moov" and stop <= end for kind, _, stop in walk_boxes(file, 0, end))


def orientation(file: BinaryIO, track_id: int) -> Orientation:
    """Read how a track's frames are to be turned and mirrored to stand upright.

    The track's display matrix counts, and the whole movie's after it.

    Args:
        file: The mp4/mov file.
        track_id: The track's id (`stream.id`).
    """
    end = file.seek(0, 2)
    for kind, start, stop in walk_boxes(file, 0, end):
        if kind != b"moov":
            continue
        track, movie = _SAME, _SAME
        for inner, inner_start, inner_stop in walk_boxes(file, start, stop):
            if inner == b"mvhd":
                movie = _movie_matrix(file, inner_start) or movie
            if inner != b"trak":
                continue
            for leaf, leaf_start, _ in walk_boxes(file, inner_start, inner_stop):
                if leaf == b"tkhd":
                    found = _track_header(file, leaf_start)
                    if found is not None and found[0] == track_id:
                        track = found[1]
        (a, b, c, d), (p, q, r, s) = track, movie
        return from_matrix(a * p + b * r, a * q + b * s, c * p + d * r, c * q + d * s)
    return UPRIGHT


def walk_boxes(file: BinaryIO, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
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


def matroska_orientation(head: bytes) -> Orientation:
    """Read how frames are to be turned and mirrored, from the pose of a projection.

    Args:
        head: The first `MATROSKA_HEAD_BYTES` of the file. The first projection counts.
    """
    start = head.find(b"\x76\x70")
    if start < 0:
        return UPRIGHT
    yaw, pitch, roll = (
        _pose(head, start, kind) for kind in (b"\x76\x73", b"\x76\x74", b"\x76\x75")
    )
    if pitch or yaw and abs(yaw) != _HALF_TURN:
        return UPRIGHT  # a view of a sphere
    return from_roll(-roll if yaw else roll, is_mirrored=bool(yaw))


def _pose(head: bytes, start: int, kind: bytes) -> float:
    """A number of a projection in degrees; 0 where it is not given."""
    place = head.find(kind, start, start + 64)
    size = {0x84: 4, 0x88: 8}.get(head[place + 2]) if 0 <= place < len(head) - 11 else None
    if size is None:
        return 0.0
    code = ">f" if size == 4 else ">d"
    return float(struct.unpack(code, head[place + 3 : place + 3 + size])[0])


def _track_header(file: BinaryIO, start: int) -> tuple[int, _Matrix] | None:
    """Return (track id, display matrix) of a `tkhd` box."""
    file.seek(start)
    content = file.read(96)
    wide = content[:1] == b"\1"  # version 1 has 64-bit times
    id_at, matrix_at = (20, 52) if wide else (12, 40)
    if len(content) < matrix_at + 36:
        return None
    track_id = struct.unpack_from(">I", content, id_at)[0]
    return track_id, _matrix(content, matrix_at)


def _movie_matrix(file: BinaryIO, start: int) -> _Matrix | None:
    """Return the display matrix of an `mvhd` box."""
    file.seek(start)
    content = file.read(96)
    matrix_at = 48 if content[:1] == b"\1" else 36
    return _matrix(content, matrix_at) if len(content) >= matrix_at + 36 else None


def _matrix(content: bytes, place: int) -> _Matrix:
    a, b, _, c, d = struct.unpack_from(">5i", content, place)
    return a / 65536, b / 65536, c / 65536, d / 65536
