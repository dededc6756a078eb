"""One row -> one sample: only the frames that the sampler chose are decoded."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..decode.decoders.backends import count_cores
from ..decode.errors import VideoError
from ..decode.packets.part import PartIndex
from ..decode.remote.urls import AllowRemote
from ..part import VideoPart
from ..tables.times import is_whole, name_of_part
from ..video import Video
from .row import ClipRow, Member
from .tar_shards import read_member

Size = tuple[int, int]
Sampler = Callable[[int, Sequence[int]], Sequence[int]]
"""(number of frames, indices of keyframes) -> the frames to read, in this order."""


def open_clip(
    row: ClipRow, allow_remote: AllowRemote, num_threads: int | None
) -> Video | VideoPart:
    """Open a row's video or its part of one, in the process that reads it.

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
    options: Any = {"num_threads": num_threads, "allow_remote": allow_remote}
    part = (row.start_seconds, row.end_seconds)
    if is_whole(part):
        return Video(source, id=row.id, **options)
    return VideoPart(source, *part, id=name_of_part(row.id, part), **options)


def read_sample(
    video: Video | VideoPart,
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
    count = len(video)
    first = video.index.first_frame if isinstance(video.index, PartIndex) else 0
    chosen = [int(frame) for frame in sampler(count, video.index.keyframes.tolist())]
    if not chosen or not all(0 <= frame < count for frame in chosen):
        raise ValueError(f"the sampler chose {chosen[:8]}, and must choose some of 0..{count - 1}")
    sample: dict[str, Any] = {}
    if glance_size is not None:
        sample["glances"] = video.glance(chosen, size=glance_size)
    sample["pixel_values"] = video.read(chosen, size=size)
    sample["frames"] = torch.tensor(chosen) + first
    sample["times"] = torch.tensor(chosen, dtype=torch.float32) / count
    if motion:
        sample["motion"] = torch.from_numpy(video.motion()[chosen])
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
