"""Which frames to read: those that were asked for, or the cheapest near what was wished for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .index import VideoIndex


def check_frames(index: VideoIndex, frame_indices: Sequence[int], *, name: str) -> list[int]:
    """Return the indices as integers.

    Raises:
        IndexError: An index is not in 0..len - 1.
    """
    frames = [int(frame) for frame in frame_indices]
    count = len(index)
    for frame in frames:
        if not 0 <= frame < count:
            raise IndexError(
                f"frame index ({frame}) must be in 0..{count - 1}: {name} has {count} frames"
            )
    return frames


def nearest_frames(
    index: VideoIndex, times_seconds: Sequence[float], tolerance_seconds: float
) -> list[int]:
    """For each time the cheapest frame within the tolerance, the nearest where prices are equal.

    Args:
        index: The video's index.
        times_seconds: Wished times on the clock of `index.timestamps_seconds`.
        tolerance_seconds: How far from the wished time a cheaper frame may lie. Where no frame is
            that near, the nearest is taken.

    Returns:
        One frame index per time, in the order of the times.
    """
    if not tolerance_seconds >= 0:
        raise ValueError(f"tolerance_seconds ({tolerance_seconds}) must be >= 0")
    if not np.isfinite(times_seconds).all():
        raise ValueError(f"times_seconds ({list(times_seconds)}) must be finite")
    times = index.timestamps_seconds
    found: list[int] = []
    for wish in times_seconds:
        away = np.abs(times - wish)
        nearest = int(away.argmin())
        reach = max(tolerance_seconds, float(away[nearest]))
        found.append(_cheapest(index, np.flatnonzero(away <= reach), away))
    return found


def snap_frames(
    index: VideoIndex, frame_indices: Sequence[int], tolerance_frames: int
) -> list[int]:
    """For each frame the cheapest one at most `tolerance_frames` away, the nearest among equals."""
    if tolerance_frames < 0:
        raise ValueError(f"tolerance_frames ({tolerance_frames}) must be >= 0")
    place = np.arange(len(index))
    found: list[int] = []
    for frame in frame_indices:
        low, high = max(0, frame - tolerance_frames), min(len(index), frame + tolerance_frames + 1)
        found.append(_cheapest(index, place[low:high], np.abs(place - frame)))
    return found


def _cheapest(index: VideoIndex, choices: NDArray[np.int64], away: NDArray[np.generic]) -> int:
    costs = index.frame_costs[choices]
    best = np.lexsort((away[choices], costs))[0]
    return int(choices[best])
