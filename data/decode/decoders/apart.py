"""Decoding apart from a video's own reader: with other decoder options, and its place kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from temporal.trace import Cost

from ..files.container import Opened
from ..packets.index import VideoIndex
from ..pictures.sink import FrameSink
from .pyav import PyavReader


def decode_apart(
    opened: Opened,
    index: VideoIndex,
    frame_indices: Sequence[int],
    sink: FrameSink,
    max_pixels: int,
    spend: Callable[[Cost], None],
) -> Cost:
    """Decode frames into a sink and close the container.

    Args:
        opened: A container opened for this, with its decoder options.
        index: The video's index.
        frame_indices: Wanted frames; the sink gets each once, in presentation order per run.
        sink: Takes the frames.
        max_pixels: Largest frame that is decoded.
        spend: Is told what was spent, also when a frame cannot be had.

    Returns:
        What was spent.

    Raises:
        VideoError: As `PyavReader.read` raises it.
    """
    start = time.perf_counter()
    reader = PyavReader(opened, index, max_pixels=max_pixels)
    try:
        reader.read_into(sorted(set(frame_indices)), sink)
    finally:
        reader.close()
        cost = Cost(
            frames_decoded=reader.frames_decoded,
            frames_glanced=reader.frames_decoded,
            bytes_read=reader.bytes_read,
            decode_seconds=time.perf_counter() - start,
        )
        spend(cost)
    return cost
