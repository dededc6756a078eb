"""What the tables of an mp4/mov track say of its frames: where each lies, and when it is shown.

S frames, C chunks of frames that lie behind each other.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from .boxes import walk_boxes

_MOST_HEADER_BYTES = 1 << 28
_NORMAL_RATE = 0x00010000
_NO_TIME = (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)  # of an edit that is empty


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SampleTables:
    """Of a track whose frames are all in one list, of one kind, and shown from one place on."""

    places: NDArray[np.int64]
    """[S] where in the file each begins."""

    size_bytes: NDArray[np.int64]
    """[S] bytes of each."""

    is_key: NDArray[np.bool_]
    """[S] whether decoding may start at it."""

    durations: NDArray[np.int64]
    """[S] in units of the track's clock."""

    offsets: NDArray[np.int64]
    """[S] from when each is decoded to when it is shown, but for what all have in common."""


def read_sample_tables(file: BinaryIO, track_id: int) -> SampleTables | None:
    """Read the tables of a track.

    Args:
        file: The mp4/mov file, whose header `bombs.find_bomb` let pass.
        track_id: The track's id (`stream.id`).

    Returns:
        None: The file is none of the simple kind. It has fragments, several descriptions of its
        frames, edits that leave something out, or tables that do not fit each other.
    """
    end, header = file.seek(0, 2), None
    for kind, start, stop in walk_boxes(file, 0, end):
        if kind == b"moof" or stop > end or (kind == b"moov" and header is not None):
            return None
        if kind == b"moov":
            if stop - start > _MOST_HEADER_BYTES:
                return None
            file.seek(start)
            header = file.read(stop - start)
    if header is None:
        return None
    inside = _boxes(header)
    tracks = [_boxes(body) for body in inside.get(b"trak", [])]
    found = [track for track in tracks if _track_id(_only(track, b"tkhd")) == track_id]
    if len(found) != 1 or b"mvex" in inside:
        return None
    return _tables(found[0])


def _tables(track: dict[bytes, list[bytes]]) -> SampleTables | None:
    if b"edts" in track and not _is_plain(_only(_boxes(_only(track, b"edts")), b"elst")):
        return None
    media = _boxes(_only(_boxes(_only(track, b"mdia")), b"minf"))
    table = _boxes(_only(media, b"stbl"))
    kinds, sizes = _numbers(_only(table, b"stsd")), _numbers(_only(table, b"stsz"))
    count = len(sizes) - 3
    if len(kinds) < 2 or kinds[1] != 1 or count < 1 or sizes[1] or sizes[2] != count:
        return None
    if b"stps" in table or b"sbgp" in table:  # other frames at which decoding may start
        return None
    is_key = _keys(table, count)
    places = _places(table, sizes[3:])
    durations = _spread(_only(table, b"stts"), count)
    offsets: NDArray[np.int64] | None = np.zeros(count, dtype=np.int64)
    if b"ctts" in table:
        offsets = _spread(_only(table, b"ctts"), count, is_signed=True)
    if durations is None or offsets is None or is_key is None or places is None:
        return None
    return SampleTables(
        places=places,
        size_bytes=sizes[3:],
        is_key=is_key,
        durations=durations,
        offsets=offsets,
    )


def _keys(table: dict[bytes, list[bytes]], count: int) -> NDArray[np.bool_] | None:
    """Which frames `stss` names; all, where it is not there."""
    if b"stss" not in table:
        return np.ones(count, dtype=np.bool_)
    named = _numbers(_only(table, b"stss"))[2:] - 1
    if not len(named) or named.min() < 0 or named.max() >= count:
        return None
    is_key = np.zeros(count, dtype=np.bool_)
    is_key[named] = True
    return is_key


def _places(table: dict[bytes, list[bytes]], sizes: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Where each frame begins, by the chunks that they lie in (`stsc`, `stco` or `co64`)."""
    chunks = _numbers(_only(table, b"stco"))[2:]
    if b"co64" in table:
        halves = _numbers(_only(table, b"co64"))[2:]
        chunks = (halves[: len(halves) // 2 * 2 : 2] << 32) + halves[1::2]
    runs = _numbers(_only(table, b"stsc"))[2:]
    firsts, frames = runs[: len(runs) // 3 * 3 : 3] - 1, runs[1 : len(runs) // 3 * 3 : 3]
    is_whole = len(firsts) and firsts[0] == 0 and (np.diff(firsts) > 0).all()
    if not is_whole or firsts[-1] >= len(chunks) or frames.min() < 1:
        return None
    each_C = np.repeat(frames, np.diff(firsts, append=len(chunks)))
    if each_C.sum() != len(sizes):
        return None
    before = np.concatenate([[0], np.cumsum(sizes)])
    first_C = np.cumsum(each_C) - each_C
    return np.repeat(chunks - before[first_C], each_C) + before[:-1]


def _boxes(content: bytes) -> dict[bytes, list[bytes]]:
    """What each kind of box holds."""
    found: dict[bytes, list[bytes]] = {}
    for kind, start, stop in walk_boxes(io.BytesIO(content), 0, len(content)):
        found.setdefault(kind, []).append(content[start:stop])
    return found


def _only(boxes: dict[bytes, list[bytes]], kind: bytes) -> bytes:
    """The one box of a kind; empty where there is none, or are several."""
    found = boxes.get(kind, [])
    return found[0] if len(found) == 1 else b""


def _numbers(content: bytes) -> NDArray[np.int64]:
    """All of a box as big-endian 32-bit numbers."""
    return np.frombuffer(content[: len(content) // 4 * 4], dtype=">u4").astype(np.int64)


def _track_id(header: bytes) -> int | None:
    at = 20 if header[:1] == b"\1" else 12
    return int.from_bytes(header[at : at + 4], "big") if len(header) >= at + 4 else None


def _is_plain(edits: bytes) -> bool:
    """Whether an edit list only says when the track begins: perhaps empty, then one normal edit."""
    wide = edits[:1] == b"\1"
    count, row = int.from_bytes(edits[4:8], "big"), 20 if wide else 12
    rows = [edits[8 + k * row : 8 + (k + 1) * row] for k in range(min(count, 3))]
    if len(rows) > 2 or not rows or any(len(one) != row for one in rows):
        return False
    half = 8 if wide else 4
    times = [int.from_bytes(one[half : 2 * half], "big") for one in rows]
    rates = [int.from_bytes(one[2 * half :], "big") for one in rows]
    return (
        rates[-1] == _NORMAL_RATE
        and [time in _NO_TIME for time in times] == [True, False][-len(rows) :]
    )


def _spread(table: bytes, count: int, *, is_signed: bool = False) -> NDArray[np.int64] | None:
    """A number for each frame, of a table of how many have which; None: it is of other frames."""
    numbers = _numbers(table)
    rows = int(numbers[1]) if len(numbers) >= 2 else 0
    if len(numbers) < 2 + 2 * rows:
        return None
    repeats, values = numbers[2 : 2 + 2 * rows : 2], numbers[3 : 3 + 2 * rows : 2]
    if int(repeats.sum()) != count:
        return None
    if is_signed:  # also where the version says otherwise, as demuxers take it
        values = values.astype(np.uint32).astype(np.int32).astype(np.int64)
    return np.repeat(values, repeats)
