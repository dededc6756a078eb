"""Read any video classifier adaptively, without training: clip by clip, until it is certain.

The answer is the running mean of the classifier's probabilities; reading halts when that mean is
certain or the budget of clips is spent. `ChunkReader` does the same with chunks of a text, and
FrameExit's training-free form with single frames.

B videos, F frames of a clip, A answers so far, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..handle import Handle
from ..policies import read as read_policies
from ..policies.halt import criterion
from ..stage import Stage
from .checks import check_finite, check_range, check_threshold
from .chunk_pooling import MeanPooling
from .reader import Reader


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningMeanPolicy:
    """When a `ClipReader` stops."""

    criterion: str = "confidence"
    """One of `temporal.policies.halt.CRITERIA`, asked of the running mean."""
    threshold: float | None = None
    """Certainty at which it halts; None: only the budget stops it."""
    budget: float = 1.0
    """Share of the clips that may be read, at least one."""

    def __post_init__(self) -> None:
        criterion(self.criterion)
        check_threshold(self.criterion, self.threshold)
        check_range("budget", self.budget, 0.0, 1.0)

    def halts(self, past_ABK: Tensor) -> Tensor:
        """Where to halt, bool `[B]`, from the answers so far."""
        if self.threshold is None:
            return torch.zeros(past_ABK.shape[1], dtype=torch.bool)
        return criterion(self.criterion)(past_ABK) >= self.threshold


class ClipReader(Reader):
    """A video classifier (VideoMAE, ViViT, TimeSformer ...) read clip by clip.

    Args:
        classifier: any `AutoModelForVideoClassification`.
        num_clips: clips that cover a video when nothing halts.
        sampling_rate: frames from one frame of a clip to the next.
        pixel_mean, pixel_std: of the 0-255 pixels, three channels each.
    """

    unit = "frame"

    def __init__(
        self,
        classifier: PreTrainedModel,
        *,
        num_clips: int = 4,
        sampling_rate: int = 4,
        pixel_mean: Sequence[float] = (127.5, 127.5, 127.5),
        pixel_std: Sequence[float] = (127.5, 127.5, 127.5),
    ) -> None:
        self.classifier = classifier.eval()
        self.config = classifier.config
        self.num_clips = num_clips
        self.sampling_rate = sampling_rate
        self.pixel_mean, self.pixel_std = tuple(pixel_mean), tuple(pixel_std)
        self.policy = RunningMeanPolicy()
        self.classify = Stage(self._classify, name="classify")

    def _classify(self, frames_BFCHW: Tensor) -> Tensor:
        frames_BFCHW = frames_BFCHW.to(self.classifier.device, self.classifier.dtype)
        mean_C11 = frames_BFCHW.new_tensor(self.pixel_mean)[:, None, None]
        std_C11 = frames_BFCHW.new_tensor(self.pixel_std)[:, None, None]
        pixels = (frames_BFCHW - mean_C11) / std_C11
        return self.classifier(pixel_values=pixels, return_dict=True).logits

    def set_budget(self, budget: float) -> None:
        """Read at most this share of the clips."""
        self.policy = replace(self.policy, budget=budget)

    def set_policy(self, name: str, threshold: float | None) -> None:
        """Halt when the running mean reaches the criterion's threshold."""
        self.policy = replace(self.policy, criterion=name, threshold=threshold)

    def clip(self, centre: int, num_frames: int) -> list[int]:
        """Frames of the clip around a frame, kept inside the video; a short video repeats its last.

        9 frames, 4 of them 2 apart around 4:   . x . x . x . x .
        """
        length = getattr(self.config, "num_frames", 16)
        start = centre - (length - 1) * self.sampling_rate // 2
        start = max(0, min(start, num_frames - 1 - (length - 1) * self.sampling_rate))
        return [min(start + k * self.sampling_rate, num_frames - 1) for k in range(length)]

    async def read(self, video: Handle) -> Tensor:
        """Read clips of one video, coarse to fine. Returns logits `[K]`."""
        num_frames = await video.open()
        size = (self.config.image_size, self.config.image_size)
        if not isinstance(size[0], int):
            size = tuple(self.config.image_size)
        centres = read_policies.coarse_to_fine(num_frames, self.num_clips)
        past: list[Tensor] = []
        for centre in centres[: read_policies.num_allowed(len(centres), self.policy.budget)]:
            frames_FCHW = await video.read(self.clip(centre, num_frames), size=size)
            logits_1K = check_finite((await self.classify(frames_FCHW[None])).float())
            if not past:
                mean = MeanPooling(logits_1K.shape[1])
                state = mean.start(None, 1).to(logits_1K.device)
            state, answer_1K = mean.vote(state, logits_1K)
            past.append(answer_1K)
            if bool(self.policy.halts(torch.stack(past))):
                break
        if len(past) < len(centres):
            video.note(halted_at=centre)
        video.note(exit=len(past) - 1, num_exits=len(centres))
        return past[-1][0]
