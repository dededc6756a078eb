"""Which frames to score next, when scoring is dear and looking is cheap: bounds by likeness.

Frames that look alike (small pictures tell) get like scores from any model, so few scores tell
about all frames, and how surely. A frame whose upper bound is below the lower bound of the K-th
best is closed, and is not scored. FOCUS (ICLR 2026) closes parts of a video so, by the bounds of a
bandit whose arms know nothing of each other; with a look or two an arm these close nothing.

N frames with small pictures as vectors of width D, S of them scored, K wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]

_NOISE = 1e-3  # of scores, in their variance: what small pictures do not tell


def likeness(vectors_ND: Any) -> _Floats:
    """How alike units are, `[N, N]` from 0 to 1: `exp(-d^2 / 2)` of their distance d.

    Distances are in the deviation of all units from their mean, so brightness and contrast of a
    video do not matter; where none deviates, all are alike.
    """
    vectors = np.asarray(vectors_ND, dtype=np.float64)
    centred = vectors - vectors.mean(axis=0)
    squares = (centred**2).sum(axis=1)
    spread = squares.mean()
    if spread <= 1e-12 * max(float((vectors**2).sum(axis=1).max()), 1e-300):
        return np.ones((len(vectors), len(vectors)))
    distances = squares[:, None] + squares[None] - 2 * centred @ centred.T
    return np.exp(-np.maximum(distances, 0.0) / (2 * spread))


def representatives(likeness_NN: _Floats, k: int) -> list[int]:
    """Units that stand for the others: greedily the most of what each is like its nearest one.

    Facility location, `sum over i of max over taken j of likeness[i, j]`, within 1 - 1/e of the
    best (Nemhauser et al., 1978). Unlike the farthest units they are no outliers.

        units at 0, 0.1, 0.2, 5 and 5.1, k 2:   one of the first three, then one of the others

    Args:
        likeness_NN: see `likeness`.
        k: how many to take.

    Returns:
        `min(k, N)` indices in the order in which they were taken; among equals the one farthest
        from those taken, and of those the earlier.
    """
    count = len(likeness_NN)
    nearest = np.zeros(count)
    places, away = np.arange(count), np.full(count, count)
    taken: list[int] = []
    while len(taken) < min(k, count):
        gains = np.maximum(likeness_NN - nearest, 0.0).sum(axis=1)
        order = np.lexsort((-away, -np.round(gains, 9), away == 0))
        chosen = int(order[0])
        taken.append(chosen)
        nearest = np.maximum(nearest, likeness_NN[chosen])
        away = np.minimum(away, np.abs(places - chosen))
    return taken


def posterior(
    likeness_NN: _Floats, scored: Sequence[int], scores_S: Sequence[float]
) -> tuple[_Floats, _Floats]:
    """What the scores of few say about all: the mean and the deviation of each unit's score.

    The posterior of a Gaussian process (Rasmussen and Williams, 2006, equations 2.25 and 2.26)
    whose covariance is the likeness, about the mean of the scores and in their deviation.

    Args:
        likeness_NN: see `likeness`.
        scored: S units, each once, at least one.
        scores_S: theirs.

    Returns:
        Means and deviations, `[N]`; of those that were scored, their scores and 0.
    """
    at, scores = np.asarray(scored), np.asarray(scores_S, dtype=np.float64)
    mean, deviation = scores.mean(), scores.std()
    across_NS = likeness_NN[:, at]
    within_SS = across_NS[at] + _NOISE * np.eye(len(at))
    weights_SN = np.linalg.solve(within_SS, across_NS.T)
    means = mean + (scores - mean) @ weights_SN
    left = np.clip(1.0 - (across_NS * weights_SN.T).sum(axis=1), 0.0, 1.0)
    means[at], left[at] = scores, 0.0
    return means, np.sqrt(left) * deviation


def still_open(
    low_N: Sequence[float] | _Floats, high_N: Sequence[float] | _Floats, num_best: int
) -> list[int]:
    """The units of which it is not known whether they are among the best, the promising first.

    A unit is closed when its upper bound is below the lower bound of the `num_best`-th best: it is
    not among them. It is certain when its lower bound is above the upper bounds of all but
    `num_best - 1` others: it is one of them.

        bounds 0.1-0.3  0.6-0.9  0.2-0.7  0.4-0.5, best 1:   1 and 2 are open, 0 and 3 closed
                                                   best 2:   2, 3 are open, 1 certain, 0 closed

    Args:
        low_N: lower bounds.
        high_N: upper bounds.
        num_best: how many are wanted.

    Returns:
        Indices by their upper bounds, the highest first, the earlier first among equals; empty
        when the best ones are known.

    Raises:
        ValueError: num_best is below 1.
    """
    if num_best < 1:
        raise ValueError(f"num_best ({num_best}) must be >= 1")
    low, high = np.asarray(low_N, np.float64), np.asarray(high_N, np.float64)
    if num_best >= len(low):
        return []
    is_closed = high < np.sort(low)[-num_best]
    is_certain = low > np.sort(high)[-num_best - 1]
    order = np.argsort(-high, kind="stable")
    return [int(unit) for unit in order if not (is_closed[unit] or is_certain[unit])]


def next_looks(
    likeness_NN: _Floats,
    scored: Sequence[int],
    scores_S: Sequence[float],
    num_best: int,
    most: int,
    *,
    width: float = 1.0,
) -> list[int]:
    """Which units to score next: those open ones that may be the best, and differ.

    Of the open units (`still_open`, by mean and `width` deviations) the one with the highest upper
    bound comes first; then as if it had been scored as is expected, so that the next one is no copy
    of it.

    Args:
        likeness_NN: see `likeness`.
        scored: S units, each once, at least one.
        scores_S: theirs.
        num_best: K, how many are wanted.
        most: how many to return at most.
        width: deviations on either side of the mean.

    Returns:
        Units that were not scored; empty when the best ones are known.
    """
    at, scores, found = list(scored), list(scores_S), list[int]()
    while len(found) < most:
        means, deviations = posterior(likeness_NN, at, scores)
        low, high = means - width * deviations, means + width * deviations
        undecided = [unit for unit in still_open(low, high, num_best) if unit not in set(at)]
        if not undecided:
            break
        found.append(undecided[0])
        at.append(undecided[0])
        scores.append(float(means[undecided[0]]))
    return found
