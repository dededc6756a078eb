"""`FrameFeatures`: a video of which features were kept, a row for each frame, read as a `Video` is.

What a network said of the frames of a clip is often kept in files (`.npy`, safetensors, arrow), and
the pixels are not at hand. Readers on the backbone `GivenFeatures` choose among these rows as they
do among frames. Rows that are not read are not touched: of a file that is mapped into memory
(`numpy.load(path, mmap_mode="r")`), they stay on the disk.

T frames, D features of each, K frames that are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .decode.errors import VideoError
from .decode.packets import choice
from .decode.packets.index import VideoIndex
from .decode.pictures.region import Box, Size
from .frames import FRAMES_PER_SECOND, memory_index
from .held_frames import HeldFrames

if TYPE_CHECKING:
    import torch


class FrameFeatures(HeldFrames):
    """A source of frames that are rows of features: pictures of height 1 and width D.

    A glance sees the first numbers of a row, as many as it is wide. Keep features in an order in
    which these tell most (principal components); they should cost little to have, or a glance is
    none.

    Args:
        features: Array, memory map or tensor of floats, [T, D]. It is not copied before it is read.
        id: The video's name in results.
        frames_per_second: For times; rows have none of their own.

    What the rows cannot be is said at the first use, as of a broken file: `VideoError`.

    Example:
        >>> from temporal.models import FrameExit, GivenFeatures
        >>> reader = FrameExit.from_backbone(GivenFeatures(256), num_labels=15)
        >>> reader(FrameFeatures(rows)).trace.read
    """

    def __init__(
        self,
        features: Any,
        *,
        id: str = "<features>",
        frames_per_second: float = FRAMES_PER_SECOND,
    ) -> None:
        if not 0 < frames_per_second < float("inf"):
            raise ValueError(f"frames_per_second ({frames_per_second}) must be > 0 and finite")
        self.id = id
        self._given = features
        self._rate = frames_per_second
        self._index: VideoIndex | None = None

    @property
    def index(self) -> VideoIndex:
        """Times, and height 1 and width D; every frame is a keyframe.

        Raises:
            VideoError: `not_video`: these are no rows of features.
        """
        if self._index is None:
            shape = _shape(self._given, self.id)
            index = memory_index(shape[0], 1, shape[1], self._rate)
            self._index = replace(index, codec="features", pixel_format="")
        return self._index

    def read(
        self, units: Sequence[int], *, size: Size | None = None, region: Box | None = None
    ) -> torch.Tensor:
        """Return rows [K, D], in the order asked for.

        Args:
            units: Frame indices, in any order, repeats allowed.
            size: (1, D), or None.
            region: None: a row has no parts.

        Raises:
            ValueError: Pixels were asked for.
            VideoError: `corrupt`: a row holds what is no number.
        """
        width = self.index.width
        if region is not None or (size is not None and tuple(size) != (1, width)):
            asked = f"size ({size})" if region is None else f"region ({region})"
            raise ValueError(f"{asked} must be None or the whole row, (1, {width}): {self._hint}")
        return self._take(units, width)

    def glance(self, units: Sequence[int], *, size: Size) -> torch.Tensor:
        """Return the first numbers of rows, [K, width].

        Args:
            units: Frame indices.
            size: (1, width), at most D wide.

        Raises:
            ValueError: Pixels were asked for, or more than there is.
            VideoError: As of `read`.
        """
        height, width = size
        if height != 1 or not 1 <= width <= self.index.width:
            raise ValueError(
                f"size ({tuple(size)}) must be (1, 1) to (1, {self.index.width}): {self._hint}"
            )
        return self._take(units, width)

    @property
    def _hint(self) -> str:
        return (
            f"{self.id} holds features, and no pixels. Give it to a reader on the backbone "
            f"temporal.models.GivenFeatures({self.index.width}), whose glance_pixels is at most "
            "that"
        )

    def _take(self, units: Sequence[int], width: int) -> torch.Tensor:
        import torch  # here: as for `Video`

        frames = choice.check_frames(self.index, units, name=self.id)
        taken = self._given[frames, :width]
        rows = torch.from_numpy(taken) if isinstance(taken, np.ndarray) else taken.detach()
        odd = ~rows.isfinite().all(-1)
        if odd.any():
            bad = frames[int(odd.int().argmax())]
            raise VideoError("corrupt", f"{self.id}: features of frame {bad} are not finite")
        return rows


def _shape(features: Any, name: str) -> tuple[int, int]:
    """(T, D) of rows of floats."""
    shape, kind = getattr(features, "shape", None), str(getattr(features, "dtype", None))
    if shape is None or len(shape) != 2 or 0 in shape or "float" not in kind:
        told = type(features).__name__ if shape is None else f"{kind} {list(shape)}"
        raise VideoError("not_video", f"{name}: features ({told}) must be floats [T, D]")
    return int(shape[0]), int(shape[1])
