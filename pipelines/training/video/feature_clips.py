"""Clips of which features were kept, as a reader's `forward` takes them: trained on in seconds.

N clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ....data import FrameFeatures
from ....models.video.motion_evidence import levels_of
from .data import wanted


class FeatureClips(Dataset):
    """Clips that are rows of features, for `fit` and `ask`.

    Args:
        reader: which is trained, on the backbone `GivenFeatures`.
        clips: N.
        labels: int64 `[N]`, or 0 and 1 of several labels `[N, K]`.
        jitter: largest shift of all frames in time, as a share of the clip, drawn for each item.
    """

    def __init__(
        self,
        reader: Any,
        clips: Sequence[FrameFeatures],
        labels: Tensor,
        *,
        jitter: float = 0.0,
    ) -> None:
        if len(clips) != len(labels):
            raise ValueError(f"clips ({len(clips)}) and labels ({len(labels)}) must be as many")
        self.reader, self.labels, self.jitter = reader, labels, jitter
        names = wanted(reader) & {"features", "glances", "motion", "times"}
        self._kept = [_all_of(reader, clip, names) for clip in clips]
        self._profiles: list[Tensor] | None = None
        if reader.sees_profile:
            told = [(clip.motion(), levels_of(clip.index)) for clip in clips]
            self._profiles = [reader.profile_from(*each) for each in told]
        self._frames = [
            torch.tensor(reader.training_frames(len(clip), clip.index.keyframes)) for clip in clips
        ]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, k: int) -> dict[str, Tensor]:
        kept, frames_S = self._kept[k], self._frames[k]
        if self.jitter:
            count = len(kept["features"])
            shift = round(float(torch.empty(()).uniform_(-1, 1)) * self.jitter * count)
            frames_S = (frames_S + shift).clamp(0, count - 1)
        item = {name: rows[frames_S] for name, rows in kept.items()}
        if self._profiles is not None:
            item["motion_profile"] = self._profiles[k]
        return {**item, "labels": self.labels[k]}


@torch.no_grad()
def _all_of(reader: Any, clip: FrameFeatures, names: frozenset[str]) -> dict[str, Tensor]:
    """What `forward` takes, of all frames of a clip."""
    frames = range(len(clip))
    kept = {"features": reader.training_features(clip.read(frames, size=reader.frame_size))}
    if "glances" in names and reader.glance_size is not None:
        kept["glances"] = clip.glance(frames, size=reader.glance_size)
    if "motion" in names:
        kept["motion"] = torch.from_numpy(clip.motion())
    if "times" in names:
        kept["times"] = torch.arange(len(clip)) / len(clip)
    return kept
