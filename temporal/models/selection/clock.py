"""What a video-language model's processor is told of when frames are shown: `VideoMetadata`.

transformers has no times of frames, only `frames_indices` and `fps`, whose quotient is each frame's
time. Of a constant rate these are the frames' own numbers and the rate. Of a variable one they
would be wrong: then time is counted in the ticks of the container's clock, `fps` is how many there
are of these in a second, and `total_num_frames` how many in the video. So times, durations and
sampled rates that are worked out from them are true in both cases.

N frames of a video, K of them chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

BACKEND = "temporal"

_EXACT_SECONDS = 1.1e-3
"""Times may be rounded to milliseconds, as Matroska's are, and be of a constant rate."""


def metadata_fields(index: Any, frames: Sequence[int]) -> dict[str, Any]:
    """The fields of transformers' `VideoMetadata` for frames of a video.

    Args:
        index: of the video, see `FrameSource.index`.
        frames: K frame indices.

    Returns:
        Its fields by name. Times count from the first frame of the video, as a processor's own do.
    """
    rate = constant_rate(index)
    if rate is None:
        ticks = 1 / Fraction(index.time_base)
        # A duration says where the last frame ends; the times of frames are exact.
        total = max(round(index.duration_seconds * float(ticks)), 1)
        numbers = [int(index.pts[frame] - index.pts[0]) for frame in frames]
        fps = float(ticks)
    else:
        total, numbers, fps = len(index), [int(frame) for frame in frames], rate
    return {
        "total_num_frames": total,
        "fps": fps,
        "width": int(index.width),
        "height": int(index.height),
        "duration": float(index.duration_seconds),
        "video_backend": BACKEND,
        "frames_indices": numbers,
    }


def constant_rate(index: Any) -> float | None:
    """Frames per second of a video all of whose frames come at one rate; None: they do not.

    The simplest rate that its times allow: 30000/1001, where they say 29.97003.
    """
    times = np.asarray(index.timestamps_seconds, np.float64)
    if len(times) == 1:
        seconds = float(index.duration_seconds)
        return _simplest(1 / seconds) if seconds > 0 else None
    span = float(times[-1] - times[0])
    if span <= 0:
        return None
    rate = (len(times) - 1) / span
    # Times are rounded to ticks, so the rate is known to one tick of the whole span.
    tick = float(index.time_base)
    reach = min(max(1.1 * tick, 1e-6), _EXACT_SECONDS)
    numbers, since = np.arange(len(times)), times - times[0]
    for fps in (_simplest(rate, 2 * tick / span), rate):
        if np.abs(numbers / fps - since).max() <= reach:
            return fps
    return None


def _simplest(rate: float, share: float = 0.0) -> float:
    """The nearest of the rates that videos have: whole ones, and these over 1.001."""
    candidates = [float(round(rate)), round(rate * 1.001) * 1000 / 1001]
    reach = min(max(share, 1e-6), 0.01) * rate
    near = [one for one in candidates if one > 0 and abs(one - rate) <= reach]
    if near:
        return min(near, key=lambda one: abs(one - rate))
    return float(Fraction(rate).limit_denominator(1001))
