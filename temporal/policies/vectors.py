"""What the vectors of units tell: which differ most, and how near their mean is to that of all.

N units, D width, K of them taken.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..checks import check_count
from .select import Scores, check_scores

_EPSILON = 1e-6
"""Added to the diagonal of the kernel of `greedy_log_det`."""


def farthest_first(vectors_ND: Tensor, k: int) -> list[int]:
    """Choose the units that differ most from one another, the most typical one first.

    The first is nearest to the mean; each that follows is the one whose nearest among those taken
    is farthest away (Gonzalez, "Clustering to minimize the maximum intercluster distance", 1985:
    at most twice as far as the best k units leave any other). So the first few of a choice are the
    choice of a few. Distances are of directions, 1 - cosine.

    Args:
        vectors_ND: of the units.
        k: how many.

    Returns:
        `min(k, N)` indices in the order in which they were taken; among equals the earliest.
    """
    check_count("k", k, 1)
    unit_ND = vectors_ND.double()
    unit_ND = unit_ND / unit_ND.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    taken = [int((unit_ND @ unit_ND.mean(0)).argmax())]
    nearest_N = 1 - unit_ND @ unit_ND[taken[0]]
    while len(taken) < min(k, len(unit_ND)):
        nearest_N[taken] = -1.0  # taken, whatever rounding says
        taken.append(int(nearest_N.argmax()))
        nearest_N = nearest_N.minimum(1 - unit_ND @ unit_ND[taken[-1]])
    return taken


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


def mean_similarity(vectors_ND: Tensor, num_units: int) -> float:
    """The cosine that is to be expected between the mean of some units and that of all.

    The mean of n out of `num_units` units misses that of all by the variance of one unit, times
    (1 - n / num_units) / n; a miss of length e turns a mean of length m by about e / m, whose
    cosine is 1 - e^2 / (2 m^2).

    Args:
        vectors_ND: of the units that were read.
        num_units: that are read when nothing halts.

    Returns:
        At most 1; -1 of a single unit, of which nothing can be said.
    """
    count = len(vectors_ND)
    if count >= num_units:
        return 1.0
    if count < 2:
        return -1.0
    vectors_ND = vectors_ND.double().flatten(1)
    variance = float(vectors_ND.var(0).sum()) * (1 - count / num_units) / count
    length = float(vectors_ND.mean(0).square().sum())
    return max(-1.0, 1 - variance / (2 * max(length, 1e-24)))


def _directions(vectors_ND: Any, k: int) -> NDArray[np.float64]:
    """Vectors of length 1 (or 0)."""
    if isinstance(vectors_ND, Tensor):
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
