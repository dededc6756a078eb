"""Frames for a question: few are scored, the others' scores guessed from these, and some picked.

N frames of a video, M of a grid over it, K of them taken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...handle import Handle
from ...policies.diverse import farthest_first, greedy_log_det
from ...policies.read import uniform
from ...policies.select import near_cheap, top_k
from ...policies.spread import adaptive_split, inverse_transform, routed, unit_range
from .image_text import FunctionScores, ImageText
from .looking import Seen, look, zoom

PICKS = ("quantiles", "top", "adaptive", "routed", "log_det")
"""How frames are picked by how well they fit."""

_SECONDS_A_LOOK = 20.0  # a twentieth of a scan of one frame a second
_FEWEST_LOOKS = 4
_FINENESS = 4  # places of the grid for each frame that is taken
_THUMBNAIL = (16, 16)
_WEIGHT = 0.25  # of differing, beside scores from 0 to 1: `log det` falls by ones


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """What was chosen, and by what."""

    frames: list[int]
    """[K] frame indices."""

    scores: NDArray[np.float64] | None
    """[N] NaN where a frame was not scored; None where nothing was asked for."""

    seen: list[int]
    """Frames that were seen: they are decoded already."""


async def fitting(
    video: Handle,
    scorer: ImageText | FunctionScores,
    query: str | None,
    k: int,
    *,
    pick: str,
    power: float,
    max_scored: int | None,
    generator: torch.Generator | None,
) -> Answer:
    """The K frames that a way of picking takes by their scores.

    Args:
        video: the engine's handle on a source of frames, which is open.
        scorer: gives the scores.
        query: the question; None where the scorer knows it.
        k: how many to take.
        pick: one of `PICKS`.
        power: of `inverse_transform`.
        max_scored: how many frames may be scored; None: one in twenty seconds, and as many as
            `pick` needs.
        generator: for training, see `inverse_transform`.

    Raises:
        Exception: the first fault, where no frame can be seen.
    """
    index, count = video.index, len(video)
    size = scorer.look_size(index.height, index.width)
    score = partial(_score, scorer, None if query is None else _text(scorer, query))
    grid = _grid(index, count, k)
    looks = _num_looks(index, k if pick == "log_det" else 0) if max_scored is None else max_scored
    if looks >= len(grid):
        seen = Seen()
        await look(video, grid, size, score, seen)
    else:
        seen = await zoom(video, looks, size, score)
    order = np.argsort(seen.frames)
    at, known = np.array(seen.frames)[order], np.array(seen.scores)[order]
    scores = np.full(count, np.nan)
    scores[at] = known
    if pick == "log_det":
        vectors = np.stack(seen.vectors)[order]
        chosen = greedy_log_det(vectors, k, scores_N=unit_range(known), weight=_WEIGHT)
        return Answer(frames=at[chosen].tolist(), scores=scores, seen=seen.frames)
    times = np.asarray(index.timestamps_seconds)
    guessed = np.interp(times[grid], times[at], known)
    places = _picked(pick, guessed, k, power, generator)
    return Answer(frames=[grid[place] for place in places], scores=scores, seen=seen.frames)


async def differing(
    video: Handle, scorer: ImageText | None, k: int, *, max_scored: int | None
) -> Answer:
    """The K frames that differ most (`farthest_first`), of keyframes and what lies between.

    Args:
        video: the engine's handle on a source of frames, which is open.
        scorer: gives the vectors; None: small pictures are compared.
        k: how many to take.
        max_scored: how many frames may be seen; None: twice as many as are taken.

    Raises:
        Exception: the first fault, where no frame can be seen.
    """
    index, count = video.index, len(video)
    most = min(count, max(k, 2 * k if max_scored is None else max_scored))
    candidates = near_cheap(count, most, index.keyframes, index.frame_costs)
    size = _THUMBNAIL if scorer is None else scorer.look_size(index.height, index.width)
    seen = Seen()
    score = _thumbnails if scorer is None else partial(_score, scorer, None)
    await look(video, candidates, size, score, seen)
    chosen = farthest_first(np.stack(seen.vectors), k)
    return Answer(frames=[seen.frames[at] for at in chosen], scores=None, seen=seen.frames)


def _num_looks(index: Any, least: int) -> int:
    looks = math.ceil(float(index.duration_seconds) / _SECONDS_A_LOOK)
    return max(_FEWEST_LOOKS, looks, 2 * least)


def _grid(index: Any, count: int, k: int) -> list[int]:
    """Frames all over a video, about one a second, and several for each that is taken."""
    return uniform(count, max(math.ceil(float(index.duration_seconds)), _FINENESS * k))


def _picked(
    pick: str,
    scores_M: NDArray[np.float64],
    k: int,
    power: float,
    generator: torch.Generator | None,
) -> list[int]:
    if pick == "top":
        return top_k(scores_M, k)
    if pick == "adaptive":
        return adaptive_split(scores_M, k)
    if pick == "routed":
        return routed(scores_M, k, threshold=1.0, power=power)
    return inverse_transform(scores_M, k, power=power, generator=generator)


def _text(scorer: ImageText | FunctionScores, query: str) -> NDArray[np.float64]:
    assert isinstance(scorer, ImageText)
    return scorer.text_vector(query)


def _score(
    scorer: ImageText | FunctionScores,
    text_D: NDArray[np.float64] | None,
    pixels: Tensor,
    seen: Seen,
) -> None:
    if isinstance(scorer, FunctionScores):
        seen.scores += scorer.frame_scores(pixels).tolist()
        return
    vectors_KD = scorer.frame_vectors(pixels)
    seen.vectors += list(vectors_KD)
    if text_D is not None:
        seen.scores += (vectors_KD @ text_D).tolist()


def _thumbnails(pixels: Tensor, seen: Seen) -> None:
    """Small pictures as vectors: how each place differs from the picture's mean."""
    flat_KD = pixels.flatten(1).double().numpy()
    seen.vectors += list(flat_KD - flat_KD.mean(axis=1, keepdims=True))
