"""Looking at frames of a video, small, and scoring few of them: those that tell most.

Of candidates, the keyframes where there are enough, some all over the video are looked at, and
small pictures made of them. Most of the scores go to frames that stand for many others; what these
say of all tells where to look closer, and the rest of the scores go to what may be the best there
(`temporal.policies.zoom`). Scores of what was seen and not scored are guessed from these.

Looking is cheap only beside a scan of the whole video: a keyframe of 720p takes as long to decode
as a frame that is taken. So what is looked at is bounded by what is wanted, and what is taken
is there already (`num_looks`).

M candidates, S of them scored, H, W; D width of vectors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ...handle import Handle
from ...policies.read import uniform
from ...policies.select import near_cheap
from ...policies.zoom import likeness, next_looks, posterior, representatives
from ..video.reading import glance

_Floats = NDArray[np.float64]

Score = Callable[[list[int], Tensor], _Floats]
"""Places of K candidates and their pixels, uint8 `[K, C, H, W]`, to their scores `[K]`."""

_BLOCK = 32
"""Frames that are seen, or scored, together."""
_KEPT_BYTES = 64 * 2**20
_SMALL = 16  # height and width of the small pictures
_MOST = 1024  # candidates: their likeness takes 8 MB
_FINENESS = 4  # candidates for each frame that is wanted, at least
_COARSE = 2  # those that are looked at first, for each frame that is wanted
_SPARSE = 0.4  # of few candidates, looked at in all
_SPARED = 1.5  # looks in all for each frame that is wanted, at least
_NEARLY = 1.25
_FIRST_SHARE = 0.75
_ROUND = 8  # scores between which bounds are worked out anew
_STEP = 4  # frames that are looked at before what they score says where to look on
_LONG = 16  # frames decoded for a frame, on average, above which only keyframes are looked at


def candidates(index: Any, num_frames: int, num_wanted: int) -> list[int]:
    """Frames all over a video that are cheap to have: about one a second, four for each wanted.

    The keyframes, where there are twice as many as are wanted, or as many and all others are long
    to decode; else the cheapest of even parts.
    """
    keyframes = [int(frame) for frame in index.keyframes]
    seconds = math.ceil(float(index.duration_seconds))
    most = min(_MOST, num_frames, max(_FINENESS * num_wanted, seconds))
    is_long = float(np.mean(index.frame_costs)) > _LONG
    if len(keyframes) >= (1 if is_long else 2) * num_wanted:
        most = min(most, len(keyframes))
    return near_cheap(num_frames, most, keyframes, index.frame_costs)


def num_looks(num_candidates: int, num_scores: int, num_wanted: int) -> tuple[int, int]:
    """How many candidates are looked at before their scores say where, and how many in all.

    Twice and four times as many as are wanted; or once and twice as many as may be scored, if that
    is more. Of few candidates, which are keyframes far apart and so dear, every fourth at first and
    two of five in all; but no fewer than are wanted at first, and half as many more, or as many as
    may be scored, in all.

        600 candidates, 30 scores, 16 wanted:   32, then up to 64
         60 candidates, 24 scores, 16 wanted:   16, then up to 24

    Args:
        num_candidates: M.
        num_scores: S, how many may be scored.
        num_wanted: K.
    """
    quarter, some = math.ceil(num_candidates / 4), sparse_looks(num_candidates, num_wanted)
    first = min(max(_COARSE * num_wanted, num_scores), max(num_wanted, quarter))
    most = min(max(_FINENESS * num_wanted, 2 * num_scores), max(num_scores, some))
    return min(first, num_candidates), min(most, num_candidates)


def sparse_looks(num_candidates: int, num_wanted: int) -> int:
    """How many of few candidates are worth a look, which is dear: two of five, or three for two."""
    return max(math.ceil(_SPARED * num_wanted), math.ceil(_SPARSE * num_candidates))


class Looks:
    """Candidates that were looked at, and their pixels as far as these fit into memory.

    Args:
        video: the engine's handle on a source of frames, which is open.
        size: (height, width) at which frames are scored.
    """

    frames: list[int]
    """[M] those candidates that could be seen."""

    def __init__(self, video: Handle, size: tuple[int, int]) -> None:
        self._video, self._size = video, size
        self.frames = []
        self._small: dict[int, Tensor] = {}
        self._kept: dict[int, Tensor] = {}
        self._alike = np.ones((0, 0))
        self._most_kept = _KEPT_BYTES // max(1, 3 * size[0] * size[1])

    async def see(self, frames: Sequence[int]) -> None:
        """Look at frames; those that cannot be had are left out, as faults of the video.

        Raises:
            Exception: the first fault, where nothing can be seen.
        """
        for start in range(0, len(frames), _BLOCK):
            wanted = list(frames[start : start + _BLOCK])
            try:
                had, pixels = await glance(self._video, wanted, size=self._size)
            except Exception:  # it is written down; what was seen may be enough
                if not self.frames:
                    raise
                return
            room = max(0, self._most_kept - len(self._kept))
            self._kept.update(zip(had[:room], pixels, strict=False))
            if had[room:]:
                self._small.update(zip(had[room:], _small_pictures(pixels[room:]), strict=True))
            self.frames += had

    def are_as_cheap(self, frames: Sequence[int], fewer: Sequence[int]) -> bool:
        """Whether most of these are decoded on the way to fewer of them."""
        decoded = [self._video.cost(some).frames_decoded for some in (frames, fewer)]
        return bool(decoded[0] <= _NEARLY * decoded[1])

    def small(self) -> _Floats:
        """Small pictures as vectors `[M, 3 * 16 * 16]`."""
        # Where every frame is scored, none is asked for.
        left = [frame for frame in self.frames if frame not in self._small]
        for start in range(0, len(left), _BLOCK):
            block = left[start : start + _BLOCK]
            made = _small_pictures(torch.stack([self._kept[frame] for frame in block]))
            self._small.update(zip(block, made, strict=True))
        return torch.stack([self._small[frame] for frame in self.frames]).double().numpy()

    def alike(self) -> _Floats:
        """How alike they are, `[M, M]`."""
        if len(self._alike) != len(self.frames):
            self._alike = likeness(self.small())
        return self._alike

    async def pixels(self, places: Sequence[int]) -> tuple[list[int], Tensor]:
        """Which of these candidates (places of `frames`) can be had, and their pixels."""
        kept = [place for place in places if self.frames[place] in self._kept]
        left = {self.frames[place]: place for place in places if place not in set(kept)}
        images = [self._kept[self.frames[place]] for place in kept]
        if left:
            had, pixels = await glance(self._video, list(left), size=self._size)
            kept += [left[frame] for frame in had]
            images += list(pixels)
        return kept, torch.stack(images)


def _small_pictures(pixels_KCHW: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(pixels_KCHW.float(), _SMALL).flatten(1)


async def fill(looks: Looks, scores_M: _Floats, places: Sequence[int], score: Score) -> bool:
    """Score candidates, in place; return whether any of them could be had.

    Raises:
        Exception: the first fault, where none can be had and none was before.
    """
    for start in range(0, len(places), _BLOCK):
        try:
            had, pixels = await looks.pixels(places[start : start + _BLOCK])
        except Exception:  # it is written down
            if np.isnan(scores_M).all():
                raise
            break
        scores_M[had] = score(had, pixels)
    return not np.isnan(scores_M[list(places)]).all()


async def zoom(
    looks: Looks, of: Sequence[int], num_scores: int, num_wanted: int, score: Score
) -> _Floats:
    """Look at candidates, and score no more than so many of them.

    Args:
        looks: takes what is seen; empty.
        of: candidates in the order of time.
        num_scores: S, how many may be scored.
        num_wanted: how many of the best are looked for.
        score: scores frames.

    Returns:
        Scores `[M]` of `looks.frames`, NaN where one was not scored.

    Raises:
        Exception: the first fault, where nothing can be seen.
    """
    if num_scores >= len(of):
        await looks.see(of)
        scores = np.full(len(looks.frames), np.nan)
        await fill(looks, scores, range(len(scores)), score)
        return scores
    num_first, most = num_looks(len(of), num_scores, num_wanted)
    coarse = [of[place] for place in uniform(len(of), num_first)]
    await looks.see(of if looks.are_as_cheap(of, coarse) else coarse)
    scores = np.full(len(looks.frames), np.nan)
    if num_scores >= max(most, len(looks.frames)):
        return await _score_all(looks, of, scores, num_wanted, most, score)
    first = representatives(looks.alike(), math.ceil(_FIRST_SHARE * num_scores))
    await fill(looks, scores, first, score)
    scores = await _closer(looks, of, scores, num_wanted, most)
    left = num_scores - len(first)
    while left > 0:
        scored = np.flatnonzero(~np.isnan(scores))
        known = scored.tolist(), scores[scored].tolist()
        places = next_looks(looks.alike(), *known, num_wanted, min(_ROUND, left))
        left -= len(places)
        if not places or not await fill(looks, scores, places, score):
            break
    return await _closer(looks, of, scores, num_wanted, most)


async def _score_all(
    looks: Looks, of: Sequence[int], scores_M: _Floats, num_wanted: int, most: int, score: Score
) -> _Floats:
    """Where as many may be scored as may be seen: score each, and only then look further."""
    await fill(looks, scores_M, range(len(scores_M)), score)
    while (count := len(looks.frames)) < most:
        scores_M = await _closer(looks, of, scores_M, num_wanted, min(most, count + _STEP))
        if len(scores_M) == count or not await fill(
            looks, scores_M, range(count, len(scores_M)), score
        ):
            break
    return scores_M


async def _closer(
    looks: Looks, of: Sequence[int], scores_M: _Floats, num_wanted: int, most: int
) -> _Floats:
    """Look between frames whose scores are in the upper half, until nothing lies between them.

    Args:
        looks: takes what is seen.
        of: candidates in the order of time.
        scores_M: of what was seen.
        num_wanted: how many of the best are looked for.
        most: how many may be seen in all.

    Returns:
        Scores of all that was seen now, NaN where one was not scored.
    """
    while len(looks.frames) < most:
        fits = guessed(looks, scores_M)
        order = np.argsort(-fits, kind="stable")[:num_wanted]
        high = [
            looks.frames[place] for place in order if fits[place] > (fits.max() + fits.min()) / 2
        ]
        closer = beside(high, looks.frames, of, most - len(looks.frames))
        before = len(looks.frames)
        await looks.see(closer)
        if len(looks.frames) == before:
            break
        scores_M = np.append(scores_M, np.full(len(looks.frames) - before, np.nan))
    return scores_M


def beside(
    frames: Sequence[int], seen: Sequence[int], of: Sequence[int], most: int | None = None
) -> list[int]:
    """Candidates between frames and what was seen on either side of them, the middle ones.

        of 0 1 2 3 4 5 6 7 8, seen 0 4 8, beside 4:   2 and 6

    Args:
        frames: candidates that were seen, the best first.
        seen: all that were.
        of: all candidates, in the order of time.
        most: how many to return at most, those beside the best ones; None: all.

    Returns:
        Candidates that were not seen, in the order of time.
    """
    places = {frame: place for place, frame in enumerate(of)}
    known = [-1, *sorted(places[frame] for frame in seen), len(of)]
    found: dict[int, None] = {}
    for frame in frames:
        at = known.index(places[frame])
        for other in (known[at - 1], known[at + 1]):
            middle = (other + places[frame]) // 2
            if middle not in known:
                found[middle] = None
    return [of[place] for place in sorted(list(found)[:most])]


def guessed(looks: Looks, scores_M: _Floats) -> _Floats:
    """Scores `[M]` of all candidates: those that were scored, and what they say of the others."""
    scored = np.flatnonzero(~np.isnan(scores_M))
    if len(scored) == len(scores_M):
        return scores_M
    return posterior(looks.alike(), scored.tolist(), scores_M[scored].tolist())[0]
