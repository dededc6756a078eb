"""Where along a time line to look next, when each look costs: bounds on the best parts.

The time line is cut into arms (parts of some seconds). A look at an arm gives one score in it. Arms
that may still be among the best are looked at again, others are closed.

A arms.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]

_LEAST_VARIANCE = 1e-6


def bounds(
    means_A: Sequence[float], variances_A: Sequence[float], looks_A: Sequence[int], scale: float
) -> tuple[_Floats, _Floats]:
    """Between which values the mean of each arm lies, of scores from 0 to 1.

    The empirical Bernstein bound (Audibert et al., 2009) as FOCUS (ICLR 2026) takes it: with n
    looks of variance v, of T looks in all, `sqrt(2 ln T v / n) + 3 ln T / n` to either side. An arm
    that was not looked at lies anywhere.

    Args:
        means_A: mean score of each arm; any, where it was not looked at.
        variances_A: of the scores of each arm.
        looks_A: how many each had.
        scale: times the width. 1 is the theorem, under which nothing closes in ten looks an arm.

    Returns:
        The lower and the upper bounds.
    """
    means, looks = np.asarray(means_A, np.float64), np.asarray(looks_A, np.float64)
    variances = np.maximum(np.asarray(variances_A, np.float64), _LEAST_VARIANCE)
    log_total = np.log(max(looks.sum(), 2.0))
    counts = np.maximum(looks, 1.0)
    width = scale * (np.sqrt(2 * log_total * variances / counts) + 3 * log_total / counts)
    was_seen = looks > 0
    low = np.where(was_seen, means - width, -np.inf)
    return low, np.where(was_seen, means + width, np.inf)


def open_arms(
    means_A: Sequence[float],
    variances_A: Sequence[float],
    looks_A: Sequence[int],
    num_best: int,
    *,
    scale: float = 0.05,
) -> list[int]:
    """The arms of which it is not known whether they are among the best, in the order of looks.

    Those that had the fewest looks come first: an arm at which few looked is the least known.

    An arm is closed when its upper bound is below the lower bound of the `num_best`-th best arm: it
    is not among the best. It is certain when its lower bound is above the upper bounds of all but
    `num_best - 1` others: it is. Neither needs another look.

        bounds 0.1-0.3  0.6-0.9  0.2-0.7  0.4-0.5, best 1:   1 and 2 are open, 0 and 3 closed
                                                   best 2:   2, 3 are open, 1 certain, 0 closed

    Args:
        means_A: mean score of each arm, scores from 0 to 1.
        variances_A: of the scores of each arm.
        looks_A: how many each had.
        num_best: how many arms are wanted.
        scale: see `bounds`.

    Returns:
        Arms by the looks they had, the fewest first; among equals by their upper bounds, the
        highest first. Empty when the best ones are known.

    Raises:
        ValueError: num_best is below 1.
    """
    if num_best < 1:
        raise ValueError(f"num_best ({num_best}) must be >= 1")
    low, high = bounds(means_A, variances_A, looks_A, scale)
    if num_best >= len(low):
        return []
    is_closed = high < np.sort(low)[-num_best]
    is_certain = low > np.sort(high)[-num_best - 1]
    order = np.lexsort((-high, np.asarray(looks_A)))
    return [int(arm) for arm in order if not (is_closed[arm] or is_certain[arm])]
