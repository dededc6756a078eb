"""Which packet makes which frame: presentation order from timestamps, without decoding.

Packets are stored in decoding order; frames are shown by timestamp::

    packets (decoding order)   I0  P3  B1  B2  I4 ...      pts 0 3 1 2 4
    frames (presentation)      I0  B1  B2  P3  I4 ...
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .index import Packets

NO_PTS = int(np.iinfo(np.int64).min)
"""Stands for a missing timestamp."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Order:
    """The frames in presentation order; arrays of length N."""

    times: NDArray[np.int64]
    """Timestamps in the stream's time base."""

    own_packets: NDArray[np.int64]
    """The packet that codes each frame (a guess when not `is_ordered`)."""

    last_packets: NDArray[np.int64]
    """The last packet to decode to have the frame."""

    entries: NDArray[np.int64]
    """The packet at which decoding the frame starts."""

    keyframes: NDArray[np.int64]
    """Frames that are decoded alone."""

    is_ordered: bool
    """Whether the timestamps determine all this."""


def presentation_order(
    packets: Packets,
    *,
    reorder_depth: int,
    has_true_pts: bool,
    frame_ticks: float = 0.0,
    recoveries: Mapping[int, int] | None = None,
) -> Order | None:
    """Put the frames in the order in which a decoder running forward returns them.

    Args:
        packets: In decoding order; at least one is shown.
        reorder_depth: Frames that the decoder may hold back.
        has_true_pts: Whether the container stores presentation times. AVI does not: there the
            demuxer makes them up, and they are wrong as soon as frames are reordered.
        recoveries: Keyframes that are not whole -> frames after which the picture is.
        frame_ticks: Time from frame to frame, for files that give no times; 0 when unknown.

    Returns:
        The order, or None when there are no timestamps, no decoding times and no frame rate.
    """
    shown = np.flatnonzero(packets.is_shown & _decodable(packets))
    if len(shown) == 0:
        return None
    pts = packets.pts[shown]
    if np.any(pts == NO_PTS) or (reorder_depth > 0 and not has_true_pts):
        return _counted(packets, shown, reorder_depth, frame_ticks)
    segment = _segments(packets)[shown]
    in_order = bool(np.all((np.diff(pts) >= 0) | (np.diff(segment) > 0)))
    if in_order:
        by_time = np.arange(len(shown))
    else:
        by_time = np.lexsort((pts, segment))
        repeats = (np.diff(pts[by_time]) == 0) & (np.diff(segment[by_time]) == 0)
        if np.any(repeats):  # reordered, and two frames at one time: their order is not known
            return _counted(packets, shown, reorder_depth, frame_ticks)
    own = shown[by_time]
    entries = _entries(packets, own, _ready(packets, recoveries or {}, reorder_depth))
    return Order(
        times=packets.pts[own],
        own_packets=own,
        last_packets=own,
        entries=entries,
        keyframes=np.flatnonzero(entries == own),
        is_ordered=True,
    )


def _decodable(packets: Packets) -> NDArray[np.bool_]:
    """Packets before the first keyframe have nothing to start from: a decoder drops them."""
    first = int(np.argmax(packets.is_key)) if packets.is_key.any() else 0
    return np.arange(len(packets.pts)) >= first


def _segments(packets: Packets) -> NDArray[np.int64]:
    """Number the runs of packets whose decoding times go forward (joined recordings restart)."""
    dts = packets.dts
    back = (dts[1:] < dts[:-1]) & (dts[1:] != NO_PTS) & (dts[:-1] != NO_PTS)
    return np.concatenate([[0], np.cumsum(back)])


def _ready(
    packets: Packets, recoveries: Mapping[int, int], reorder_depth: int
) -> NDArray[np.int64]:
    """[P] for each keyframe the first packet that is exact when decoding begins there."""
    ready = np.arange(len(packets.pts))
    for key, frames in recoveries.items():
        ready[key] += frames * (1 + reorder_depth)  # counted without those that nothing refers to
    return ready


def _entries(
    packets: Packets, own: NDArray[np.int64], ready: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The last keyframe stored no later than the frame and shown no later than the frame.

    The second condition is for open GOPs: a frame stored after a keyframe but shown before it
    refers to the GOP before, so decoding must start there. Nor may it come before the picture is
    whole.
    """
    keys = np.flatnonzero(packets.is_key)
    if len(keys) == 0:
        return np.zeros_like(own)
    segment = _segments(packets)
    place = np.searchsorted(keys, own, side="right") - 1
    while True:
        key = keys[place]
        leading = (packets.pts[key] > packets.pts[own]) & (segment[key] == segment[own])
        step_back = (leading | (ready[key] > own)) & (place > 0)
        if not step_back.any():
            return key
        place = place - step_back


def _counted(
    packets: Packets, shown: NDArray[np.int64], reorder_depth: int, frame_ticks: float
) -> Order | None:
    """Without usable timestamps: frame k is the k-th that decoding from the start returns."""
    count = np.arange(len(shown))
    times = np.sort(packets.dts[shown])
    if times[0] == NO_PTS:  # an elementary stream, mostly: frames follow each other at its rate
        if frame_ticks <= 0:
            return None
        times = np.rint(count * frame_ticks).astype(np.int64)
        known = packets.pts[shown].max()  # Matroska has no times below 0: begin below it
        times += known - times[-1] if known != NO_PTS else 0
    last = shown[np.minimum(count + reorder_depth, len(shown) - 1)]
    return Order(
        times=times,
        own_packets=shown,
        last_packets=last,
        entries=np.zeros_like(shown),
        keyframes=np.zeros(1, dtype=np.int64),
        is_ordered=False,
    )
