"""What must hold of every file: each frame is the one asked for, or there is an error."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from temporal.data import VideoError

from . import barcode
from .oracle import Forward

Had = dict[int, np.ndarray]
"""Frame index -> uint8 [3, height, width]."""


def read_each(video: Any, frames: Iterable[int]) -> tuple[Had, list[VideoError]]:
    """Read frames one by one, in the order given; return those had, and the errors."""
    had: Had = {}
    errors: list[VideoError] = []
    for frame in frames:
        try:
            had[frame] = video.read([frame])[0].numpy()
        except VideoError as error:
            errors.append(error)
    return had, errors


def read_what_can_be(video: Any) -> tuple[Had, list[VideoError]]:
    """Read all frames at once; where that fails, one by one."""
    count = len(video)
    try:
        return dict(enumerate(video.read(range(count)).numpy())), []
    except VideoError:
        return read_each(video, range(count))


def number_is(image: np.ndarray, wanted: int) -> bool:
    """Whether a frame carries this number, which is read modulo 256."""
    return barcode.read(image) == wanted % 256


def strangers(
    index: Any, had: Had, oracle: Sequence[Forward], truth: Sequence[Forward] = ()
) -> list[int]:
    """Frames that neither the oracle gives at their time, nor the file before it was damaged.

    Args:
        index: The video's index.
        had: The frames that were read.
        oracle: The frames that decoding the file forward gives.
        truth: Those of the file before it was damaged.
    """
    found = []
    for frame, image in had.items():
        seconds = float(index.timestamps_seconds[frame])
        if index.is_ordered:
            same = [*_at(oracle, seconds), *_at(truth, seconds)]
        else:  # counted: the file gives no times that could be compared
            same = [*oracle[frame : frame + 1], *truth[frame : frame + 1]]
        if not any(one.equals(image) for one in same):
            found.append(frame)
    return found


def _at(frames: Sequence[Forward], seconds: float) -> list[Forward]:
    return [f for f in frames if f.seconds is not None and abs(f.seconds - seconds) < 1e-5]
