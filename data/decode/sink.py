"""Put decoded frames into their rows of an array: RGB, scaled, upright."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray


class FrameSink:
    """Takes the frames of one read.

    Args:
        slots: Frame index -> row of `out`.
        out: uint8 [K, 3, height, width].
        reformatter: Kept between reads: it remembers its scaling tables.
    """

    def __init__(
        self,
        *,
        slots: Mapping[int, int],
        out: NDArray[np.uint8],
        reformatter: VideoReformatter,
    ) -> None:
        self.num_read = 0
        self._slots = slots
        self._out = out
        self._reformatter = reformatter

    def put(self, frame_index: int, frame: VideoFrame) -> None:
        """Convert a frame and store it."""
        height, width = self._out.shape[2:]
        turns = round(frame.rotation / 90) % 4
        if turns % 2:
            height, width = width, height
        shrinks = width < frame.width or height < frame.height
        image = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format="rgb24",
            interpolation=Interpolation.AREA if shrinks else Interpolation.BILINEAR,
            threads=1,
        ).to_ndarray()
        if turns:
            image = np.rot90(image, turns)
        self._out[self._slots[frame_index]] = image.transpose(2, 0, 1)
        self.num_read += 1
