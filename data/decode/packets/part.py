"""The index of a part of a video: its frames alone, and all that is needed to decode them.

Frames belong to a part by their own times: start <= time < end. So parts that meet share no frame,
and together they have all frames.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import VideoError
from .index import VideoIndex

_SAME_SECONDS = 1e-6
"""Times in tables are rounded: a frame that is so near to a border is on it."""

_ROUNDED_SECONDS = 1.0
"""Ends in tables are rounded up, or those of a sound that is longer than the pictures."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PartIndex(VideoIndex):
    """The index of a part, as of a file that was cut out, but for its packets.

    These are the whole file's, so that prices and decoding are what they are there.
    """

    whole: VideoIndex
    """Of all of the video."""

    first_frame: int
    """The number in it of the part's first frame."""


def frames_between(
    timestamps_seconds: NDArray[np.float64], start: float | None, end: float | None
) -> tuple[int, int]:
    """The frames whose times are in [start, end): the first, and the one after the last.

    Args:
        timestamps_seconds: [N] when each frame is shown.
        start, end: on the same clock; None: with the video.
    """
    first, stop = 0, len(timestamps_seconds)
    if start is not None:
        first = int(np.searchsorted(timestamps_seconds, start - _SAME_SECONDS))
    if end is not None:
        stop = int(np.searchsorted(timestamps_seconds, end - _SAME_SECONDS))
    return first, stop


def part_index(
    whole: VideoIndex, start: float | None, end: float | None, *, name: str
) -> PartIndex:
    """Slice an index.

    Args:
        whole: Of the video.
        start, end: In seconds on its clock, start < end; None: with the video. Times of the part
            count from `start`.
        name: Of the part, for messages.

    Raises:
        VideoError: `not_found`: there is no frame between the two, or the video ends long before
            `end`.
    """
    times = whole.timestamps_seconds
    first, stop = frames_between(times, start, end)
    until = whole.start_seconds + whole.duration_seconds
    if first >= stop or (end is not None and end > until + _ROUNDED_SECONDS):
        raise VideoError("not_found", _not_there(whole, start, end, first >= stop, name))
    own = slice(first, stop)
    shift = start or 0.0
    ends = until if stop == len(times) else float(times[stop])
    keyframes = whole.keyframes[(whole.keyframes >= first) & (whole.keyframes < stop)] - first
    changed: dict[str, Any] = {
        "timestamps_seconds": times[own] - shift,
        "pts": whole.pts[own] - round(shift / whole.time_base),
        # Inside of a GOP a part is entered at its first frame; readers count on a keyframe.
        "keyframes": keyframes if len(keyframes) else np.zeros(1, dtype=np.int64),
        "packet_bytes": whole.packet_bytes[own],
        "start_seconds": float(times[first]) - shift,
        "duration_seconds": (ends if end is None else min(ends, end)) - float(times[first]),
        "frames_in_header": 0,
        "fault": whole.fault if stop == len(times) else None,
        "frame_packets": whole.frame_packets[own],
        "frame_entries": whole.frame_entries[own],
    }
    for value in changed.values():
        if isinstance(value, np.ndarray):
            value.setflags(write=False)
    kept = {one.name: getattr(whole, one.name) for one in fields(VideoIndex)}
    return PartIndex(**{**kept, **changed}, whole=whole, first_frame=first)


def _not_there(
    whole: VideoIndex, start: float | None, end: float | None, is_empty: bool, name: str
) -> str:
    named = (("start_seconds", start), ("end_seconds", end))
    told = " and ".join(f"{what} ({time:g})" for what, time in named if time is not None)
    until = whole.start_seconds + whole.duration_seconds
    shown = f"shown from {whole.start_seconds:g} to {until:g} s"
    place = "before it" if start is None else "at or after it" if end is None else "between them"
    rule = f"must have a frame {place}" if is_empty else "must lie in the video"
    return (
        f"{name}: {told} {rule}, and the video's frames are {shown}: mend the times, or leave them "
        "out to read all of it"
    )
