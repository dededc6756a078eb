"""`Thinned`: a video of which only some frames are offered, as if it had no others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from ...policies.read import uniform
from ...trace import Cost


class Thinned:
    """Uniform frames of a source of frames, numbered from 0; a reader can reach no others.

    What is read of it costs what it costs in the whole video, frames that are decoded on the way
    among it, and is counted there.

    Args:
        source: a source of frames, see `temporal.source.FrameSource`.
        most: frames that are offered, at least 1; a shorter video offers all.
    """

    def __init__(self, source: Any, most: int) -> None:
        self.source, self.most = source, most
        self.id, self.unit, self.in_memory = source.id, source.unit, source.in_memory

    @cached_property
    def frames(self) -> list[int]:
        """Numbers of the offered frames in the source."""
        return uniform(len(self.source), self.most)

    @cached_property
    def index(self) -> Any:
        """The source's, of the offered frames alone.

        A keyframe is one of the source's. Where none of these is offered it is the first frame, for
        readers count on one.
        """
        whole, frames = self.source.index, np.array(self.frames)
        keyframes = np.flatnonzero(np.isin(frames, whole.keyframes))
        of_frames = ("timestamps_seconds", "pts", "packet_bytes", "frame_packets", "frame_entries")
        return replace(
            whole,
            keyframes=keyframes if len(keyframes) else np.zeros(1, dtype=np.int64),
            **{name: getattr(whole, name)[frames] for name in of_frames},
        )

    @property
    def spent(self) -> Cost:
        """The source's."""
        return self.source.spent

    @property
    def backend(self) -> str | None:
        """The source's decoder."""
        return getattr(self.source, "backend", None)

    def __len__(self) -> int:
        return len(self.frames)

    def cost(self, units: Sequence[int]) -> Cost:
        """As of the source."""
        return self.source.cost(self._there(units))

    def expect(self, units: Sequence[int], **options: Any) -> None:
        """As of the source."""
        self.source.expect(self._there(units), **options)

    def read(self, units: Sequence[int], **options: Any) -> Any:
        """As of the source."""
        return self.source.read(self._there(units), **options)

    def glance(self, units: Sequence[int], **options: Any) -> Any:
        """As of the source."""
        return self.source.glance(self._there(units), **options)

    def vectors(self, units: Sequence[int]) -> Any:
        """As of the source."""
        return self.source.vectors(self._there(units))

    def motion(self) -> Any:
        """As of the source, for the offered frames."""
        return self.source.motion()[self.frames]

    def close(self) -> None:
        """Close the source."""
        self.source.close()

    def _there(self, units: Sequence[int]) -> list[int]:
        """Numbers in the source.

        Raises:
            IndexError: one is not among those that are offered.
        """
        count = len(self.frames)
        for unit in units:
            if not 0 <= unit < count:
                raise IndexError(f"frame {unit} of {self.id!r} must be in 0..{count - 1}")
        return [self.frames[unit] for unit in units]
