"""What the vectors of units tell: which differ most, and how near their mean is to that of all.

N units, D width.
"""

from __future__ import annotations

from torch import Tensor

from ..checks import check_count


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
