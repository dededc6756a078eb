"""Which clips of a video a `ClipReader` reads, in which order, and which frames a clip has."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...checks import check_in
from ...handle import Handle
from ...policies import read as read_policies
from ...policies.select import motion_order, quantile_frames
from ..video.motion import Motion, frame_motion

Clips = list[tuple[int, list[int]]]
"""Clips in reading order, each with the frame by which it is known."""


class ClipPlaces:
    """Mixed into a reader of clips with a `ClipReaderConfig`."""

    def set_sampling(self, order: str) -> None:
        """As `Reader.set_sampling`; a reader that is not calibrated takes any order."""
        config: Any = self.config  # type: ignore[attr-defined]  # the model has it
        if config.operating_points:
            super().set_sampling(order)  # type: ignore[misc]  # the model has it
        check_in("sampling", order, (*read_policies.ORDERS, "motion"))
        config.order = order

    def clip(self, centre: int, num_frames: int) -> list[int]:
        """Frames of the clip around a frame, kept inside the video; a short video repeats its last.

        9 frames, 4 of them 2 apart around 4:   . x . x . x . x .
        """
        config: Any = self.config  # type: ignore[attr-defined]  # the model has it
        length, rate = config.num_frames, config.sampling_rate
        start = centre - (length - 1) * rate // 2
        start = max(0, min(start, num_frames - 1 - (length - 1) * rate))
        return [min(start + k * rate, num_frames - 1) for k in range(length)]

    def whole(self, num_frames: int, motion: Motion | None = None) -> list[int]:
        """Frames of the one clip that stands for a video; a short video repeats its last.

        Those that the pipeline of transformers takes; or, by the configuration's `order`, evenly
        from all over the video, or at quantiles of its motion.
        """
        model: Any = self
        length = model.config.num_frames
        if model.config.order == "uniform":
            frames = read_policies.uniform(num_frames, length)
        elif motion is not None:
            frames = quantile_frames(motion, length)
        elif model.pixels is not None and model.pixels.of_videos:
            return model.pixels.sample(num_frames, length)
        else:
            last = length * model.config.sampling_rate - 1
            spread = np.linspace(0, last, num=length, dtype=np.int64)
            return [min(int(frame), num_frames - 1) for frame in spread]
        return [*frames, *frames[-1:] * (length - len(frames))]

    def clips(self, num_frames: int, motion: Motion | None = None) -> Clips:
        """All clips of a video in reading order, each with the frame by which it is known.

        Args:
            num_frames: frames in the video, at least 1.
            motion: how much each of them moves, float `[N]`, where `chooses_by_motion`; without
                it clips are placed coarse to fine.
        """
        model: Any = self
        config = model.config
        motion = motion if model.chooses_by_motion else None
        if config.num_clips is None:
            whole = self.whole(num_frames, motion)
            return [(whole[-1], whole)]
        if motion is not None:
            centres = motion_order(motion, config.num_clips)
        else:
            name = "coarse_to_fine" if model.chooses_by_motion else config.order
            centres = read_policies.order(name)(num_frames, config.num_clips)
        return [(centre, self.clip(centre, num_frames)) for centre in centres]

    async def clips_of(self, video: Handle) -> Clips:
        """As `clips`, of a video that is opened and asked for its motion where that is needed."""
        model: Any = self
        num_frames = await video.open()
        motion = await frame_motion(video) if model.chooses_by_motion else None
        return self.clips(num_frames, motion)
