"""Read any existing classifier adaptively, without training: piece by piece, until it is certain.

The classifier sees a piece of the source at a time (a chunk of a text, a clip of a video); the
answer is the running mean of its probabilities; reading halts when that mean is certain or the
budget of pieces is spent. FrameExit's training-free form does the same with single frames.

B sources, T tokens, F frames of a clip, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..handle import Handle
from ..policies import read as read_policies
from ..policies.halt import criterion
from ..stage import Stage
from .checks import check_finite, check_range
from .encoders import max_positions
from .reader import Reader


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningMeanPolicy:
    """When a training-free reader stops."""

    criterion: str = "confidence"
    """One of `temporal.policies.halt.CRITERIA`, asked of the running mean."""
    threshold: float | None = None
    """Certainty at which it halts; None: only the budget stops it."""
    budget: float = 1.0
    """Share of the pieces that may be read, at least one."""

    def __post_init__(self) -> None:
        criterion(self.criterion)
        check_range("budget", self.budget, 0.0, 1.0)

    def pieces(self, total: int) -> int:
        """How many of so many pieces the budget allows."""
        return max(1, int(self.budget * total + 1e-9))

    def halts(self, past_EBK: Tensor) -> Tensor:
        """Where to halt, bool `[B]`, from the log of the running means so far."""
        if self.threshold is None:
            return torch.zeros(past_EBK.shape[1], dtype=torch.bool)
        return criterion(self.criterion)(past_EBK) >= self.threshold


class _RunningMeanReader(Reader):
    """The policy of the two readers below."""

    policy: RunningMeanPolicy

    def set_budget(self, budget: float) -> None:
        """Read at most this share of the pieces; that needs no calibration."""
        self.policy = replace(self.policy, budget=budget)

    def set_policy(self, name: str, threshold: float | None) -> None:
        """Halt when the running mean reaches the criterion's threshold."""
        self.policy = replace(self.policy, criterion=name, threshold=threshold)


class ChunkReader(_RunningMeanReader):
    """A text classifier read chunk by chunk.

    Args:
        classifier: any `AutoModelForSequenceClassification`.
        special_tokens: ids that its tokenizer puts before and after a text.
        chunk_size: tokens in a chunk, special tokens included; None: as long as the model takes.
    """

    unit = "token"
    reads_cohorts = True

    def __init__(
        self,
        classifier: PreTrainedModel,
        special_tokens: tuple[Sequence[int], Sequence[int]],
        *,
        chunk_size: int | None = None,
    ) -> None:
        self.classifier = classifier.eval()
        self.config = classifier.config
        self.special_tokens = special_tokens
        limit = max_positions(self.config) or 512
        self.chunk_size = min(chunk_size or limit, limit)
        self.policy = RunningMeanPolicy()
        self.classify = Stage(self._classify, name="classify", pad=True)

    def _classify(self, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        device = self.classifier.device
        outputs = self.classifier(
            input_ids=ids_BT.to(device), attention_mask=mask_BT.to(device), return_dict=True
        )
        return outputs.logits

    async def read(self, documents: list[Handle]) -> list[Tensor]:
        """Read a cohort chunk by chunk. Returns logits `[K]` for each document.

        A document of one chunk gets the classifier's own logits; a longer one the log of the mean
        of its chunks' probabilities.
        """
        before, after = (torch.tensor(ids, dtype=torch.long) for ids in self.special_tokens)
        size = self.chunk_size - len(before) - len(after)
        chunks = [doc.chunks(size) for doc in documents]
        allowed = [self.policy.pieces(len(parts)) for parts in chunks]
        past: list[list[Tensor]] = [[] for _ in documents]
        results: list[Any] = [None] * len(documents)
        alive = list(range(len(documents)))
        step = 0
        while alive:
            ids = [
                torch.cat([before, await documents[k].read(chunks[k][step]), after]) for k in alive
            ]
            ids_BT = nn.utils.rnn.pad_sequence(
                ids, batch_first=True, padding_value=self.config.pad_token_id or 0
            )
            lengths_B = torch.tensor([len(row) for row in ids])
            mask_BT = (torch.arange(ids_BT.shape[1]) < lengths_B[:, None]).long()
            logits_BK = (await self.classify(ids_BT, mask_BT, rows=alive)).float()
            step += 1
            survivors = []
            for row, k in enumerate(alive):
                check_finite(logits_BK[row])
                results[k] = logits_BK[row]
                if len(chunks[k]) > 1:
                    _add_to_mean(past[k], logits_BK[row])
                    results[k] = past[k][-1]
                    halts = bool(self.policy.halts(torch.stack(past[k])[:, None]))
                    if step < min(allowed[k], len(chunks[k])) and not halts:
                        survivors.append(k)
                        continue
                    if step < len(chunks[k]):
                        documents[k].note(halted_at=chunks[k][step - 1][-1])
                documents[k].note(exit=step - 1, num_exits=len(chunks[k]))
            alive = survivors
        return results


class ClipReader(_RunningMeanReader):
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
        for centre in centres[: self.policy.pieces(len(centres))]:
            frames_FCHW = await video.read(self.clip(centre, num_frames), size=size)
            logits_1K = (await self.classify(frames_FCHW[None])).float()
            _add_to_mean(past, check_finite(logits_1K[0]))
            if bool(self.policy.halts(torch.stack(past)[:, None])):
                break
        if len(past) < len(centres):
            video.note(halted_at=centre)
        video.note(exit=len(past) - 1, num_exits=len(centres))
        return past[-1]


def _add_to_mean(past: list[Tensor], logits_K: Tensor) -> None:
    """Append the log of the mean of the probabilities so far, given the log of the last mean."""
    probabilities_K = logits_K.softmax(-1)
    if past:
        n = len(past)
        probabilities_K = (past[-1].exp() * n + probabilities_K) / (n + 1)
    past.append(probabilities_K.clamp(min=1e-12).log())
