"""Uniform frames of a video, all computed in one batch: what is done where nothing chooses.

Read by `decord.VideoReader.get_batch`, as most training code does, or by our own `Video.read`; the
model behind is the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ...data import Video
from ...macs import count_macs
from ...policies.read import uniform
from ...trace import Cost
from .video_seen import VideoSeen

Fetch = Callable[[str, int, int], tuple[Tensor, list[int], int]]
"""Path, number of frames, side -> uint8 `[K, 3, side, side]`, their indices, frames in all."""


def by_decord(path: str, count: int, side: int) -> tuple[Tensor, list[int], int]:
    """Frames by decord."""
    import decord

    video = decord.VideoReader(path, width=side, height=side)
    frames = uniform(len(video), count)
    pixels = torch.from_numpy(video.get_batch(frames).asnumpy()).permute(0, 3, 1, 2)
    return pixels, frames, len(video)


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
