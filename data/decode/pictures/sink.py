"""Put decoded frames into their rows of an array, or on a shelf: RGB, scaled, upright."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from .convert import to_image
from .orientation import UPRIGHT, Orientation
from .region import Region
from .shelf import Shelf


class FrameSink:
    """Takes the frames of one read.

    Args:
        slots: Frame index -> row of `out`.
        out: uint8 [K, 3, height, width].
        reformatter: Kept between reads: it remembers its scaling tables.
        shelf: Where frames go that are expected later.
        orientation: How the video's frames are to be turned to stand upright.
        region: The part of the frames that `out` has; None: all.
    """

    def __init__(
        self,
        *,
        slots: Mapping[int, int],
        out: NDArray[np.uint8],
        reformatter: VideoReformatter,
        shelf: Shelf,
        orientation: Orientation = UPRIGHT,
        region: Region | None = None,
    ) -> None:
        self.num_read = 0
        self._orientation = orientation
        self._region = region
        self._cutter: VideoReformatter | None = None
        self._slots = slots
        self._out = out
        self._reformatter = reformatter
        self.shelf = shelf

    def put(self, frame_index: int, frame: VideoFrame) -> None:
        """Convert a frame and store it."""
        height, width = self._out.shape[2:]
        self._put_image(frame_index, self._convert(frame, height, width, self._region))
        if self.shelf.is_glance:
            self.shelf.whole.keep(frame_index, frame)

    def branch(self, frame_indices: Sequence[int]) -> FrameSink:
        """Make a sink for one of several threads, which puts these frames into the same rows."""
        shelf = Shelf(self.shelf.missing, self.shelf.size, self.shelf.region)
        shelf.is_glance = self.shelf.is_glance
        slots = {frame: self._slots[frame] for frame in frame_indices}
        reformatter = VideoReformatter()
        return FrameSink(
            slots=slots,
            out=self._out,
            reformatter=reformatter,
            shelf=shelf,
            orientation=self._orientation,
            region=self._region,
        )

    def join(self, branch: FrameSink) -> None:
        """Take over what a branch has read and kept."""
        self.num_read += branch.num_read
        self.shelf.inherit(branch.shelf)
        self.shelf.whole.take_over(branch.shelf.whole)

    def put_kept(self, frame_indices: Sequence[int]) -> list[int]:
        """Store the frames that the shelf has; return the others, which must be decoded.

        A shelf of another size or region is left alone: the frames may still be asked for like
        that. Those that were glanced at are there whole, for any.
        """
        others = list(frame_indices)
        if (self.shelf.size, self.shelf.region) == (self._out.shape[2:], self._region):
            kept = self.shelf.take(frame_indices)
            for frame_index, image in kept.items():
                self._put_image(frame_index, image)
            others = [frame_index for frame_index in frame_indices if frame_index not in kept]
        left = []
        for frame_index in others:
            whole = self.shelf.whole.get(frame_index)
            if whole is None:
                left.append(frame_index)
            else:
                self.put(frame_index, whole)
        return left

    def pass_by(self, frame_index: int, frame: VideoFrame) -> bool:
        """Keep a frame that was decoded on the way if it is expected; return whether it was."""
        if frame_index not in self.shelf.missing:
            return False
        height, width = self.shelf.size
        self.shelf.keep(frame_index, self._convert(frame, height, width, self.shelf.region))
        return True

    def _put_image(self, frame_index: int, image: NDArray[np.uint8]) -> None:
        self._out[self._slots[frame_index]] = image
        self.num_read += 1

    def _convert(
        self, frame: VideoFrame, height: int, width: int, region: Region | None
    ) -> NDArray[np.uint8]:
        if region is None:
            return to_image(frame, height, width, self._reformatter, self._orientation)
        whole = to_image(frame, *region.frame_size, self._reformatter, self._orientation)
        # Another one: each remembers the tables of one scaling.
        self._cutter = self._cutter or VideoReformatter()
        return region.cut(whole, height, width, self._cutter)
