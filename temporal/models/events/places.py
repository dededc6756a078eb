"""Places: the spans of a video that are decided one by one, and what packets say of each.

Keyframes decode alone, so places are the spans between them: each is seen by its first and its last
frame. Keyframes that are much denser than `place_seconds` are thinned, spans that are much longer
are split, and a span that is next to nothing (an encoder put a second keyframe at a cut) belongs to
the place before it without being looked at.

N frames, P places, M bins of a profile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..video.motion import known_motion
from ..video.motion_evidence import levels_of, profile_size

_DENSE = 4
"""Keyframes of which so many lie in a place are more than are needed."""
_LONG = 1.5
_NOTHING = 0.1
_FLOOR = 0.05
"""Packets have headers: below a twentieth of the mean is no motion."""

Frames = NDArray[np.int64]
Seconds = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Places:
    """The places of a video in the order of time, without gaps from its start to its end."""

    first_P: Frames
    """Frame by which each place is seen first."""
    last_P: Frames
    """Frame by which it is seen last; of a video of one frame, the same."""
    start_P: Seconds
    """When it begins, in seconds from the video's first frame."""
    end_P: Seconds
    """When the next one begins; of the last place, the time of the last frame."""

    def __len__(self) -> int:
        return len(self.first_P)


def make_places(times_N: Seconds, keyframes: Sequence[int], place_seconds: float) -> Places:
    """Cut a video into places.

    Args:
        times_N: when each frame is shown, in seconds, at least one.
        keyframes: frame indices that decode alone.
        place_seconds: about how long a place is, > 0. Spans between keyframes from a quarter to one
            and a half of it stay as they are.
    """
    times_N = np.asarray(times_N, dtype=np.float64)
    times_N = times_N - times_N[0]
    last = len(times_N) - 1
    keys = np.unique(np.asarray([0, *keyframes], dtype=np.int64))
    keys = keys[(keys >= 0) & (keys <= last)]
    if times_N[last] < len(keys) * place_seconds / _DENSE:
        keys = _thinned(keys, times_N, place_seconds / 2)
    borders = np.unique(np.append(keys, last))
    firsts, lasts = [], []
    for first, stop in zip(borders[:-1], borders[1:], strict=True):
        inner = _split(times_N, int(first), int(stop), place_seconds)
        firsts += inner[:-1]
        lasts += inner[1:]
    first_P = np.asarray(firsts or [0], dtype=np.int64)
    last_P = np.asarray(lasts or [0], dtype=np.int64)
    is_seen_P = times_N[last_P] - times_N[first_P] >= _NOTHING * place_seconds
    if is_seen_P.any():
        first_P, last_P = first_P[is_seen_P], last_P[is_seen_P]
    else:  # shorter than that altogether
        first_P, last_P = first_P[:1], last_P[-1:]
    start_P = times_N[first_P].copy()
    start_P[0] = 0.0
    end_P = np.append(start_P[1:], times_N[last])
    return Places(first_P=first_P, last_P=last_P, start_P=start_P, end_P=end_P)


def _thinned(keys: Frames, times_N: Seconds, least: float) -> Frames:
    kept = [int(keys[0])]
    for key in keys[1:]:
        if times_N[key] - times_N[kept[-1]] >= least:
            kept.append(int(key))
    return np.asarray(kept, dtype=np.int64)


def _split(times_N: Seconds, first: int, stop: int, place_seconds: float) -> list[int]:
    """Frames from one to the other at which a span is cut, both included."""
    span = times_N[stop] - times_N[first]
    parts = max(1, round(float(span) / place_seconds)) if span > _LONG * place_seconds else 1
    cuts = np.searchsorted(times_N, np.linspace(times_N[first], times_N[stop], parts + 1)[1:-1])
    return [first, *(int(cut) for cut in np.unique(cuts) if first < cut < stop), stop]


class Profiles:
    """What the sizes of a video's packets say of any span of it; nothing is decoded.

    With m the mean motion in each of the M equal parts of a span and r = log(m + 0.05), less its
    median over the video: `[r, r in increasing order, levels]`, as `motion_profile` has them of a
    whole video.

    Args:
        motion_N: as `FrameSource.motion` gives it.
        index: of the source.
        bins: M; 0: profiles have no numbers.
        before: motion of what came before, where the source is a part of a stream: its median is
            of both.
    """

    def __init__(self, motion_N: Any, index: Any, bins: int, before: Any = ()) -> None:
        motion_N = known_motion(motion_N)
        self._bins = bins
        self._sums = np.concatenate([[0.0], np.cumsum(motion_N)])
        usual = np.concatenate([np.asarray(before, dtype=np.float64), motion_N])
        self._median = float(np.median(np.log(np.maximum(usual, 0.0) + _FLOOR)))
        self.levels = levels_of(index)
        """Of the whole video."""

    def of(self, first_P: Frames, last_P: Frames) -> NDArray[np.float32]:
        """Profiles of the spans between two frames each, float32 `[P, 2 M + 2]`, finite."""
        first_P, last_P = np.asarray(first_P), np.asarray(last_P)
        if not self._bins:
            return np.zeros((len(first_P), 0), dtype=np.float32)
        length_P1 = np.maximum(last_P - first_P, 1)[:, None]
        starts = first_P[:, None] + np.arange(self._bins) * length_P1 // self._bins
        stops = first_P[:, None] + np.arange(1, self._bins + 1) * length_P1 // self._bins
        stops = np.minimum(np.maximum(stops, starts + 1), len(self._sums) - 1)
        starts = np.minimum(starts, stops - 1)
        means = (self._sums[stops] - self._sums[starts]) / (stops - starts)
        logs = np.log(np.maximum(means, 0.0) + _FLOOR) - self._median
        levels = np.broadcast_to(np.array(self.levels), (len(logs), len(self.levels)))
        profiles = np.concatenate([logs, np.sort(logs, axis=1), levels], axis=1)
        assert profiles.shape[1] == profile_size(self._bins)
        return profiles.astype(np.float32)


def share_inside(start: float, end: float, spans: Sequence[tuple[float, float]]) -> float:
    """How much of a place lies in an event, or of the event in the place, if that is shorter.

    Args:
        start, end: of the place, in seconds.
        spans: start and end of each event of one label.

    Returns:
        0 to 1, of the event that it is most of.
    """
    most = 0.0
    for first, stop in spans:
        common = min(end, stop) - max(start, first)
        shorter = min(end - start, stop - first)
        if common >= 0 and shorter == 0:  # a moment inside it
            most = 1.0
        elif common > 0:
            most = max(most, common / shorter)
    return min(most, 1.0)
