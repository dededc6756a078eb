"""Motion of packets as numbers that a network can take: of single frames, and of a whole video.

A predicted frame's packet holds what changed, so the sizes of packets along a video say when much
happens, and how much, before anything is decoded. A reader that looks at few frames sees little of
time: the profile is the evidence beside them that covers it all.

With m the mean motion in each of the M equal parts of a video (`FrameSource.motion`: sizes of
predicted frames' packets, each beside the mean of its kind, so that neither keyframes nor frames
predicted from both sides stand out), and r = log(m + 0.05), less its median, the profile is

    [ r,  r in increasing order,  levels ]        2 M + 2 numbers

The first part says when something happens, the second how unevenly, whenever it was. Both are the
same at any quality of encoding. The levels say how much happens at all: the mean size of predicted
frames over the mean size of keyframes, which carry what is to be seen and not what moves; and the
same in bits for each pixel, which is the surer number where all videos are encoded alike.

A video that tells nothing (keyframes only, frames in memory) has a profile of zeros.

B videos, S frames, N frames of a video, M parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .motion import known_motion

_LEVELS = 2
_FLOOR = 0.05
"""What is below a twentieth of the mean is no motion: packets have headers."""


def profile_size(bins: int) -> int:
    """How many numbers a profile of so many parts has; 0 of none."""
    return 2 * bins + _LEVELS if bins else 0


def profile_weights(bins: int) -> Tensor:
    """What each number of a profile counts for so that its three parts count alike: `[2 M + 2]`."""
    parts = (bins, bins, _LEVELS)
    return torch.cat([torch.full((count,), count**-0.5) for count in parts])


def motion_profile(motion_N: Any, levels: Sequence[float], bins: int) -> Tensor:
    """The profile of a video: float32 `[2 M + 2]`, finite.

    Args:
        motion_N: how much each frame moves, as `Handle.motion` gives it, N >= 1.
        levels: see `motion_levels`.
        bins: M, the parts. Of a video with fewer frames, several parts lie in one frame.
    """
    motion = known_motion(motion_N)
    motion = motion / max(float(motion.mean()), 1e-6)  # that of a part of a video is not 1
    starts = np.arange(bins) * len(motion) // bins
    stops = np.maximum(starts + 1, np.arange(1, bins + 1) * len(motion) // bins)
    sums = np.concatenate([[0.0], np.cumsum(motion)])
    logs = np.log(np.maximum((sums[stops] - sums[starts]) / (stops - starts), 0.0) + _FLOOR)
    logs -= np.median(logs)
    return torch.from_numpy(np.concatenate([logs, np.sort(logs), levels])).float()


def motion_levels(packet_bytes: Any, keyframes: Any, num_pixels: int) -> tuple[float, float]:
    """How large predicted frames are: beside keyframes, and in bits a pixel, as logarithms.

    Args:
        packet_bytes: of each frame of a video, or of a part of one.
        keyframes: indices of those that are decoded without others.
        num_pixels: of a frame.

    Returns:
        0 and 0 where no frame is predicted, or none is a keyframe.
    """
    sizes = np.asarray(packet_bytes, dtype=np.float64)
    is_key = np.zeros(len(sizes), dtype=bool)
    is_key[np.asarray(keyframes, dtype=np.int64)] = True
    if is_key.all() or not is_key.any():
        return 0.0, 0.0
    predicted, whole = max(sizes[~is_key].mean(), 1.0), max(sizes[is_key].mean(), 1.0)
    return float(np.log(predicted / whole)), float(np.log(8 * predicted / max(num_pixels, 1)))


def levels_of(index: Any) -> tuple[float, float]:
    """`motion_levels` of a source of frames.

    Args:
        index: the source's. One that tells no sizes of packets has none.
    """
    if not hasattr(index, "packet_bytes"):
        return 0.0, 0.0
    return motion_levels(index.packet_bytes, index.keyframes, index.width * index.height)


def motion_features(motion_BS: Tensor) -> Tensor:
    """How much frames change, by themselves and beside the others of their video: `[B, S, 2]`.

    Args:
        motion_BS: `Handle.motion` at these frames, >= 0: bytes where they come from packets, so
            the second number, by which the encoder's quality cancels out, is the safer one.
    """
    mean_B1 = motion_BS.mean(1, keepdim=True).clamp(min=1e-6)
    return torch.stack([motion_BS.log1p() / 10, (motion_BS / mean_B1).log1p()], -1)
