"""What may be turned on a `FrameExit`: the certainty at which its exits answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ...checks import check_in
from ...handle import Handle
from ...policies.read import ORDERS
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

    @property
    def chooses_by_motion(self) -> bool:  # type: ignore[override]  # its configuration says it
        """Whether the reading order depends on how much the video's frames move."""
        config: Any = self.config  # type: ignore[attr-defined]  # the model has it
        return bool(config.order == "motion")

    def set_sampling(self, order: str) -> None:
        """As `Reader.set_sampling`; a classifier that is not calibrated takes any order."""
        config: Any = self.config  # type: ignore[attr-defined]  # the model has it
        if config.head != "classifier" or config.operating_points:
            super().set_sampling(order)
        check_in("sampling", order, (*ORDERS, "motion"))
        config.order = order

    async def order_of(self, video: Handle) -> list[int]:
        """Frames to read of a video, in reading order.

        Args:
            video: the engine's handle on a source of frames, which is open.
        """
        model: Any = self
        motion = await frame_motion(video) if self.chooses_by_motion else None
        order: list[int] = model.reading_order(len(video), video.index.keyframes, motion)
        return order

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
