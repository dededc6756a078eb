"""Read any video classifier adaptively, without training: clip by clip, until it is certain.

The answer is the running mean of the classifier's probabilities; reading halts when that mean is
certain or the budget of clips is spent. As a whole, without clips to choose from, it is the
transformers pipeline: the frames that this takes, and its scores. `ChunkReader` does the same
with chunks of a text, and FrameExit's training-free form with single frames.

B videos, F frames of a clip, A answers so far, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from ...backbones.pixels import ProcessorPixels
from ...checks import check_finite, check_range, check_threshold, chooses_one_class
from ...handle import Handle
from ...policies import read as read_policies
from ...policies.halt import criterion
from ...stage import Stage
from ..chunks.chunk_pooling import MeanPooling
from ..reader import Reader
from .reading import Groups


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


_LENGTHS = ("num_frames", "frames_per_clip")
_SIZES = ("image_size", "crop_size")
"""What families call the frames of a clip and their size."""


class ClipReader(Reader):
    """A video classifier (VideoMAE, ViViT, TimeSformer, V-JEPA 2 ...) read clip by clip.

    Args:
        classifier: any `AutoModelForVideoClassification`.
        num_clips: clips that cover a video when nothing halts; None: the one clip that the
            pipeline of transformers takes: the video's first frames, or frames from all over it
            where the processor is one of videos.
        sampling_rate: frames from one frame of a clip to the next.
        num_frames: frames of a clip; default: the configuration's.
        processor: what came with the checkpoint, see `ProcessorPixels`; None: frames are scaled
            to the configuration's image size while they are decoded, and normalised by
            pixel_mean, pixel_std: of the 0-255 pixels, three channels each.
    """

    unit = "frame"

    def __init__(
        self,
        classifier: PreTrainedModel,
        *,
        num_clips: int | None = 4,
        sampling_rate: int = 4,
        num_frames: int | None = None,
        processor: Any = None,
        pixel_mean: Sequence[float] = (127.5, 127.5, 127.5),
        pixel_std: Sequence[float] = (127.5, 127.5, 127.5),
    ) -> None:
        self.classifier: Any = classifier.eval()
        self.config = classifier.config
        self.num_clips = num_clips
        self.sampling_rate = sampling_rate
        self.num_frames = num_frames or _first_of(self.config, _LENGTHS) or 16
        self.pixels = None
        if processor is not None:
            self.pixels = ProcessorPixels(processor, classifier, clips=True)
        self.pixel_mean, self.pixel_std = tuple(pixel_mean), tuple(pixel_std)
        self.policy = RunningMeanPolicy()
        self.prepare = Stage(self._prepare, name="pixels")
        self.classify = Stage(self._classify, name="classify")

    def _prepare(self, frames_BFCHW: Tensor) -> tuple[Tensor, ...]:
        assert self.pixels is not None
        clips = [self.pixels(frames_FCHW) for frames_FCHW in frames_BFCHW]
        return tuple(torch.cat(column) for column in zip(*clips, strict=True))

    def _classify(self, *inputs: Tensor) -> Tensor:
        if self.pixels is not None:
            return self.pixels.call(self.classifier, inputs)
        frames_BFCHW = inputs[0].to(self.classifier.device, self.classifier.dtype)
        mean_C11 = frames_BFCHW.new_tensor(self.pixel_mean)[:, None, None]
        std_C11 = frames_BFCHW.new_tensor(self.pixel_std)[:, None, None]
        pixels = (frames_BFCHW - mean_C11) / std_C11
        return self.classifier(pixels, return_dict=True).logits

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
        length, rate = self.num_frames, self.sampling_rate
        start = centre - (length - 1) * rate // 2
        start = max(0, min(start, num_frames - 1 - (length - 1) * rate))
        return [min(start + k * rate, num_frames - 1) for k in range(length)]

    def whole(self, num_frames: int) -> list[int]:
        """Frames that the pipeline of transformers takes; a short video repeats its last."""
        if self.pixels is not None and self.pixels.of_videos:
            return self.pixels.sample(num_frames, self.num_frames)
        last = self.num_frames * self.sampling_rate - 1
        frames = np.linspace(0, last, num=self.num_frames, dtype=np.int64)
        return [min(int(frame), num_frames - 1) for frame in frames]

    def clips(self, num_frames: int) -> list[tuple[int, list[int]]]:
        """All clips of a video in reading order, each with the frame by which it is known."""
        if self.num_clips is None:
            whole = self.whole(num_frames)
            return [(whole[-1], whole)]
        centres = read_policies.coarse_to_fine(num_frames, self.num_clips)
        return [(centre, self.clip(centre, num_frames)) for centre in centres]

    async def read(self, video: Handle) -> Tensor:
        """Read clips of one video, coarse to fine. Returns logits `[K]`.

        A frame that cannot be read is seen as the nearest one of its clip, and reported.
        """
        clips = self.clips(await video.open())
        allowed = clips[: read_policies.num_allowed(len(clips), self.policy.budget)]
        halted = len(allowed) < len(clips)
        past: list[Tensor] = []
        async for group in Groups(video, [frames for _, frames in allowed], size=self._size()):
            logits_1K = check_finite((await self._logits(group.filled())).float())
            if not past:
                mean = MeanPooling(logits_1K.shape[1], one_answer=chooses_one_class(self.config))
                state = mean.start(None, 1).to(logits_1K.device)
            state, answer_1K = mean.vote(state, logits_1K)
            past.append(answer_1K)
            centre = clips[group.number][0]
            if not group.is_last and bool(self.policy.halts(torch.stack(past))):
                halted = True
                break
        if halted:
            video.note(halted_at=centre)
        video.note(exit=len(past) - 1, num_exits=len(clips))
        return past[-1][0]

    def _size(self) -> tuple[int, int] | None:
        """(height, width) at which frames are read; None: whole, for the processor."""
        if self.pixels is not None:
            return None
        side: Any = _first_of(self.config, _SIZES) or 224
        return (side, side) if isinstance(side, int) else tuple(side)

    async def _logits(self, frames_FCHW: Tensor) -> Tensor:
        """The classifier's logits `[1, K]` for a clip."""
        if self.pixels is None:
            return await self.classify(frames_FCHW[None])
        return await self.classify(*await self.prepare(frames_FCHW[None]))


def _first_of(config: Any, names: Sequence[str]) -> Any:
    return next((value for name in names if (value := getattr(config, name, None))), None)
