"""Clips as a reader's `forward` takes them: kept features, or pixels that are varied in training.

S frames, H, W, K classes.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from ....data import VideoError
from ....data.labelled.clips import Clip
from ....models.video.hearing import sounds_at
from ....models.video.motion import known_motion
from ....models.video.motion_evidence import levels_of
from ....source import Sound
from ....training.block_shuffle import BlockShuffle
from .features import FeatureFiles
from .reading import stream_order


@dataclass(frozen=True, kw_only=True, slots=True)
class Augmentation:
    """How pixels are varied in training."""

    min_area: float = 0.5
    """Least share of the frame's area that a resized crop keeps; 1: no crops."""
    flip: bool = True
    """Mirror half of the clips."""
    colour: float = 0.2
    """Largest change of brightness, contrast and saturation, as a share."""
    jitter: float = 0.03
    """Largest shift of all frames in time, as a share of the clip."""


def targets(clips: Sequence[Clip], num_labels: int, *, several: bool) -> Tensor:
    """What the clips are: class numbers int64 `[N]`, or 0 and 1 of several labels `[N, K]`."""
    if not several:
        return torch.tensor([clip.label for clip in clips])
    rows = torch.zeros(len(clips), num_labels)
    for row, clip in zip(rows, clips, strict=True):
        row[list(clip.labels)] = 1.0
    return rows


def wanted(reader: Any) -> frozenset[str]:
    """The arguments that a reader's `forward` takes."""
    return frozenset(inspect.signature(reader.forward).parameters)


class KeptClips(Dataset):
    """Clips as the features that were made of them before.

    Args:
        files: with all views of all clips.
        clips: N.
        labels: see `targets`.
        draws: take one of the views by chance, and not always the first.
    """

    def __init__(
        self, files: FeatureFiles, clips: Sequence[Clip], labels: Tensor, *, draws: bool
    ) -> None:
        self.files, self.clips, self.labels, self.draws = files, list(clips), labels, draws
        self.names: frozenset[str]
        """What of `forward`'s arguments the items have."""
        self.names = wanted(files.reader) & {"features", "glances", "sounds", "motion", "times"}

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, k: int) -> dict[str, Tensor]:
        return {**self.view(k, self._draw()), "labels": self.labels[k]}

    def view(self, k: int, number: int = 0) -> dict[str, Tensor]:
        """One view of a clip, without its label."""
        kept = self.files[self.clips[k]]
        views = self.files.views(kept.num_frames, kept.keyframes, kept.clip_motion)
        taken = kept.take(views[number])
        item = {name: value for name, value in taken.items() if name in self.names}
        if self.files.reader.sees_profile:
            item["motion_profile"] = self.files.reader.profile_from(
                kept.clip_motion, kept.clip_levels
            )
        return item

    def _draw(self) -> int:
        return int(torch.randint(len(self.files.shifts), ())) if self.draws else 0


class PixelClips(Dataset):
    """Clips as pixels, decoded when they are asked for: only the frames that the reader names.

    Args:
        reader: which is trained.
        clips: N.
        labels: see `targets`.
        augmentation: how pixels are varied; None: as the reader itself reads them.
    """

    def __init__(
        self,
        reader: Any,
        clips: Sequence[Clip],
        labels: Tensor,
        augmentation: Augmentation | None = None,
    ) -> None:
        self._frames, self._names = reader.training_frames, wanted(reader)
        self._by_motion = reader.chooses_by_motion
        self._profile = reader.profile_from if reader.sees_profile else None
        self._size, self._glance_size = reader.frame_size, reader.glance_size
        self._sound_size = reader.sound_size
        self.clips, self.labels, self.augmentation = list(clips), labels, augmentation

    def train_sampler(self, seed: int, batch_size: int) -> BlockShuffle | None:
        """Their order in a training; None: any, for all can be had at any time."""
        return stream_order(self.clips, seed)

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, k: int) -> dict[str, Tensor]:
        try:
            return self._item(k, self.augmentation)
        except VideoError:
            if self.augmentation is None:
                raise
            return self._item(k, None)  # its own frames can be read: they were before

    def _item(self, k: int, varied: Augmentation | None) -> dict[str, Tensor]:
        clip = self.clips[k]
        with clip.open(num_threads=1) as video:
            count = len(video)
            how = {}
            if self._by_motion:
                how["motion"] = known_motion(video.motion())
            frames = list(self._frames(count, video.index.keyframes.tolist(), **how))
            if varied is not None and varied.jitter:
                shift = round(float(torch.empty(()).uniform_(-1, 1)) * varied.jitter * count)
                frames = [min(max(frame + shift, 0), count - 1) for frame in frames]
            region = None
            if varied is not None and varied.min_area < 1:
                region = random_region(video.index.height, video.index.width, varied.min_area)
            item: dict[str, Tensor] = {}
            if "glances" in self._names and self._glance_size and varied is None:
                item["glances"] = video.glance(frames, size=self._glance_size).clone()
            pixels = video.read(frames, size=self._size, region=region)
            if self._sound_size is not None:
                times = video.index.timestamps_seconds[frames]
                item["sounds"] = sounds_at(_heard(video), times, self._sound_size)
            if "motion" in self._names:
                item["motion"] = torch.from_numpy(np.asarray(video.motion())[frames])
            if self._profile is not None:
                item["motion_profile"] = self._profile(video.motion(), levels_of(video.index))
        if varied is not None:
            pixels = vary(pixels, varied)
            if "glances" in self._names and self._glance_size:
                small = F.interpolate(
                    pixels.float(), self._glance_size, mode="bilinear", antialias=True
                )
                item["glances"] = small.round().clamp(0, 255).to(torch.uint8)
        item["pixel_values"] = pixels
        if "times" in self._names:
            item["times"] = torch.tensor(frames) / count
        return {**item, "labels": self.labels[k]}


def _heard(video: Any) -> Sound | None:
    """The sound of a video; None where it has none, or where it cannot be had: as it is read."""
    try:
        sound: Sound | None = video.audio() if hasattr(video, "audio") else None
    except VideoError:
        return None
    return sound


def collate(rows: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """A batch; a clip that has fewer frames than others repeats its last."""
    batch = {}
    for name in rows[0]:
        parts = [row[name] for row in rows]
        if name != "labels":
            longest = max(map(len, parts))
            parts = [part if len(part) == longest else _lengthened(part, longest) for part in parts]
        batch[name] = torch.stack(parts)
    return batch


def _lengthened(part: Tensor, count: int) -> Tensor:
    return torch.cat([part, part[-1:].expand(count - len(part), *part.shape[1:])])


def random_region(height: int, width: int, min_area: float) -> tuple[int, int, int, int]:
    """A part of a frame, (top, left, height, width), of about its form (3:4 to 4:3 of it)."""
    area = float(torch.empty(()).uniform_(min_area, 1))
    form = float(torch.empty(()).uniform_(np.log(3 / 4), np.log(4 / 3)).exp())
    rows = min(height, max(1, round(height * (area * form) ** 0.5)))
    columns = min(width, max(1, round(width * (area / form) ** 0.5)))
    top = int(torch.randint(height - rows + 1, ()))
    left = int(torch.randint(width - columns + 1, ()))
    return top, left, rows, columns


def vary(pixels_SCHW: Tensor, how: Augmentation) -> Tensor:
    """Mirror a clip and change its colours, all its frames alike. uint8 in and out."""
    if how.flip and torch.rand(()) < 0.5:
        pixels_SCHW = pixels_SCHW.flip(-1)
    if not how.colour:
        return pixels_SCHW
    brightness, contrast, saturation = (
        torch.empty(3).uniform_(1 - how.colour, 1 + how.colour).tolist()
    )
    values = pixels_SCHW.float() * brightness
    values = (values - values.mean()) * contrast + values.mean()
    grey = values.mean(1, keepdim=True)
    values = (values - grey) * saturation + grey
    return values.round().clamp(0, 255).to(torch.uint8)
