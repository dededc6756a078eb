"""What a `FrameExit` reads first and when it stops: its order, what it knows before, its policy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from ...checks import check_in, check_range
from ...handle import Handle
from ...policies.read import ORDERS, at_shares, snap
from ...policies.read import order as order_named
from ...policies.select import motion_order
from ...source import Source
from ..every_exit import EveryExit, exit_space
from ..policy_space import Policy, PolicySpace
from .dense_videos import ask_videos
from .frame_reader import FrameReader
from .motion import Motion, frame_motion
from .motion_evidence import levels_of, motion_profile
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

    def full_policy(self) -> Policy:
        """As `Reader.full_policy`; a gate is shut off, too."""
        config: Any = self.config  # type: ignore[attr-defined]  # the model has it
        full = super().full_policy()
        return {**full, "gate": False} if config.gate else full

    def set_budget(self, budget: float) -> dict[str, Any] | None:
        """As `Reader.set_budget`; uncalibrated and training-free, it reads that share of frames."""
        config: Any = self.config  # type: ignore[attr-defined]  # the model has it
        if config.head == "classifier" and not config.operating_points:
            check_range("budget", budget, 0.0, 1.0)
            config.num_frames = max(1, int(budget * config.num_frames))
            for name in ("thresholds", "temperatures"):
                values = getattr(config, name)
                if values is not None:
                    setattr(config, name, values[: config.num_frames - 1])
            return None
        return super().set_budget(budget)

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

    def reading_order(
        self, num_frames: int, keyframes: Sequence[int], motion: Motion | None = None
    ) -> list[int]:
        """Frames to read, in reading order, for a video of so many frames.

        Args:
            num_frames: frames in the video, at least 1.
            keyframes: frame indices that decode alone, for snapping.
            motion: how much each frame moves, float `[N]`, where `chooses_by_motion`; without it
                frames are taken coarse to fine.
        """
        config: Any = self.config  # type: ignore[attr-defined]  # the model has it
        by_motion, order, count = self.chooses_by_motion, config.order, config.num_frames
        if by_motion and motion is not None:
            frames = motion_order(motion, count)
        elif isinstance(order, str):
            frames = order_named("coarse_to_fine" if by_motion else order)(num_frames, count)
        else:
            frames = at_shares(num_frames, order[:count])
        return snap(frames, keyframes, self._reach(num_frames))

    def _reach(self, num_frames: int) -> float | list[float]:
        """How far a frame is moved to a keyframe, or each of them."""
        share = self.config.snap_share  # type: ignore[attr-defined]  # the model has it
        if isinstance(share, (int, float)):
            return share * num_frames
        return [each * num_frames for each in share]

    plan = reading_order  # its name before
    training_frames = reading_order

    async def order_of(self, video: Handle) -> list[int]:
        """Frames to read of a video, in reading order.

        Args:
            video: the engine's handle on a source of frames, which is open.
        """
        motion = await frame_motion(video) if self.chooses_by_motion else None
        return self.reading_order(len(video), video.index.keyframes, motion)

    @property
    def sees_profile(self) -> bool:  # type: ignore[override]  # its configuration says it
        """Whether `forward` takes a profile of how much each video moves (`profile_from`)."""
        config: Any = self.config  # type: ignore[attr-defined]  # the model has it
        return bool(config.motion_bins)

    def profile_from(self, motion_N: Any, levels: Sequence[float]) -> Tensor:
        """As `motion_profile`, in as many parts as the exits see."""
        config: Any = self.config  # type: ignore[attr-defined]  # the model has it
        return motion_profile(motion_N, levels, config.motion_bins)

    async def profile_of(self, video: Handle) -> Tensor | None:
        """The profile of a video `[1, 2 M + 2]`, from packets alone; None: no exit sees one."""
        if not self.sees_profile:
            return None
        profile_M = self.profile_from(await video.motion(), levels_of(video.index))
        model: Any = self
        return profile_M[None].to(model.device)

    @torch.inference_mode()
    def answers(self, sources: Iterable[Source], *, batch_size: int = 32) -> EveryExit:
        """What all exits say of videos, one after another; all cost alike."""
        model: Any = self
        config = model.config
        size = model.frame_size if model.pixels is None else None  # None: whole

        async def gather(video: Handle) -> dict[str, Tensor]:
            count = await video.open()
            order = await model.order_of(video)
            profile_1M = await model.profile_of(video)
            async for group in Groups(video, [order], size=size):
                times = torch.tensor([[frame / count for frame in group.frames]])
                break  # it is the only one
            given = {"pixel_values": group.pixels[None], "times": times}
            return given if profile_1M is None else {**given, "motion_profile": profile_1M}

        return ask_videos(model, sources, gather, min_exit=config.min_frames - 1)
