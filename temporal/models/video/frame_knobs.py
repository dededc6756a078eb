"""What may be turned on a `FrameExit`: the certainty at which its exits answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ...handle import Handle
from ...policies.read import coarse_to_fine, snap
from ...policies.select import quantile_frames
from ...source import Source
from ..every_exit import EveryExit, exit_space
from ..policy_space import PolicySpace
from .dense_videos import ask_videos
from .frame_reader import FrameReader
from .motion import frame_motion
from .reading import Groups


class FrameKnobs(FrameReader):
    """Mixed into `FrameExit`."""

    def policy_space(self) -> PolicySpace:
        """One threshold for all exits, from the first that may answer on."""
        config: Any = self.config  # type: ignore[attr-defined]  # the model has it
        closed = None
        if config.gate:
            closed = "gate (True) halts without thresholds: there is nothing to calibrate"
        elif config.min_frames == config.num_frames:
            closed = (
                f"min_frames ({config.min_frames}) are all that are read: no exit before the last "
                "may answer, and there is nothing to calibrate"
            )
        return exit_space(config, min_exit=config.min_frames - 1, closed_because=closed)

    async def order_of(self, video: Handle) -> list[int]:
        """Frames to read of a video, in reading order.

        Args:
            video: the engine's handle on a source of frames, which is open.
        """
        model: Any = self
        config, keyframes = model.config, video.index.keyframes
        if config.order != "motion":
            order: list[int] = model.reading_order(len(video), keyframes)
            return order
        frames = quantile_frames(await frame_motion(video), config.num_frames)
        frames = [frames[place] for place in coarse_to_fine(len(frames), len(frames))]
        return snap(frames, keyframes, config.snap_share * len(video))

    @torch.inference_mode()
    def answers(self, sources: Iterable[Source], *, batch_size: int = 32) -> EveryExit:
        """What all exits say of videos, one after another; all cost alike."""
        model: Any = self
        config = model.config
        size = model.frame_size if model.pixels is None else None  # None: whole

        async def gather(video: Handle) -> dict[str, Tensor]:
            count = await video.open()
            order = await model.order_of(video)
            async for group in Groups(video, [order], size=size):
                times = torch.tensor([[frame / count for frame in group.frames]])
                break  # it is the only one
            return {"pixel_values": group.pixels[None], "times": times}

        return ask_videos(model, sources, gather, min_exit=config.min_frames - 1)
