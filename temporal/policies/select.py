"""Which units to take, from scores: the best, or those at quantiles of the scores' distribution.

Everything that selects goes through these functions, whatever made the scores: how much a frame
moves, how salient a network finds it, how well it fits a question. They take the scores of one
source and give indices in the order of time, each once; fewer units than asked for give each once.

N units, K of them taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .read import coarse_to_fine, uniform

Scores = Tensor | NDArray[Any] | Sequence[float]


def top_k(scores_N: Scores, k: int) -> list[int]:
    """The units with the highest scores; among equals the earlier ones.

        scores 1 5 3 5 0, k 2:   . x . x .      ->  1, 3

    Args:
        scores_N: finite numbers, higher is better; a tensor on any device, an array or a list.
        k: how many to take.

    Returns:
        `min(k, N)` indices in the order of time.

    Raises:
        ValueError: there are no scores, k is below 1, or a score is NaN or infinite.
    """
    scores = check_scores(scores_N, k)
    return sorted(np.argsort(-scores, kind="stable")[:k].tolist())


def quantile_frames(
    scores_N: Scores, k: int, *, power: float = 0.5, generator: torch.Generator | None = None
) -> list[int]:
    """The units at evenly spaced quantiles of the scores' cumulative distribution.

    MGSampler (Zhi et al., ICCV 2021): a unit's share is `score ** power` over the sum, and the i-th
    of K units is that in whose share the quantile `(i + 0.5) / K` lies. So each unit taken stands
    for as much of what the scores measure, and equal scores give `uniform`. A unit that several
    quantiles fall upon is taken once; in place of the others the highest scores that are left are
    taken, among equals those farthest from what is taken.

        scores 0 0 4 0 0 4, k 2:   . . x . . x      ->  2, 5

    Args:
        scores_N: finite numbers >= 0; as for `top_k`. Where all are 0, units are taken uniformly.
        k: how many to take.
        power: 0 takes uniformly whatever the scores say, larger ones gather where they are high.
        generator: for training: a quantile is drawn in each of K equal parts of the distribution,
            instead of its middle.

    Returns:
        `min(k, N)` indices in the order of time.

    Raises:
        ValueError: there are no scores, k is below 1, power is negative or not finite, or a score
            is NaN, infinite or negative.
    """
    scores = check_scores(scores_N, k)
    if not (power >= 0 and np.isfinite(power)):
        raise ValueError(f"power ({power}) must be a finite number >= 0")
    if (scores < 0).any():
        at = int((scores < 0).argmax())
        raise ValueError(
            f"scores_N ({scores[at]} at {at}) must be >= 0 to be shares: take a softmax of logits, "
            "or the best of them by top_k"
        )
    peak = scores.max()
    # As shares of the peak: no power of a number in [0, 1] overflows.
    weights = (scores / peak) ** power if peak > 0 else np.ones(len(scores))
    cumulative = np.cumsum(weights)
    count = min(k, len(scores))
    places = np.full(count, 0.5)
    if generator is not None:
        drawn = torch.rand(count, generator=generator, device=generator.device)
        places = drawn.double().cpu().numpy()
    wanted = (np.arange(count) + places) / count * cumulative[-1]
    # Sums round: a quantile at the very edge of a share belongs to the next one, as `uniform` has.
    edge = 1e-12 * cumulative[-1]
    found = np.searchsorted(cumulative, wanted + edge, side="right")
    last = int(np.flatnonzero(weights)[-1])  # nothing lies behind the last share
    taken = dict.fromkeys(np.minimum(found, last).tolist())
    return _filled(list(taken), weights, count)


def motion_order(motion_N: Scores, k: int) -> list[int]:
    """Units between which about as much happens, in coarse-to-fine order (`quantile_frames`).

    Args:
        motion_N: how much happens in each, >= 0.
        k: how many to take.

    Returns:
        `min(k, N)` indices: the middle one first, then those at the ends.
    """
    units = quantile_frames(motion_N, k)
    return [units[place] for place in coarse_to_fine(len(units), len(units))]


def segments(num_units: int, k: int, generator: torch.Generator | None = None) -> list[int]:
    """One unit of each of K equal segments (TSN, Wang et al., ECCV 2016, section 3.1).

    Args:
        num_units: N, at least 1.
        k: how many to take.
        generator: for training: a unit of each segment is drawn. None: its middle, which is
            `temporal.policies.read.uniform`.

    Returns:
        `min(k, N)` indices in the order of time.

    Raises:
        ValueError: a number is below 1.
    """
    middles = uniform(num_units, k)
    if generator is None or num_units <= k:
        return middles
    drawn = torch.rand(k, generator=generator, device=generator.device).tolist()
    chosen = []
    for i, share in enumerate(drawn):
        start, stop = i * num_units // k, (i + 1) * num_units // k
        chosen.append(min(stop - 1, start + int(share * (stop - start))))
    return chosen


def near_cheap(num_units: int, k: int, cheap: Sequence[int], costs_N: Sequence[int]) -> list[int]:
    """Units all over a source that cost little to have: the keyframes of a video.

    Where there are enough cheap ones, those nearest to the middles of K equal segments, each once.
    Else the unit of each segment that costs least; among equals the nearest to its middle.

    Args:
        num_units: N, at least 1.
        k: how many to take.
        cheap: indices of the units that cost least, in increasing order.
        costs_N: what having each unit alone costs.

    Returns:
        `min(k, N)` indices in the order of time.

    Raises:
        ValueError: a number is below 1.
    """
    middles = uniform(num_units, k)
    if num_units <= k:
        return middles
    if len(cheap) >= k:
        units = np.asarray(cheap)
        chosen: list[int] = []
        for i, middle in enumerate(middles):
            first = chosen[-1] + 1 if chosen else 0
            reach = units[first : len(units) - (k - 1 - i)]  # enough are left for the others
            chosen.append(first + int(np.abs(reach - middle).argmin()))
        return [int(unit) for unit in units[chosen]]
    costs = np.asarray(costs_N)
    found = []
    for i, middle in enumerate(middles):
        units = np.arange(i * num_units // k, (i + 1) * num_units // k)
        found.append(int(units[np.lexsort((np.abs(units - middle), costs[units]))[0]]))
    return found


def cheaper(
    units: Sequence[int], costs_N: Sequence[int], places_N: Sequence[float], reach: float
) -> list[int]:
    """Move each unit to the one that costs least within reach; among equals the nearest.

    Unlike `temporal.policies.read.snap` it loses none: a unit moves no farther than to the
    neighbours of those beside it.

    Args:
        units: in increasing order, each once.
        costs_N: what having each unit alone costs.
        places_N: where each unit is (its time, say), in increasing order.
        reach: the farthest move, in what `places_N` is in.

    Returns:
        As many units, in increasing order, each once.
    """
    costs, places = np.asarray(costs_N), np.asarray(places_N)
    moved: list[int] = []
    for unit, after in zip(units, [*units[1:], len(costs)], strict=True):
        before = moved[-1] + 1 if moved else 0
        away = np.abs(places[before:after] - places[unit])
        near = before + np.flatnonzero(away <= reach * (1 + 1e-9))
        moved.append(int(near[np.lexsort((away[near - before], costs[near]))[0]]))
    return moved


def to_cheap(
    units: Sequence[int], cheap: Sequence[int], places_N: Sequence[float], reach: float
) -> list[int]:
    """Move units to cheap ones within reach, each to one of its own; the others stay.

    The shortest moves come first, so a cheap unit that was chosen stays as it is.

        units 3 5 9, cheap 0 4 8, reach 2:   . . . . x x . . x .      (5 stays: 3 has 4 already)

    Args:
        units: each once.
        cheap: indices of units that cost less.
        places_N: where each unit is (its time, say), in increasing order.
        reach: the farthest move, in what `places_N` is in.

    Returns:
        As many units, in increasing order, each once.
    """
    places, free = np.asarray(places_N), np.asarray(sorted(set(cheap)), dtype=np.int64)
    taken: dict[int, int] = {}
    if len(free):
        away = np.abs(places[np.asarray(units)][:, None] - places[free][None])
        for move in np.argsort(away, axis=None, kind="stable"):
            row, column = divmod(int(move), len(free))
            if away[row, column] > reach * (1 + 1e-9):
                break
            if row not in taken and int(free[column]) not in taken.values():
                taken[row] = int(free[column])
    return sorted(taken.get(row, int(unit)) for row, unit in enumerate(units))


def check_scores(scores_N: Scores, k: int) -> NDArray[np.float64]:
    """Scores as an array of doubles; ValueError unless they are finite, and k is 1 or more."""
    if isinstance(scores_N, Tensor):
        scores_N = scores_N.detach().cpu().double().numpy()
    scores = np.asarray(scores_N, dtype=np.float64)
    if scores.ndim != 1 or not len(scores):
        raise ValueError(f"scores_N (of shape {scores.shape}) must be [N], with N >= 1")
    if k < 1:
        raise ValueError(f"k ({k}) must be >= 1")
    odd = ~np.isfinite(scores)
    if odd.any():
        at = int(odd.argmax())
        raise ValueError(
            f"scores_N ({scores[at]} at {at}; {int(odd.sum())} such of {len(scores)}) must be "
            "finite: leave units without a score out, or give them one"
        )
    return scores


def _filled(taken: list[int], weights_N: NDArray[np.float64], count: int) -> list[int]:
    """Add the heaviest units that are left, among equals those farthest from what is taken."""
    places = np.arange(len(weights_N))
    away = np.full(len(weights_N), len(weights_N))
    for unit in taken:
        away = np.minimum(away, np.abs(places - unit))
    while len(taken) < count:
        left = np.flatnonzero(away > 0)
        heaviest = left[weights_N[left] == weights_N[left].max()]
        unit = int(heaviest[away[heaviest].argmax()])
        taken.append(unit)
        away = np.minimum(away, np.abs(places - unit))
    return sorted(taken)
