"""One read or glance: frames into the rows of an array, each decoded once, and counted."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from temporal.trace import Cost

from ..pictures.region import Region
from ..pictures.shelf import Shelf
from .backends import FrameDecoder


def make_rows(out: NDArray[np.uint8] | None, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return an array of this shape: `out`, if it is given.

    Raises:
        ValueError: `out` has not so many elements, or not in one piece.
    """
    if out is None:
        return np.empty(shape, dtype=np.uint8)
    if out.dtype != np.uint8 or out.size != math.prod(shape) or not out.flags.c_contiguous:
        raise ValueError(f"out ({out.dtype} {out.shape}) must be contiguous uint8 {shape}")
    return out.reshape(shape)


def decode_rows(
    reader: FrameDecoder,
    frames: Sequence[int],
    out: NDArray[np.uint8],
    shelf: Shelf,
    region: Region | None,
    spend: Callable[[Cost], None],
) -> None:
    """Decode frames into the rows of `out`.

    Args:
        reader: The decoder.
        frames: Frame indices, in any order, repeats allowed.
        out: uint8 [K, 3, height, width].
        shelf: What is kept of this video; says whether this is a glance.
        region: The part of the frames that `out` has; None: all.
        spend: Is told what was spent, also when a frame cannot be had.

    Raises:
        VideoError: As `PyavReader.read` raises it.
    """
    slots: dict[int, int] = {}
    for row, frame in enumerate(frames):
        slots.setdefault(frame, row)
    before = (reader.frames_decoded, reader.bytes_read)
    start = time.perf_counter()
    try:
        reader.read(sorted(slots), slots, out, shelf, region)
    finally:
        decoded = reader.frames_decoded - before[0]
        spend(
            Cost(
                frames_decoded=decoded,
                frames_glanced=decoded if shelf.is_glance else 0,
                bytes_read=reader.bytes_read - before[1],
                decode_seconds=time.perf_counter() - start,
            )
        )
    for row, frame in enumerate(frames):
        if slots[frame] != row:
            out[row] = out[slots[frame]]
