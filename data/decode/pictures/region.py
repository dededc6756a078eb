"""A part of a frame that is read alone: cut out of the upright frame first, scaled then."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from .convert import to_image

Size = tuple[int, int]
"""(height, width) of an image."""

Box = tuple[int, int, int, int]
"""(top, left, height, width) of a region, as callers name it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Region:
    """A rectangle of the upright frame, in its pixels; (0, 0) is the top left as it is shown."""

    top: int
    left: int
    height: int
    width: int

    frame_size: tuple[int, int]
    """(height, width) of the frames that it lies in. A frame of another size (some files change it
    on the way) is scaled to this one before it is cut."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    def cut(
        self,
        image: NDArray[np.uint8],
        height: int,
        width: int,
        reformatter: VideoReformatter,
    ) -> NDArray[np.uint8]:
        """Cut the region out of an image [3, H, W] of `frame_size` and scale it, as frames are."""
        part = image[:, self.top : self.top + self.height, self.left : self.left + self.width]
        if (height, width) == self.size:
            return part
        pixels = np.ascontiguousarray(part.transpose(1, 2, 0))
        whole = VideoFrame.from_ndarray(pixels, format="rgb24")
        return to_image(whole, height, width, reformatter)


def check_shape(region: Sequence[int]) -> Box:
    """Return the four numbers of a region as integers.

    Raises:
        ValueError: They are not (top, left, height, width) of a rectangle of pixels.
    """
    try:
        top, left, height, width = (operator.index(number) for number in region)
    except (TypeError, ValueError):
        top = left = height = width = -1
    if top < 0 or left < 0 or height < 1 or width < 1:
        raise ValueError(
            f"region ({region}) must be (top, left, height, width) in whole pixels of the upright "
            "frame: top and left >= 0, height and width >= 1"
        )
    return top, left, height, width


def check_region(
    region: Sequence[int] | None, frame_size: tuple[int, int], *, name: str
) -> Region | None:
    """Return a region of frames of this (height, width); None: it is the whole frame.

    Raises:
        ValueError: It does not lie in the frame.
    """
    if region is None:
        return None
    top, left, height, width = check_shape(region)
    if top + height > frame_size[0] or left + width > frame_size[1]:
        raise ValueError(
            f"region ({region}) must lie in the frame: {name} has frames of "
            f"{frame_size[0]} x {frame_size[1]} (height x width) pixels"
        )
    if (height, width) == frame_size:
        return None
    return Region(top=top, left=left, height=height, width=width, frame_size=frame_size)
