"""Looking at few frames of a video for what they show: all over it, then where scores are high.

The time line is cut into arms of equal length. A first look at each takes its cheapest frame, which
is a keyframe where it has one; then arms are looked at again that may be among the best
(`temporal.policies.zoom`), each in its widest gap, until the best are known or no look is left.

N frames of a video, A arms, S frames that were seen, D width of vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...handle import Handle
from ...policies.zoom import open_arms
from ..video.reading import glance

_FIRST_SHARE = 0.6  # of the looks, for the first one at each arm
_BEST_SHARE = 4  # a quarter of the arms are the best ones
_BLOCK = 32
"""Frames that are seen and scored together: 20 MB, as a model takes them."""


@dataclass(kw_only=True)
class Seen:
    """Frames that were seen, in the order in which they were."""

    frames: list[int] = field(default_factory=list)
    """[S] frame indices."""

    scores: list[float] = field(default_factory=list)
    """[S] how well each fits; empty where nothing is asked for."""

    vectors: list[NDArray[np.float64]] = field(default_factory=list)
    """[S, D] what each shows; empty where a function gives scores alone."""


Score = Callable[[Tensor, Seen], None]
"""Adds to what was seen the scores and vectors of frames, uint8 `[K, C, H, W]`."""


async def look(
    video: Handle, frames: list[int], size: tuple[int, int], score: Score, seen: Seen
) -> None:
    """Glance at frames and score them; those that cannot be had are left out, as faults.

    Raises:
        Exception: the first fault, where nothing was seen, now or before.
    """
    for start in range(0, len(frames), _BLOCK):
        try:
            had, pixels = await glance(video, frames[start : start + _BLOCK], size=size)
        except Exception:  # it is written down; what was seen may be enough
            if not seen.frames:
                raise
            return
        score(pixels, seen)
        seen.frames += had


async def zoom(video: Handle, num_looks: int, size: tuple[int, int], score: Score) -> Seen:
    """Look at no more than so many frames, and mostly where scores are high."""
    arms = Arms(video.index, len(video), num_looks)
    seen = Seen()
    await look(video, arms.first_looks(), size, score, seen)
    while len(seen.frames) < num_looks:
        at = arms.next_looks(seen, num_looks - len(seen.frames))
        before = len(seen.frames)
        if not at:
            break
        await look(video, at, size, score, seen)
        if len(seen.frames) == before:  # none of them can be had
            break
    return seen


class Arms:
    """Parts of a video's time line, and at which of their frames to look.

    Args:
        index: of the video.
        num_frames: N.
        num_looks: how many looks there are in all.
    """

    def __init__(self, index: Any, num_frames: int, num_looks: int) -> None:
        self._costs = np.asarray(index.frame_costs)
        count = min(num_frames, max(1, round(_FIRST_SHARE * num_looks)))
        times = np.asarray(index.timestamps_seconds)
        # Of equal length in time: frames of a variable rate may crowd in one place.
        borders = times[0] + (times[-1] - times[0]) * np.arange(1, count) / count
        cuts = [0, *np.searchsorted(times, borders).tolist(), num_frames]
        self.arms = [range(a, b) for a, b in zip(cuts, cuts[1:], strict=False) if a < b]
        self._asked: set[int] = set()

    def first_looks(self) -> list[int]:
        """A frame of each arm."""
        found = [self._cheapest(arm.start, arm.stop) for arm in self.arms]
        return self._ask([one for one in found if one is not None])

    def next_looks(self, seen: Seen, most: int) -> list[int]:
        """A frame of each arm that may be among the best, `most` of them and half of the arms."""
        frames, scores = np.array(seen.frames), np.array(seen.scores)
        spread = float(scores.max() - scores.min())
        unit = (scores - scores.min()) / spread if spread > 0 else np.zeros(len(scores))
        of_arms = [unit[(frames >= arm.start) & (frames < arm.stop)] for arm in self.arms]
        undecided = open_arms(
            [float(one.mean()) if len(one) else 0.0 for one in of_arms],
            [float(one.var()) if len(one) else 0.0 for one in of_arms],
            [
                max(len(one), len(self._of(arm)))
                for one, arm in zip(of_arms, self.arms, strict=True)
            ],
            max(1, len(self.arms) // _BEST_SHARE),
        )
        found: list[int] = []
        for arm in undecided:
            frame = self._in_widest_gap(self.arms[arm])
            if frame is not None and len(found) < min(most, max(1, len(self.arms) // 2)):
                found.append(frame)
        return self._ask(found)

    def _ask(self, frames: list[int]) -> list[int]:
        self._asked.update(frames)
        return sorted(frames)

    def _of(self, arm: range) -> list[int]:
        return sorted(frame for frame in self._asked if frame in arm)

    def _in_widest_gap(self, arm: range) -> int | None:
        edges = [arm.start - 1, *self._of(arm), arm.stop]
        widths = np.diff(edges)
        for gap in np.argsort(-widths, kind="stable"):
            frame = self._cheapest(edges[gap] + 1, edges[gap + 1])
            if frame is not None:
                return frame
        return None

    def _cheapest(self, start: int, stop: int) -> int | None:
        """The keyframe nearest to the middle or, without any, the cheapest of the middle half."""
        if start >= stop:
            return None
        if not (self._costs[start:stop] == 1).any():
            quarter = (stop - start) // 4  # the frame beside one that was seen tells nothing new
            start, stop = start + quarter, stop - quarter
        costs = self._costs[start:stop]
        away = np.abs(np.arange(stop - start) - (stop - start - 1) / 2)
        return start + int(np.lexsort((away, costs))[0])
