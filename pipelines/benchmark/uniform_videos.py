"""Uniform frames of a video, all computed in one batch: what is done where nothing chooses.

Read by `decord.VideoReader.get_batch`, as most training code does, or by our own `Video.read`; the
model behind is the same.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ...data import Video, VideoPart
from ...data.decode.packets.part import frames_between
from ...macs import count_macs
from ...policies.read import uniform
from ...trace import Cost
from .video_seen import VideoSeen

Fetch = Callable[[str, int, int], tuple[Tensor, list[int], int]]
"""Path, number of frames, side -> uint8 `[K, 3, side, side]`, their indices, frames in all."""


def decord_frames(
    value: str | Path | bytes | VideoPart, count: int, size: tuple[int, int] | None
) -> tuple[NDArray[np.uint8], list[int], int]:
    """Uniform frames by `decord.VideoReader.get_batch`, scaled while they are decoded.

    Args:
        value: a path, or a file's bytes; or a part of such.
        count: frames; a shorter video gives all.
        size: (height, width); None: the video's own.

    Returns:
        uint8 `[K, H, W, 3]`, the frames' indices, and how many there are in all.
    """
    import decord

    part = None
    if isinstance(value, VideoPart):
        part = value.part
        value = value.source

    def taken(**scaled: int) -> tuple[NDArray[np.uint8], list[int], int]:
        opened = io.BytesIO(value) if isinstance(value, bytes) else str(value)
        video = decord.VideoReader(opened, **scaled)
        first, stop = 0, len(video)
        if part is not None:
            times = video.get_frame_timestamp(range(stop))[:, 0]
            first, stop = frames_between(times.astype(np.float64), *part)
        frames = uniform(stop - first, count)
        batch = video.get_batch([first + frame for frame in frames])
        return batch.asnumpy(), frames, stop - first

    if size is None:
        return taken()
    try:
        return taken(height=size[0], width=size[1])
    except decord.DECORDError:  # it scales to widths alone whose rows need no padding
        pixels, frames, total = taken()
    whole = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    small = F.interpolate(whole, size, mode="bilinear", antialias=True).round().clamp(0, 255)
    return small.to(torch.uint8).permute(0, 2, 3, 1).numpy(), frames, total


def by_decord(path: str, count: int, side: int) -> tuple[Tensor, list[int], int]:
    """Frames by decord."""
    pixels, frames, total = decord_frames(path, count, (side, side))
    return torch.from_numpy(pixels).permute(0, 3, 1, 2), frames, total


def by_video(path: str, count: int, side: int) -> tuple[Tensor, list[int], int]:
    """Frames by `temporal.data.Video`."""
    with Video(path) as video:
        frames = uniform(len(video), count)
        return video.read(frames, size=(side, side)), frames, len(video)


WAYS: dict[str, Fetch] = {"decord": by_decord, "video": by_video}


class UniformReader:
    """A reader that answers after its `num_frames` uniform frames, without an engine around it.

    Args:
        reader: with a last exit behind all its frames; trained on so many uniform ones.
        fetch: one of `WAYS`.
    """

    def __init__(self, reader: Any, fetch: Fetch) -> None:
        self.reader, self.fetch = reader.eval(), fetch
        self._macs: int | None = None

    @torch.inference_mode()
    def __call__(self, path: str, *, counts: bool = False) -> VideoSeen:
        """Answer a video.

        Args:
            path: of it.
            counts: count what was decoded, too, which takes time.
        """
        start = time.perf_counter()
        count, (side, _) = self.reader.config.num_frames, self.reader.frame_size
        pixels, frames, total = self.fetch(path, count, side)
        decoded = time.perf_counter()
        answer = self._answer(pixels, [frame / total for frame in frames])
        end = time.perf_counter()
        if self._macs is None:
            self._macs = count_macs(self.reader.training_features, pixels[:1])[1]
        return VideoSeen(
            answer=answer,
            frames_read=len(frames),
            cost=Cost(
                frames_decoded=_decodes(path, frames) if counts else 0,
                macs=self._macs * len(frames),
                decode_seconds=decoded - start,
                model_seconds=end - decoded,
            ),
        )

    def _answer(self, pixels: Tensor, times: Sequence[float]) -> int:
        features = self.reader.training_features(pixels)[None]
        output = self.reader(features=features, times=torch.tensor([times]))
        return int(output.exit_logits[0, len(times) - 1].argmax())


def _decodes(path: str, frames: Sequence[int]) -> int:
    """Frames that exact reads of these have to decode; decord itself tells nothing."""
    with Video(path) as video:
        return video.cost(frames).frames_decoded
