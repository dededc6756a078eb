"""Which packet makes which frame: presentation order from timestamps, without decoding.

Packets are stored in decoding order; frames are shown by timestamp::

    packets (decoding order)   I0  P3  B1  B2  I4 ...      pts 0 3 1 2 4
    frames (presentation)      I0  B1  B2  P3  I4 ...
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_Scalar = TypeVar("_Scalar", bound=np.generic)

NO_PTS = int(np.iinfo(np.int64).min)
"""Stands for a missing timestamp."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Packets:
    """The coded frames in the order in which they are stored and decoded; arrays of length P."""

    pts: NDArray[np.int64]
    """Presentation timestamp, in the stream's time base; `NO_PTS` where the file has none."""

    dts: NDArray[np.int64]
    """Decoding timestamp; `NO_PTS` where the file has none."""

    size_bytes: NDArray[np.int64]
    """Bytes of the packet."""

    is_key: NDArray[np.bool_]
    """Whether decoding may start here."""

    is_shown: NDArray[np.bool_]
    """Whether it makes a frame; False for those that an edit list hides."""

    is_corrupt: NDArray[np.bool_]
    """Whether the demuxer got only a part of it."""

    is_disposable: NDArray[np.bool_]
    """Whether no other frame refers to its frame: on the way to others it is not decoded."""


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
    once: Sequence[int] = (),
    has_true_keys: bool = True,
) -> Order | None:
    """Put the frames in the order in which a decoder running forward returns them.

    Args:
        packets: In decoding order; at least one is shown.
        reorder_depth: Frames that the decoder may hold back.
        has_true_pts: Whether the container stores presentation times. AVI does not: there the
            demuxer makes them up, and they are wrong as soon as frames are reordered.
        recoveries: Keyframes that are not whole -> frames after which the picture is.
        once: Packets that carry what a decoder is told once: no decode may begin after one of them,
            for a frame that comes later.
        has_true_keys: Whether what is called a keyframe is one, with this codec.
        frame_ticks: Time from frame to frame, for files that give no times; 0 when unknown.

    Returns:
        The order, or None when there are no timestamps, no decoding times and no frame rate.
    """
    shown = np.flatnonzero(packets.is_shown & _decodable(packets))
    if len(shown) == 0:
        return None
    pts = packets.pts[shown]
    if np.any(pts == NO_PTS) or (reorder_depth > 0 and not has_true_pts):
        return _counted(packets, shown, reorder_depth, frame_ticks, has_true_pts)
    segment = _segments(packets)[shown]
    in_order = bool(np.all((np.diff(pts) >= 0) | (np.diff(segment) > 0)))
    if in_order and reorder_depth > 0 and packets.is_disposable[shown].any():
        # There are B-frames, which are shown before what they refer to: these are decoding times.
        return _counted(packets, shown, reorder_depth, frame_ticks, has_true_pts)
    if in_order:
        by_time = np.arange(len(shown))
    else:
        by_time = np.lexsort((pts, segment))
        repeats = (np.diff(pts[by_time]) == 0) & (np.diff(segment[by_time]) == 0)
        if np.any(repeats):  # reordered, and two frames at one time: their order is not known
            return _counted(packets, shown, reorder_depth, frame_ticks, has_true_pts)
    own = shown[by_time]
    is_key = packets.is_key if has_true_keys else np.zeros_like(packets.is_key)
    entries = _entries(packets, is_key, own, _ready(packets, recoveries or {}, reorder_depth))
    entries = _no_later_than_told(entries, own, once)
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


def clock_breaks(
    pts: NDArray[np.int64], dts: NDArray[np.int64], is_key: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """[P-1] whether the clock begins anew with the next packet (joined recordings)."""
    back = (dts[1:] < dts[:-1]) & (dts[1:] != NO_PTS) & (dts[:-1] != NO_PTS)
    # Some demuxers give presentation times as decoding times, which then go back all the time, but
    # not behind the keyframe.
    last_key = np.maximum.accumulate(np.where(is_key, np.arange(len(pts)), 0))
    goes_on = pts[1:] > pts[last_key[:-1]]
    if np.any(back & ~is_key[1:] & (dts[1:] == pts[1:]) & goes_on):
        back &= is_key[1:]
    return back


def duration_seconds(
    times: NDArray[np.float64], order: Order, durations: NDArray[np.int64], time_base: Fraction
) -> float:
    """From the first frame's time to the end of the last, which a packet says, or the others."""
    last = float(durations[order.own_packets[-1]]) * float(time_base)
    if last <= 0 and len(times) > 1:
        last = float(np.median(np.diff(times)))
    return float(times.max() - times.min()) + max(last, 0.0)


def _segments(packets: Packets) -> NDArray[np.int64]:
    """Number the runs of packets whose clock goes on."""
    breaks = clock_breaks(packets.pts, packets.dts, packets.is_key)
    return np.concatenate([[0], np.cumsum(breaks)])


def _ready(
    packets: Packets, recoveries: Mapping[int, int], reorder_depth: int
) -> NDArray[np.int64]:
    """[P] for each keyframe the first packet that is exact when decoding begins there."""
    ready = np.arange(len(packets.pts))
    for key, frames in recoveries.items():
        ready[key] += frames * (1 + reorder_depth)  # counted without those that nothing refers to
    return ready


def _entries(
    packets: Packets,
    is_key: NDArray[np.bool_],
    own: NDArray[np.int64],
    ready: NDArray[np.int64],
) -> NDArray[np.int64]:
    """The last keyframe stored no later than the frame and shown no later than the frame.

    The second condition is for open GOPs: a frame stored after a keyframe but shown before it
    refers to the GOP before, so decoding must start there. Nor may it come before the picture is
    whole.
    """
    keys = np.flatnonzero(is_key)
    if len(keys) == 0:
        return np.full_like(own, np.argmax(packets.is_key))
    segment = _segments(packets)
    place = np.searchsorted(keys, own, side="right") - 1
    while True:
        key = keys[place]
        leading = (packets.pts[key] > packets.pts[own]) & (segment[key] == segment[own])
        step_back = (leading | (ready[key] > own)) & (place > 0)
        if not step_back.any():
            return key
        place = place - step_back


def _no_later_than_told(
    entries: NDArray[np.int64], own: NDArray[np.int64], once: Sequence[int]
) -> NDArray[np.int64]:
    """Begin at the last packet that tells something once, or, where no decode can, at the first."""
    if not len(once):
        return entries
    told = np.asarray(once)
    last = np.searchsorted(told, own, side="right") - 1  # of those up to the frame
    at = np.where(last >= 0, told[last], 0)
    can_begin = np.isin(at, entries)
    return np.where(last < 0, entries, np.minimum(entries, np.where(can_begin, at, 0)))


def _counted(
    packets: Packets,
    shown: NDArray[np.int64],
    reorder_depth: int,
    frame_ticks: float,
    has_true_pts: bool,
) -> Order | None:
    """Without usable timestamps: frame k is the k-th that decoding from the start returns."""
    count = np.arange(len(shown))
    times = np.sort(packets.dts[shown])
    pts, segment = packets.pts[shown], _segments(packets)[shown]
    if has_true_pts and not np.any(pts == NO_PTS):
        times = pts[np.lexsort((pts, segment))]  # frames come in this order, whichever they are
    elif times[0] == NO_PTS:  # an elementary stream, mostly: frames follow each other at its rate
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


def frozen(array: NDArray[_Scalar]) -> NDArray[_Scalar]:
    """The array, read-only from now on."""
    array.setflags(write=False)
    return array
