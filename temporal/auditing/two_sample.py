"""Are two samples from one distribution? The Kolmogorov-Smirnov test, exact at any size.

Samples come as counts of the same ordered cells (a value is in one of them), so they cost no memory
and add up over processes. The largest gap between the two shares "up to this cell" is compared with
what it would be if both were drawn alike. Under that hypothesis all orders of the joined sample are
equally likely, and the chance of a gap is a count of lattice paths that leave a band (Hodges, "The
significance probability of the Smirnov two-sample test", 1958). Values that share a cell can only
make the gap smaller, so the p-value is never too small.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

_FAR = 20.0
_LEAST = 1e-12
"""No p-value is smaller: sums of many terms are not more exact."""
_MOST = 10_000
"""Values of a sample that are compared: a test of more would take longer and tell no more."""


def largest_gap(first: Sequence[int], second: Sequence[int]) -> int:
    """The largest gap between two cumulative shares, times the sizes of both samples.

    Args:
        first, second: counts of the same cells, in their order; each sample holds at least one.

    Returns:
        A whole number: the gap in `[0, 1]` times `sum(first) * sum(second)`.

    Raises:
        ValueError: the cells are not the same number, or a sample is empty.
    """
    one, other = np.array(first, dtype=object), np.array(second, dtype=object)  # of any size
    if len(one) != len(other):
        raise ValueError(f"samples must have the same cells, and have {len(one)} and {len(other)}")
    size_one, size_other = int(one.sum()), int(other.sum())
    if not (size_one and size_other):
        raise ValueError(f"samples ({size_one}, {size_other}) must hold at least one value each")
    return int(max(abs(one.cumsum() * size_other - other.cumsum() * size_one)))


def p_value(first: Sequence[int], second: Sequence[int], *, up_to: float = 1.0) -> float | None:
    """How likely so large a gap is between two samples of one distribution, at most.

    Args:
        first, second: see `largest_gap`; of a very large sample some are drawn.

        up_to: what is larger is of no interest, and takes less time.

    Returns:
        In [1e-12, 1]; None where it is larger than `up_to`.
    """
    first, second = thinned(first, _MOST), thinned(second, _MOST)
    size, other_size, gap = sum(first), sum(second), largest_gap(first, second)
    exponent = 2 * (gap / size / other_size) ** 2 * size * other_size / (size + other_size)
    if math.exp(-exponent) > _FAR * up_to:  # about half of the chance, for large samples
        return None
    chance = chance_of_gap(size, other_size, gap)
    return chance if chance <= up_to else None


def thinned(counts: Sequence[int], most: int) -> Sequence[int]:
    """At most so many values of a sample, drawn without replacement; always the same ones."""
    if sum(counts) <= most:
        return counts
    drawn = np.random.default_rng(0).multivariate_hypergeometric(
        np.array(counts, dtype=np.int64), most, method="marginals"
    )
    return [int(count) for count in drawn]


@lru_cache(maxsize=1024)
def chance_of_gap(size: int, other_size: int, gap: int) -> float:
    """The chance of a gap of at least `gap / (size * other_size)`, where no two values are equal.

    Args:
        size, other_size: of the samples, at least 1.
        gap: in [0, size * other_size].
    """
    few, many = sorted((size, other_size))
    if gap <= 0:
        return 1.0
    if _by_massart(few, many, gap / (few * many)) < _LEAST:  # would be lost in rounding below
        return _LEAST
    # Paths from (0, 0) to (few, many), a step up for a value of one sample and a step aside for one
    # of the other, with |i / few - j / many| below the gap everywhere. After row i an entry is the
    # number of such paths to (i, j), in units of which `log_unit` keeps count.
    inside = np.zeros(many + 1)
    inside[: min(many, (gap - 1) // few) + 1] = 1.0  # |i * many - j * few| <= gap - 1
    log_unit = 0.0
    for i in range(1, few + 1):
        low = max(0, -((gap - 1 - i * many) // few))
        high = min(many, (gap - 1 + i * many) // few)
        inside[:low] = 0.0
        inside[high + 1 :] = 0.0
        inside[low : high + 1] = np.cumsum(inside[low : high + 1])
        most = float(inside[high])
        if most == 0.0:  # the band is narrower than a step
            return 1.0
        inside[low : high + 1] /= most
        log_unit += math.log(most) + math.log(i / (i + many))
    return min(1.0, max(_LEAST, -math.expm1(log_unit + math.log(inside[many]))))


def _by_massart(size: int, other_size: int, gap: float) -> float:
    """A bound on the chance: one of the samples is far from the truth (Massart, 1990)."""
    near = gap * math.sqrt(other_size) / (math.sqrt(size) + math.sqrt(other_size))
    return 4 * math.exp(-2 * size * near**2)
