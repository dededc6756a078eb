"""A stream of frames with their times and what was lost on the way; see `Video.stream`."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from temporal.trace import Cost

from ..files.container import Opened, open_container
from ..files.sniff import Checked
from ..files.webp import DEMUXER
from ..pictures.shelf import check_size
from .forward import ForwardReader
from .forward_webp import ForwardWebp

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamFrame:
    """One frame of a stream."""

    timestamp_seconds: float
    """When it is shown, on the source's clock; never before the frame before it."""

    image: torch.Tensor
    """uint8 [3, height, width], RGB, upright."""

    clock_breaks: int
    """Places so far where the source's timestamps were missing or went back, and the clock was
    carried on evenly instead: 0 means that this time is the file's own."""

    packets_lost: int
    """Damaged packets so far. Frames that depended on them were left out, so this frame may come
    later than the one that was due."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamArray:
    """One frame of a stream, for a process that has no torch; its fields are `StreamFrame`'s."""

    timestamp_seconds: float
    """See `StreamFrame`."""

    image: NDArray[np.uint8]
    """uint8 [3, height, width], RGB, upright, contiguous."""

    clock_breaks: int
    """See `StreamFrame`."""

    packets_lost: int
    """See `StreamFrame`."""

    def to_frame(self) -> StreamFrame:
        """Return the frame with its image as a tensor that shares the array's memory."""
        import torch  # here: a decode worker, which never comes here, starts ten times faster

        return StreamFrame(
            timestamp_seconds=self.timestamp_seconds,
            image=torch.from_numpy(self.image),
            clock_breaks=self.clock_breaks,
            packets_lost=self.packets_lost,
        )


def to_frames(arrays: Generator[StreamArray, None, None]) -> Generator[StreamFrame, None, None]:
    """Yield the frames of a stream as tensors; closing this closes the stream."""
    with contextlib.closing(arrays):
        for array in arrays:
            yield array.to_frame()


def check_stream(
    every_seconds: float, size: tuple[int, int] | None
) -> tuple[float, tuple[int, int] | None]:
    """Return the arguments of `Video.stream`.

    Raises:
        ValueError: One is out of its range.
    """
    if not 0 <= every_seconds < math.inf:
        raise ValueError(f"every_seconds ({every_seconds}) must be >= 0 and finite")
    return every_seconds, None if size is None else check_size(size)


def stream_arrays(
    get_checked: Callable[[], Checked],
    every_seconds: float,
    size: tuple[int, int] | None,
    max_pixels: int,
    spend: Callable[[Cost], None],
) -> Generator[StreamArray, None, None]:
    """Return the frames that are due, one by one; see `Video.stream`.

    Args:
        get_checked: Checks the source, at the first frame. It is closed with the generator.
        every_seconds: As `Video.stream` takes it.
        size: As `Video.stream` takes it.
        max_pixels: Largest frame that is decoded.
        spend: Is told what was spent, before each frame and at the end.

    Raises:
        ValueError: An argument is out of its range; raised here and not at the first frame.
    """
    every_seconds, size = check_stream(every_seconds, size)
    return _stream(get_checked, every_seconds, size, max_pixels, spend)


def _stream(
    get_checked: Callable[[], Checked],
    every_seconds: float,
    size: tuple[int, int] | None,
    max_pixels: int,
    spend: Callable[[Cost], None],
) -> Generator[StreamArray, None, None]:
    start, process = time.perf_counter(), os.getpid()
    checked = get_checked()
    opened, reader = _open(checked, every_seconds, size, max_pixels)
    try:
        frames = reader.frames()
        for count in itertools.count(1):
            if os.getpid() != process:
                raise RuntimeError(
                    f"the stream of {checked.name} was begun in another process, which "
                    "shares its place in the file; begin a new one here"
                )
            decoded, read = reader.frames_decoded, reader.bytes_read
            try:
                found = next(frames, None)
            finally:
                spend(
                    Cost(
                        frames_decoded=reader.frames_decoded - decoded,
                        bytes_read=reader.bytes_read - read,
                        decode_seconds=time.perf_counter() - start,
                    )
                )
            if found is None:
                return
            seconds, image = found
            reader.num_yielded = count
            yield StreamArray(
                timestamp_seconds=seconds,
                image=image,
                clock_breaks=reader.clock.breaks,
                packets_lost=reader.packets_lost,
            )
            start = time.perf_counter()
    finally:
        opened.close()


def _open(
    checked: Checked, every_seconds: float, size: tuple[int, int] | None, max_pixels: int
) -> tuple[Opened | ForwardWebp, ForwardReader | ForwardWebp]:
    """Return what is to be closed, and what reads."""
    if checked.demuxer == DEMUXER:
        animation = ForwardWebp(
            checked, every_seconds=every_seconds, size=size, max_pixels=max_pixels
        )
        return animation, animation
    opened = open_container(checked, max_pixels=max_pixels)
    try:
        return opened, ForwardReader(
            opened, every_seconds=every_seconds, size=size, max_pixels=max_pixels
        )
    except BaseException:
        opened.close()
        raise
