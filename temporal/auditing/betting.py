"""Bounds on a share that may be looked at at any time, by betting against its being so small.

Whoever bets a part of what he has on each outcome of a fair game gets rich with a small probability
only: a capital that starts at 1 ever reaches 1 / delta with a probability of at most delta (Ville).
So a share `m` under which the bets have made 20 of 1 is rejected at a level of 0.05, whenever that
is noticed, after whatever outcome one stops (Waudby-Smith & Ramdas, "Estimating means of bounded
random variables by betting", JRSS B 2023; arXiv 2010.09686, section 4).

After `seen` of `total` outcomes the capital against "the share is at most m" is the mean of

    (1 + r (1 - m) / m) ^ seen  *  (1 - r) ^ (total - seen)

over some constant bets, each of which stakes a part r of its capital every time (grid bets, their
appendix B; here r lies as in Jeffreys' prior, dense at both ends). Constant bets know nothing but
the two counts. So it does not matter in which order outcomes came, whether a run was resumed in
between, or which of several processes saw them: their counts add up.

What is promised: outcomes each of which, given those before it, has a chance of at most `m` make
the bound `lower` pass `m` with a probability of at most `1 - confidence`, ever. Where the chance
changes as time goes by, a bound above `m` says that it was above `m` at some time.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

_NUM_BETS = 100
_ANGLES = (np.arange(_NUM_BETS) + 0.5) * (math.pi / 2 / _NUM_BETS)
_STAKES = np.sin(_ANGLES) ** 2
"""r of each bet, in (0, 1)."""
_PRECISION = 1e-6


def log_capital(seen: int, total: int, share: float) -> float:
    """What the bets against "the share is at most `share`" have made of 1, as a logarithm.

    Args:
        seen: outcomes that count, e.g. disagreements.
        total: all outcomes.
        share: in [0, 1].

    Raises:
        ValueError: a number is not in its range.
    """
    _check(seen, total)
    if not 0 <= share <= 1:
        raise ValueError(f"share ({share}) must be in [0, 1]")
    if share == 0:  # one outcome that counts refutes it
        return math.inf if seen else 0.0
    logs = seen * np.log1p(_STAKES * ((1 - share) / share))
    logs += (total - seen) * np.log1p(-_STAKES)
    most = logs.max()
    return float(most + math.log(np.exp(logs - most).mean()))


@lru_cache(maxsize=256)
def lower_bound(seen: int, total: int, confidence: float = 0.95) -> float:
    """The share is above, at all times at once, with this confidence.

    Args:
        seen: outcomes that count.
        total: all outcomes; 0: nothing is known.
        confidence: in (0, 1), of this bound alone.

    Returns:
        In [0, 1], rounded down to a millionth.

    Raises:
        ValueError: a number is not in its range.
    """
    needed = -math.log(1 - checked_confidence(confidence))
    low, high = 0.0, 1.0
    _check(seen, total)
    while high - low > _PRECISION:  # the capital falls as the share grows
        middle = (low + high) / 2
        if log_capital(seen, total, middle) >= needed:
            low = middle
        else:
            high = middle
    return low


def upper_bound(seen: int, total: int, confidence: float = 0.95) -> float:
    """The share is below, at all times at once, with this confidence; see `lower_bound`."""
    return 1 - lower_bound(total - seen, total, confidence)


def passes(seen: int, total: int, share: float, confidence: float = 0.95) -> bool:
    """Whether the lower bound has reached a share."""
    return log_capital(seen, total, share) >= -math.log(1 - checked_confidence(confidence))


def checked_confidence(confidence: float) -> float:
    """A confidence; ValueError unless it is in (0, 1)."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence ({confidence}) must be > 0 and < 1, e.g. 0.95")
    return confidence


def _check(seen: int, total: int) -> None:
    from ..checks import check_count  # here: summaries of runs are shown without torch

    check_count("total", total, 0)
    if not 0 <= seen <= total:
        raise ValueError(f"seen ({seen}) must be >= 0 and <= total ({total})")
