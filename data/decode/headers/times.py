"""How many frames the time tables of an mp4/mov file speak of, which may not be true."""

from __future__ import annotations

import struct
from typing import BinaryIO

from .boxes import walk_boxes

_PATH = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
_MOST_BYTES = 16 << 20


def timed_frames(file: BinaryIO) -> int:
    """The most frames that one track of pictures has times for (`stts`), there or not; 0: none."""
    return _most(file, 0, file.seek(0, 2), 0, is_video=False)


def _most(file: BinaryIO, start: int, stop: int, depth: int, *, is_video: bool) -> int:
    most = 0
    for kind, inner, inner_stop in walk_boxes(file, start, stop):
        inner_stop = min(inner_stop, stop)
        if kind == b"hdlr":
            file.seek(inner + 8)
            is_video = file.read(4) == b"vide"
        elif depth < len(_PATH) and kind == _PATH[depth]:
            most = max(most, _most(file, inner, inner_stop, depth + 1, is_video=is_video))
        elif kind == b"stts" and is_video:
            file.seek(inner + 8)
            entries = file.read(min(inner_stop - inner - 8, _MOST_BYTES))
            whole = entries[: len(entries) // 8 * 8]
            most = max(most, sum(count for count, _ in struct.iter_unpack(">II", whole)))
    return most
