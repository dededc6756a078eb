"""What sources of frames have in common whose frames are there already: reading decodes nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from temporal.trace import Cost

from .decode.packets import choice
from .decode.packets.index import VideoIndex
from .decode.packets.motion import packet_motion
from .decode.pictures.glimpse import MotionVectors, no_vectors
from .decode.pictures.region import Box, Size


class HeldFrames:
    """Mixed into a source that has its `id` and `index`, and gives its frames at once."""

    unit = "frame"
    in_memory = True
    backend = "memory"
    id: str

    @property
    def index(self) -> VideoIndex:
        """Times and sizes; every frame is a keyframe."""
        raise NotImplementedError

    @property
    def spent(self) -> Cost:
        """Nothing: no frame is decoded."""
        return Cost()

    def __len__(self) -> int:
        return len(self.index)

    def cost(self, units: Sequence[int]) -> Cost:
        """Nothing, for frames that there are.

        Raises:
            IndexError: An index is not in 0..len - 1.
        """
        choice.check_frames(self.index, units, name=self.id)
        return Cost()

    def motion(self) -> NDArray[np.float32]:
        """Ones, [N]: frames in memory have no packets to tell."""
        return packet_motion(self.index)

    def vectors(self, units: Sequence[int]) -> MotionVectors:
        """Refuse: frames in memory have no motion vectors.

        Raises:
            VideoError: `unsupported_codec`.
        """
        choice.check_frames(self.index, units, name=self.id)
        raise no_vectors(self.index, self.id)

    def expect(
        self, units: Sequence[int], *, size: Size | None = None, region: Box | None = None
    ) -> None:
        """Do nothing: all frames are here."""

    def close(self) -> None:
        """Do nothing: what there is, is the caller's."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r})"
