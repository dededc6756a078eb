"""Random damage to a good file, the same for the same seed."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path
from typing import Any

from .making import encode, remux

FRAMES = 24
_SMALL: dict[str, Any] = {"frames": FRAMES, "gop": 8}

GOOD: dict[str, dict[str, Any]] = {
    "h264.mp4": {"b_frames": 2, "muxing": {"movflags": "faststart"}},
    "fragments.mp4": {"b_frames": 2, "muxing": {"movflags": "frag_keyframe+empty_moov"}},
    "hevc.mp4": {"codec": "libx265", "b_frames": 2},
    "h264.mkv": {"b_frames": 2},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "h264.ts": {"b_frames": 2},
    "mpeg2.mpg": {"codec": "mpeg2video", "b_frames": 2},
    "mpeg4.avi": {"codec": "mpeg4"},
    "h264.flv": {"b_frames": 2},
    "raw.h264": {"b_frames": 2},
}
"""Name of a good file -> how it is encoded."""


def make_good(name: str, folder: Path) -> bytes:
    """Write one of the good files and return its bytes."""
    path = folder / name
    make = partial(encode, **_SMALL, **GOOD[name])
    if path.suffix == ".h264":
        remux(make(folder / f"{name}.mp4"), path)
    else:
        make(path)
    return path.read_bytes()


def corrupt(data: bytes, seed: int) -> bytes:
    """Damage a file in one to three places."""
    rng, changed = random.Random(seed), bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        place, size = rng.randrange(len(changed)), rng.choice((1, 4, 30, 200))
        way = rng.choice(("bit", "noise", "noise", "zeros", "lost", "added", "swapped", "cut"))
        part = changed[place : place + size]
        if way == "bit":
            changed[place] ^= 1 << rng.randrange(8)
        elif way == "noise":
            changed[place : place + len(part)] = rng.randbytes(len(part))
        elif way == "zeros":
            changed[place : place + len(part)] = bytes(len(part))
        elif way == "lost":
            del changed[place : place + size]
        elif way == "added":
            changed[place:place] = rng.randbytes(size)
        elif way == "swapped":
            changed[place : place + len(part)] = part[::-1]
        elif len(changed) > 2000:
            del changed[max(place, 1000) :]
    return bytes(changed)
