"""A decoded frame to an image: RGB, scaled, upright."""

from __future__ import annotations

import av.error
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from ..errors import VideoError
from .orientation import UPRIGHT, Orientation


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
