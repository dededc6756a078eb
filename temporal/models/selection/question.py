"""Frames for a question: few are scored, the others' scores guessed from these, and some picked.

N frames of a video, M candidates among them, K of them taken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...handle import Handle
from ...policies.read import uniform
from ...policies.select import top_k
from ...policies.spread import adaptive_split, inverse_transform, routed, unit_range
from ...policies.vectors import farthest_first, greedy_log_det
from ...policies.zoom import representatives
from .image_text import FunctionScores, ImageText
from .looking import Looks, candidates, fill, guessed, sparse_looks, zoom

_Floats = NDArray[np.float64]

PICKS = ("quantiles", "top", "adaptive", "routed", "log_det")
"""How frames are picked by how well they fit."""

_SECONDS_A_SCORE = 20.0  # a twentieth of a scan of one frame a second
_FEWEST_SCORES = 4
_COMPARED = (32, 32)
"""Size at which frames are compared without a model."""
_ROUNDING = 1e-6
_WEIGHT = 0.25  # of differing, beside scores from 0 to 1: `log det` falls by ones


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """What was chosen, and by what."""

    frames: list[int]
    """[K] frame indices."""

    scores: _Floats | None = None
    """[N] NaN where a frame was not scored; None where nothing was asked for."""


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
    """The K frames that a way of picking takes by how well they fit.

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
    index = video.index
    frames = candidates(index, len(video), k)
    if max_scored is None:
        some = math.ceil(float(index.duration_seconds) / _SECONDS_A_SCORE)
        some = min(some, sparse_looks(len(frames), k))
        max_scored = max(_FEWEST_SCORES, some, 2 * k if pick == "log_det" else 0)
    looks = Looks(video, scorer.look_size(index.height, index.width))
    vectors: dict[int, _Floats] = {}
    # No question comes with a function alone.
    text_D = scorer.text_vector(query or "") if isinstance(scorer, ImageText) else np.zeros(0)

    def score(places: list[int], pixels: Tensor) -> _Floats:
        if isinstance(scorer, FunctionScores):
            return scorer.frame_scores(pixels)
        vectors_KD = scorer.frame_vectors(pixels)
        vectors.update(zip(places, vectors_KD, strict=True))
        fits: _Floats = vectors_KD @ text_D
        return fits

    known = await zoom(looks, frames, max_scored, k, score)
    scores = np.full(len(video), np.nan)
    scores[looks.frames] = known
    if pick == "log_det":
        of = sorted(vectors)
        vectors_SD, fits = np.stack([vectors[place] for place in of]), unit_range(known[of])
        chosen = greedy_log_det(vectors_SD, k, scores_N=fits, weight=_WEIGHT)
        places = [of[at] for at in chosen]
    else:
        in_time = np.argsort(looks.frames)
        picked = _picked(pick, guessed(looks, known)[in_time], k, power, generator)
        places = in_time[picked].tolist()
    return Answer(frames=sorted(looks.frames[place] for place in places), scores=scores)


async def differing(
    video: Handle, scorer: ImageText | None, k: int, *, max_scored: int | None
) -> Answer:
    """The K frames that differ most (`farthest_first`).

    Args:
        video: the engine's handle on a source of frames, which is open.
        scorer: gives the vectors; None: small pictures are compared.
        k: how many to take.
        max_scored: how many frames may be given to it; None: twice as many as are taken. They are
            those that stand for most others.

    Raises:
        Exception: the first fault, where no frame can be seen.
    """
    index = video.index
    size = _COMPARED if scorer is None else scorer.look_size(index.height, index.width)
    looks = Looks(video, size)
    await looks.see(candidates(index, len(video), k))
    if scorer is None:
        small = looks.small()
        places = _farthest(small - small.mean(axis=0), k)
        return Answer(frames=[looks.frames[place] for place in places])
    vectors: dict[int, _Floats] = {}

    def see(places: list[int], pixels: Tensor) -> _Floats:
        vectors.update(zip(places, scorer.frame_vectors(pixels), strict=True))
        return np.zeros(len(places))

    asked = representatives(looks.alike(), max(k, max_scored or 2 * k))
    await fill(looks, np.full(len(looks.frames), np.nan), sorted(asked), see)
    of = sorted(vectors)
    places = _farthest(np.stack([vectors[place] for place in of]), k)
    return Answer(frames=[looks.frames[of[place]] for place in places])


def _farthest(vectors_SD: _Floats, k: int) -> list[int]:
    """Places in the order of time; all over it where nothing differs."""
    if np.ptp(vectors_SD, axis=0).max() <= _ROUNDING * np.abs(vectors_SD).max():
        return uniform(len(vectors_SD), k)
    return sorted(farthest_first(torch.from_numpy(vectors_SD), k))


def _picked(
    pick: str, scores_M: _Floats, k: int, power: float, generator: torch.Generator | None
) -> list[int]:
    if pick == "top":
        return top_k(scores_M, k)
    if pick == "adaptive":
        return adaptive_split(scores_M, k)
    if pick == "routed":
        return routed(scores_M, k, threshold=1.0, power=power)
    return inverse_transform(scores_M, k, power=power, generator=generator)
