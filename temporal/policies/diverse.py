"""Which units to take so that they differ, from a vector of each; and fit, from a score of each.

N units with vectors of width D, K of them taken.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .select import Scores, check_scores

_Floats = NDArray[np.float64]


def farthest_first(vectors_ND: Any, k: int, *, first: int | None = None) -> list[int]:
    """Begin with one unit; then always the one that is least like those taken.

    The greedy K centres of Gonzalez (1985) by cosines of an image encoder's vectors, which is what
    VKF (ICML 2026) gives a video-language model without asking for the question. Units that are
    all alike (one picture for minutes) are told apart by time: the one farthest from those taken.

    Args:
        vectors_ND: a tensor or an array; only their directions matter, and a vector of zeros is
            like none.
        k: how many to take.
        first: the unit to begin with; None: the one most like the mean of all.

    Returns:
        `min(k, N)` indices in the order of time.

    Raises:
        ValueError: there are no vectors, one is not finite, k is below 1, or there is no unit
            `first`.
    """
    unit = _directions(vectors_ND, k)
    count = len(unit)
    if first is not None and not 0 <= first < count:
        raise ValueError(f"first ({first}) must be a unit of 0..{count - 1}")
    first = int((unit @ unit.mean(axis=0)).argmax()) if first is None else first
    taken = [first]
    places = np.arange(count)
    away = 1.0 - unit @ unit[first]  # from the nearest that is taken
    away_in_time = np.abs(places - first)
    while len(taken) < min(k, count):
        # What differs by less than rounding is alike.
        order = np.lexsort((-away_in_time, -np.round(away, 12), away_in_time == 0))
        chosen = int(order[0])
        taken.append(chosen)
        away = np.minimum(away, 1.0 - unit @ unit[chosen])
        away_in_time = np.minimum(away_in_time, np.abs(places - chosen))
    return sorted(taken)


def greedy_log_det(
    vectors_ND: Any, k: int, *, scores_N: Scores | None = None, weight: float = 1.0
) -> list[int]:
    """Units that fit and differ: greedily the most of `sum of scores + weight * log det`.

    Of a determinantal point process with the kernel of cosines, the greedy choice of Chen et al.
    (NeurIPS 2018) by rank-one updates, `O(N K (D + K))`; MDP3 (ICCV 2025) and AdaRD-Key choose
    frames for a question by such sums. Each step takes the unit with the most of
    `score + weight * log d2`, where `d2` is what of its vector the taken ones do not span.

    Args:
        vectors_ND: a tensor or an array; only their directions matter.
        k: how many to take.
        scores_N: how well each fits, higher is better; None: all alike.
        weight: of being different; 0 is the best by score.

    Returns:
        `min(k, N)` indices in the order of time.

    Raises:
        ValueError: there are no vectors or not as many scores, a number is not finite, k is below
            1, or weight is negative.
    """
    unit = _directions(vectors_ND, k)
    scores = np.zeros(len(unit)) if scores_N is None else check_scores(scores_N, k)
    if len(scores) != len(unit):
        raise ValueError(f"scores_N ({len(scores)}) must be as many as vectors_ND ({len(unit)})")
    if not (weight >= 0 and np.isfinite(weight)):
        raise ValueError(f"weight ({weight}) must be a finite number >= 0")
    count = min(k, len(unit))
    factors = np.zeros((count, len(unit)))  # columns of the Cholesky factor
    rest = np.full(len(unit), 1.0 + _EPSILON)  # of copies, something is left: K may exceed D
    is_left = np.ones(len(unit), dtype=np.bool_)
    taken: list[int] = []
    for step in range(count):
        gains = np.where(is_left, scores + weight * np.log(rest), -np.inf)
        chosen = int(gains.argmax())
        taken.append(chosen)
        is_left[chosen] = False
        kernel = unit @ unit[chosen]
        kernel[chosen] += _EPSILON
        row = (kernel - factors[:step, chosen] @ factors[:step]) / np.sqrt(rest[chosen])
        factors[step] = row
        rest = np.maximum(rest - row**2, _EPSILON)
    return sorted(taken)


_EPSILON = 1e-6
"""Added to the kernel's diagonal."""


def _directions(vectors_ND: Any, k: int) -> _Floats:
    """Vectors of length 1 (or 0)."""
    if isinstance(vectors_ND, torch.Tensor):
        vectors_ND = vectors_ND.detach().cpu().double().numpy()
    vectors = np.asarray(vectors_ND, dtype=np.float64)
    if vectors.ndim != 2 or not len(vectors):
        raise ValueError(f"vectors_ND (of shape {vectors.shape}) must be [N, D], with N >= 1")
    if k < 1:
        raise ValueError(f"k ({k}) must be >= 1")
    if not np.isfinite(vectors).all():
        raise ValueError("vectors_ND must be finite: leave units without a vector out")
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    vectors = vectors / np.where(largest > 0, largest, 1.0)  # no square overflows
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1.0)
