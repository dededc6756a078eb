"""Put decoded frames into their rows of an array, or on a shelf: RGB, scaled, upright."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import av.error
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from ..errors import VideoError
from .orientation import UPRIGHT, Orientation
from .shelf import Shelf


def to_image(
    frame: VideoFrame,
    height: int,
    width: int,
    reformatter: VideoReformatter,
    orientation: Orientation = UPRIGHT,
) -> NDArray[np.uint8]:
    """Convert a decoded frame.

    Args:
        frame: As the decoder made it.
        height: Pixels down of the upright image.
        width: Pixels across of the upright image.
        reformatter: Kept between frames: it remembers its scaling tables.
        orientation: How it is to be turned to stand upright.

    Returns:
        uint8 [3, height, width], RGB, upright; a view of an array with another order of axes.

    Raises:
        VideoError: `corrupt`: the frame's colors are none that can be converted; `oom`.
    """
    height, width = orientation.stored_size(height, width)
    shrinks = width < frame.width or height < frame.height
    try:
        image = reformatter.reformat(
            frame,
            width=width,
            height=height,
            format="rgb24",
            interpolation=Interpolation.AREA if shrinks else Interpolation.BILINEAR,
            threads=1,
        ).to_ndarray()
    except av.error.FFmpegError as error:  # a damaged header names colors that there are not
        raise VideoError(
            "oom" if isinstance(error, MemoryError) else "corrupt",
            f"a frame of {frame.width}x{frame.height} cannot be made into an image: {error}",
        ) from error
    return orientation.apply(image).transpose(2, 0, 1)


class FrameSink:
    """Takes the frames of one read.

    Args:
        slots: Frame index -> row of `out`.
        out: uint8 [K, 3, height, width].
        reformatter: Kept between reads: it remembers its scaling tables.
        shelf: Where frames go that are expected later.
        orientation: How the video's frames are to be turned to stand upright.
    """

    def __init__(
        self,
        *,
        slots: Mapping[int, int],
        out: NDArray[np.uint8],
        reformatter: VideoReformatter,
        shelf: Shelf,
        orientation: Orientation = UPRIGHT,
    ) -> None:
        self.num_read = 0
        self._orientation = orientation
        self._slots = slots
        self._out = out
        self._reformatter = reformatter
        self.shelf = shelf

    def put(self, frame_index: int, frame: VideoFrame) -> None:
        """Convert a frame and store it."""
        self._put_image(frame_index, self._convert(frame, *self._out.shape[2:]))

    def branch(self, frame_indices: Sequence[int]) -> FrameSink:
        """Make a sink for one of several threads, which puts these frames into the same rows."""
        shelf = Shelf(self.shelf.missing, self.shelf.size)
        slots = {frame: self._slots[frame] for frame in frame_indices}
        reformatter = VideoReformatter()
        return FrameSink(
            slots=slots,
            out=self._out,
            reformatter=reformatter,
            shelf=shelf,
            orientation=self._orientation,
        )

    def join(self, branch: FrameSink) -> None:
        """Take over what a branch has read and kept."""
        self.num_read += branch.num_read
        self.shelf.inherit(branch.shelf)

    def put_kept(self, frame_indices: Sequence[int]) -> list[int]:
        """Store the frames that the shelf has; return the others, which must be decoded.

        A shelf of another size is left alone: the frames may still be asked for at that size.
        """
        if self.shelf.size != self._out.shape[2:]:
            return list(frame_indices)
        kept = self.shelf.take(frame_indices)
        for frame_index, image in kept.items():
            self._put_image(frame_index, image)
        return [frame_index for frame_index in frame_indices if frame_index not in kept]

    def pass_by(self, frame_index: int, frame: VideoFrame) -> bool:
        """Keep a frame that was decoded on the way if it is expected; return whether it was."""
        if frame_index not in self.shelf.missing:
            return False
        self.shelf.keep(frame_index, self._convert(frame, *self.shelf.size))
        return True

    def _put_image(self, frame_index: int, image: NDArray[np.uint8]) -> None:
        self._out[self._slots[frame_index]] = image
        self.num_read += 1

    def _convert(self, frame: VideoFrame, height: int, width: int) -> NDArray[np.uint8]:
        return to_image(frame, height, width, self._reformatter, self._orientation)
