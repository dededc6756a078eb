"""One row -> one sample: only the frames that the sampler chose are decoded."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..decode.decoders.backends import count_cores
from ..decode.errors import VideoError
from ..decode.remote.urls import AllowRemote
from ..video import Video
from .row import ClipRow, Member
from .tar_shards import read_member

Size = tuple[int, int]
Sampler = Callable[[int, Sequence[int]], Sequence[int]]
"""(number of frames, indices of keyframes) -> the frames to read, in this order."""


def open_clip(row: ClipRow, allow_remote: AllowRemote, num_threads: int | None) -> Video:
    """Open a row's video, in the process that reads it.

    Raises:
        VideoError: It cannot be had.
    """
    source = row.source
    assert source is not None
    if isinstance(source, Member):
        try:
            source = read_member(source, allow_remote)
        except OSError as error:
            raise VideoError("not_found", f"{row.id}: {error.strerror or error}") from error
    return Video(source, id=row.id, num_threads=num_threads, allow_remote=allow_remote)


def part_of(
    timestamps_seconds: NDArray[np.float64], start: float | None, end: float | None
) -> tuple[int, int]:
    """The frames shown from `start` until before `end`: (first, one after the last).

    The first is the one that is on the screen at `start`.
    """
    count = len(timestamps_seconds)
    first, stop = 0, count
    if start is not None:
        first = max(int(np.searchsorted(timestamps_seconds, start, side="right")) - 1, 0)
        if count > 1 and start >= 2 * timestamps_seconds[-1] - timestamps_seconds[-2]:
            first = count  # the last frame is no longer shown
        elif count == 1 and start > timestamps_seconds[0]:
            first = count
    if end is not None:
        stop = int(np.searchsorted(timestamps_seconds, end, side="left"))
    return first, stop


def read_sample(
    video: Video,
    row: ClipRow,
    sampler: Sampler,
    *,
    size: Size,
    glance_size: Size | None,
    motion: bool,
) -> dict[str, Any]:
    """Read what the sampler chooses.

    Returns:
        pixel_values: uint8 `[S, 3, H, W]`.
        frames: int64 `[S]`, their indices in the video.
        times: float32 `[S]`, index / number of frames, of the part where the row names one.
        glances: uint8 `[S, 3, h, w]`, with a `glance_size`.
        motion: float32 `[S]`, how much each frame seems to change, with `motion`.

    Raises:
        VideoError: The video cannot be read, or the part holds no frame of it.
        ValueError: The sampler chose no frame, or none of those that there are.
    """
    index = video.index
    times = np.asarray(index.timestamps_seconds)
    first, stop = part_of(times, row.start_seconds, row.end_seconds)
    if first >= stop:
        shown = f"{times[0]:g} to {times[-1]:g} s" if len(times) else "no time at all"
        raise VideoError(
            "not_found",
            f"{row.id} has frames for {shown}, and none from {row.start_seconds} to "
            f"{row.end_seconds} s",
        )
    count = stop - first
    keyframes = [int(key) - first for key in index.keyframes if first <= key < stop]
    chosen = [int(frame) for frame in sampler(count, keyframes)]
    if not chosen or not all(0 <= frame < count for frame in chosen):
        raise ValueError(f"the sampler chose {chosen[:8]}, and must choose some of 0..{count - 1}")
    frames = [first + frame for frame in chosen]
    sample: dict[str, Any] = {}
    if glance_size is not None:
        sample["glances"] = video.glance(frames, size=glance_size)
    sample["pixel_values"] = video.read(frames, size=size)
    sample["frames"] = torch.tensor(frames)
    sample["times"] = torch.tensor(chosen, dtype=torch.float32) / count
    if motion:
        sample["motion"] = torch.from_numpy(video.motion()[frames])
    return sample


def count_threads() -> int | None:
    """Threads for one video: the workers of all ranks on this machine share its cores."""
    worker = torch.utils.data.get_worker_info()
    if worker is None:
        return None
    ranks = int(os.environ.get("LOCAL_WORLD_SIZE", 1))  # torchrun says so
    return max(1, count_cores() // (worker.num_workers * ranks))


def failure_of(error: BaseException) -> tuple[str, str]:
    """(reason, sentence) of a fault of one video."""
    if isinstance(error, VideoError):
        return error.reason, str(error.args[0])
    return "corrupt", f"{type(error).__name__}: {error}"
