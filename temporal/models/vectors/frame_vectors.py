"""A video as vectors: any image model read over frames until their mean hardly changes.

G frames of a group, C, H, W; S frames read, D width (of all tokens: their shape).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...backbones.image_features import image_features
from ...backbones.pixels import ProcessorPixels
from ...checks import check_count, check_finite, check_in, check_range
from ...handle import Handle
from ...policies.read import ORDERS, num_allowed, snap
from ...policies.vectors import mean_similarity
from ...stage import Stage
from ..reader import Reader
from ..video.reading import Groups

_FIRST = 2  # frames that are read in any case: of one it is not known how much frames differ
_TOGETHER = 4  # frames that are read at a time where nothing halts; whole ones take room


@dataclass(frozen=True, kw_only=True, slots=True)
class VectorsRead:
    """What a `FrameVectors` read of a video."""

    vectors: Tensor
    """`[S, D]` of the frames, or with `pool=False` `[S, T, D]`, in the order of reading."""
    frames: list[int]
    """Their indices."""
    seconds: list[float]
    """Their times, from the first frame's on."""


class FrameVectors(Reader, nn.Module):
    """Reads frames from coarse to fine, until the mean of their vectors is near that of all.

    Args:
        model: an image model of transformers, or one of images and texts; used as it is.
        processor: its image processor, which sees whole frames.
        num_frames: frames that are read when nothing halts; at least so many of a long video.
        every_seconds: a long video has a frame more for each so many seconds; None: as many as any.
        similarity: the expected cosine, between the mean so far and that of all frames, at which
            reading halts (`mean_similarity`); None: nothing halts.
        pool: see `image_features`.
        normalize: bring the vector of each frame to length 1.
        order: one of `temporal.policies.read.ORDERS`.
        snap_share: how far a frame is moved to a keyframe, which is read with less decoding, as a
            share of the distance between frames.

    Raises:
        ValueError: a value is out of its range, or the processor does not fit the model.
    """

    unit = "frame"

    def __init__(
        self,
        model: Any,
        processor: Any,
        *,
        num_frames: int = 16,
        every_seconds: float | None = None,
        similarity: float | None = None,
        pool: bool | None = None,
        normalize: bool = False,
        order: str = "coarse_to_fine",
        snap_share: float = 0.0,
    ) -> None:
        super().__init__()
        check_count("num_frames", num_frames, 1)
        check_in("order", order, [*ORDERS])
        check_range("snap_share", snap_share, 0.0, 1.0)
        if similarity is not None:
            check_range("similarity", similarity, -1.0, 1.0)
        if every_seconds is not None and not every_seconds > 0:
            raise ValueError(f"every_seconds ({every_seconds}) must be > 0, or None")
        self.model, self.config = model, model.config
        self.num_frames, self.every_seconds, self.similarity = num_frames, every_seconds, similarity
        self.pool, self.normalize = pool, normalize
        self.order, self.snap_share = order, snap_share
        self.pixels = ProcessorPixels(processor, model)
        self.prepare = Stage(self.pixels, name="pixels")
        self.features = Stage(self._features, name="backbone")

    def with_pool(self, pool: bool) -> FrameVectors:
        """The same reader with other features; the model is shared."""
        names = ("num_frames", "every_seconds", "similarity", "normalize", "order", "snap_share")
        options = {name: getattr(self, name) for name in names}
        return FrameVectors(self.model, self.pixels.processor, pool=pool, **options).eval()

    def _features(self, *inputs: Tensor) -> Tensor:
        device, dtype = self.model.device, self.model.dtype
        names = [name or self.model.main_input_name for name in self.pixels.names]
        given = [x.to(device, dtype if x.is_floating_point() else x.dtype) for x in inputs]
        features = image_features(self.model, self.pool, **dict(zip(names, given, strict=True)))
        return F.normalize(features, dim=-1) if self.normalize else features

    def frames_of(self, num_frames: int, seconds: float, keyframes: Any) -> list[int]:
        """Frames to read, in reading order.

        Args:
            num_frames: of the video.
            seconds: that it lasts.
            keyframes: frame indices that decode alone.
        """
        count = self.num_frames
        if self.every_seconds is not None:
            count = max(count, int(seconds / self.every_seconds))
        order = ORDERS[self.order](num_frames, count)
        return snap(order, keyframes, self.snap_share * num_frames / count)

    async def read(self, video: Handle) -> VectorsRead:
        """Read frames of one video until their mean is near that of all.

        Raises:
            NonFiniteError: a vector is NaN or infinite.
        """
        num_frames = await video.open()
        times = video.index.timestamps_seconds
        order = self.frames_of(num_frames, float(times[-1] - times[0]), video.index.keyframes)
        found = await self.vectors_of(video, order)
        video.note(exit=len(found.frames) - 1, num_exits=len(order))
        return found

    async def vectors_of(self, video: Handle, order: list[int]) -> VectorsRead:
        """Read these frames, in this order, until their mean is near that of all of them."""
        vectors: list[Tensor] = []
        frames: list[int] = []
        if self.similarity is None:
            groups = [order[k : k + _TOGETHER] for k in range(0, len(order), _TOGETHER)]
        else:
            groups = [order[:_FIRST], *([frame] for frame in order[_FIRST:])]
        async for group in Groups(video, groups):
            inputs = await self.prepare(group.pixels)
            vectors += check_finite(await self.features(*inputs)).float().cpu().unbind(0)
            frames += group.frames
            if self.similarity is None or group.is_last:
                continue
            if mean_similarity(torch.stack(vectors), len(order)) >= self.similarity:
                video.note(halted_at=group.frames[-1])
                break
        times = video.index.timestamps_seconds
        return VectorsRead(
            vectors=torch.stack(vectors),
            frames=frames,
            seconds=[float(times[frame] - times[0]) for frame in frames],
        )

    def set_budget(self, budget: float) -> None:
        """As of `Reader`: it reads that share of frames."""
        check_range("budget", budget, 0.0, 1.0)
        self.num_frames = num_allowed(self.num_frames, budget)

    def set_policy(self, name: str, threshold: float | None) -> None:
        """As of `Reader`; `"similarity:0.99"` is all that it halts by."""
        if name != "similarity":
            raise ValueError(f"policy ({name!r}) must be 'similarity:C' with a cosine: it halts so")
        if threshold is not None:
            check_range("similarity", threshold, -1.0, 1.0)
        self.similarity = threshold

    def set_sampling(self, order: str) -> None:
        """As of `Reader`."""
        check_in("sampling", order, [*ORDERS])
        self.order = order

    def dense_macs(self, units_total: int) -> int | None:
        """MACs of reading all `num_frames` frames."""
        per_frame = self.features.macs_per_row
        return None if per_frame is None else round(per_frame * min(units_total, self.num_frames))
