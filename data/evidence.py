"""Cheap evidence of where a video is worth reading, each kind one call that tells its cost.

From the cheapest to the dearest, on a video of N frames with G keyframes:

==========================  ==================================================================
`packet_motion`             nothing is decoded: packet sizes from the index
`keyframe_thumbnails`       G frames are decoded, each alone, with less work than a read
`low_resolution_scan`       up to N frames are decoded, with less work than a read
`motion_vectors`            the frames asked for and those they depend on; no colours are made
==========================  ==================================================================

What is decoded is counted in `video.spent` too. A decoder of their own is used, so a reading that
goes on is not disturbed. An isolated video's is in its worker, and each call is under its deadline.

Example:
    >>> from temporal.data import Video, evidence
    >>> motion = evidence.packet_motion(video).values
    >>> frames = video.read(motion.argsort()[-8:], size=(224, 224))  # where most is moving
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from temporal.trace import Cost

from .decode.packets import motion
from .decode.packets.index import VideoIndex
from .decode.pictures.glimpse import OLD_CODECS
from .decode.pictures.glimpse import MotionVectors as MotionVectors
from .decode.pictures.shelf import check_size

if TYPE_CHECKING:
    import torch

_HAVE_LOWRES = OLD_CODECS | {"mjpeg"}
_MAX_LOWRES = 3  # an eighth of each side


class _Indexed(Protocol):
    @property
    def index(self) -> VideoIndex: ...


class _Scanned(_Indexed, Protocol):
    """What these functions need: a `Video`, an isolated one, or frames in memory."""

    def __len__(self) -> int: ...

    def vectors(self, units: Sequence[int]) -> MotionVectors: ...

    def decode_small(
        self, frames: Sequence[int], size: tuple[int, int], options: Mapping[str, str]
    ) -> tuple[NDArray[np.uint8], Cost]: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class PacketMotion:
    """How much each frame seems to change, from packet sizes."""

    values: NDArray[np.float32]
    """[N] each frame's packet size over the mean size of its kind: 1 is ordinary, 3 is much. Of
    mean 1 over the frames that are predicted from others."""

    cost: Cost
    """Zero: nothing was decoded and no packet was read again."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SmallFrames:
    """Frames at a low resolution, to look at and not to be the input of a model."""

    frames: NDArray[np.int64]
    """[K] their frame indices, ascending."""

    images: torch.Tensor
    """uint8 [K, 3, height, width], RGB, upright. Not to the last bit what `video.read` gives: the
    decoder's smoothing is left out."""

    cost: Cost
    """What decoding them cost."""


def packet_motion(video: _Indexed) -> PacketMotion:
    """Tell from packet sizes where a video moves; nothing is decoded.

    A predicted frame's packet holds what changed. Sizes are compared within a kind only, because
    frames that are predicted from both sides take fewer bytes for the same change. A keyframe's
    size tells of detail and not of motion, so it gets the mean of its neighbours. A video of
    keyframes only (MJPEG, ProRes) gives no such evidence: all its values are 1.

    Args:
        video: A video; only its index is used.

    Raises:
        VideoError: The index cannot be had.
    """
    return PacketMotion(values=motion.packet_motion(video.index), cost=Cost())


def keyframe_thumbnails(
    video: _Scanned, *, size: tuple[int, int] = (64, 64), max_frames: int | None = None
) -> SmallFrames:
    """Decode the keyframes, small.

    Args:
        video: The video.
        size: (height, width) of the images.
        max_frames: Take at most so many, evenly spread; None: all.

    Raises:
        VideoError: A keyframe cannot be decoded; `frames_read` says how many could.
    """
    keyframes = video.index.keyframes
    return _decode_small(video, keyframes[_spread(len(keyframes), max_frames, "max_frames")], size)


def low_resolution_scan(
    video: _Scanned,
    num_frames: int | None = None,
    *,
    size: tuple[int, int] = (64, 64),
) -> SmallFrames:
    """Decode frames of the whole video, small.

    Frames between keyframes need those before them, so a scan of few frames of long GOPs decodes
    most of the video: ask `video.cost` first, or take `keyframe_thumbnails`.

    Args:
        video: The video.
        num_frames: Take at most so many, evenly spread; None: all.
        size: (height, width) of the images.

    Raises:
        VideoError: A frame cannot be decoded; `frames_read` says how many could.
    """
    return _decode_small(video, _spread(len(video), num_frames, "num_frames"), size)


def motion_vectors(video: _Scanned, frames: Sequence[int]) -> MotionVectors:
    """Take the motion vectors out of coded frames; they are decoded, but not made into images.

    Args:
        video: A video of a codec whose decoder shows its vectors: H.264, MPEG-1, 2 and 4, H.263 and
            their relatives. HEVC, VP8, VP9 and AV1 do not: take `packet_motion` or a scan there.
        frames: Frame indices, in any order, repeats allowed.

    Raises:
        VideoError: `unsupported_codec` for other codecs; as `video.read` for the rest.
        IndexError: An index is not in 0..len - 1.
    """
    return video.vectors(frames)


def _decode_small(video: _Scanned, frames: NDArray[np.int64], size: tuple[int, int]) -> SmallFrames:
    import torch  # here: a decode worker, which never comes here, starts ten times faster

    height, width = check_size(size)
    options = {"skip_loop_filter": "all"}
    if video.index.codec in _HAVE_LOWRES:
        shrink = min(video.index.height // height, video.index.width // width)
        options["lowres"] = str(min(_MAX_LOWRES, max(1, shrink).bit_length() - 1))
    images, cost = video.decode_small(frames.tolist(), (height, width), options)
    return SmallFrames(frames=frames, images=torch.from_numpy(images), cost=cost)


def _spread(count: int, most: int | None, name: str) -> NDArray[np.int64]:
    """Choose at most so many of `count` places: the middles of equal parts."""
    if most is None or most >= count:
        return np.arange(count)
    if most < 1:
        raise ValueError(f"{name} ({most}) must be >= 1, or None for all")
    return np.floor((np.arange(most) + 0.5) * count / most).astype(np.int64)
