"""Which frames to take, from how well each fits a question: spread over them, or gathered.

Selectors of frames for video-language models over scores of any scale (cosines, logits): those of
frames that were scored, or guessed from these. Each gives indices in the order of time, each once;
fewer units than asked for give each once. Scores that differ by less than a millionth of their
size, which is rounding, give `uniform`.

N units, K of them taken.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from .read import uniform
from .select import Scores, check_scores, quantile_frames, top_k

_Floats = NDArray[np.float64]

_ROUNDING = 1e-6  # of float32, and of the sums of a network


def inverse_transform(
    scores_N: Scores, k: int, *, power: float = 3.0, generator: torch.Generator | None = None
) -> list[int]:
    """Units at evenly spaced quantiles of how much better than the worst each is.

    BOLT (Liu et al., CVPR 2025): with `w = ((s - min) / (max - min)) ** power`, the units at
    quantiles of the cumulated w. What fits badly gets few frames and not none, so a scorer that
    errs does not lose everything. A unit that several quantiles fall upon is taken once, see
    `quantile_frames`, and equal scores, which have no such w, are taken uniformly.

        scores -1 1 -1 0, power 1, k 2:   . x . x      ->  1, 3

    Args:
        scores_N: finite numbers, higher is better.
        k: how many to take.
        power: 0 takes uniformly, larger ones gather where scores are high.
        generator: for training, see `quantile_frames`.

    Returns:
        `min(k, N)` indices in the order of time.

    Raises:
        ValueError: there are no scores, k is below 1, power is negative or not finite, or a score
            is NaN or infinite.
    """
    unit = unit_range(check_scores(scores_N, k))
    return quantile_frames(unit, k, power=power, generator=generator)


def adaptive_split(
    scores_N: Scores, k: int, *, threshold: float = 0.8, max_depth: int = 5
) -> list[int]:
    """The best of each part of the time line, which is halved where no few units stand out.

    AKS (Tang et al., "Adaptive Keyframe Sampling for Long Video Understanding", CVPR 2025, section
    3.3): a part whose K best are on average `threshold` above its mean (of scores from 0 to 1) is
    kept whole, others are halved, `max_depth` times at most; a part of depth d has the share
    `2 ** -d` of the K units, its best ones. Here an odd number is halved in favour of the half
    with the best unit, so that none is lost where K is no power of two or less than the parts;
    what a short half cannot give, the other one does.

    Args:
        scores_N: finite numbers, higher is better.
        k: how many to take.
        threshold: 0 keeps all whole (`top_k`), 1 halves all but a single peak.
        max_depth: 0 keeps all whole.

    Returns:
        `min(k, N)` indices in the order of time.

    Raises:
        ValueError: there are no scores, k is below 1, a score is NaN or infinite, or max_depth is
            negative.
    """
    if max_depth < 0:
        raise ValueError(f"max_depth ({max_depth}) must be >= 0")
    scores = check_scores(scores_N, k)
    unit = unit_range(scores)
    if not unit.any():
        return uniform(len(scores), k)
    return _split(unit, range(len(unit)), min(k, len(unit)), k, threshold, max_depth)


def peakedness(scores_N: Scores, k: int) -> float:
    """How far the K best stand out: their mean above the mean of all, in standard deviations.

    0 where no score differs. It is at most `sqrt(N / K - 1)`: where all that is high is just K.
    """
    scores = check_scores(scores_N, k)
    unit = unit_range(scores)
    if not unit.any():
        return 0.0
    return float((np.sort(unit)[-k:].mean() - unit.mean()) / unit.std())


def routed(
    scores_N: Scores, k: int, *, threshold: float = 0.0, spread: float = 0.0, power: float = 3.0
) -> list[int]:
    """`uniform` where scores are flat, else `inverse_transform`.

    A question about all of a video has no place of its own, and uniform frames are best for it.

    Args:
        scores_N: finite numbers, higher is better.
        k: how many to take.
        threshold: scores of less `peakedness` are flat; to be calibrated on questions of both
            kinds.
        spread: scores between whose best K and mean there is not more than this are flat: one unit
            of the logits of CLIP, say, which then tells nothing.
        power: of `inverse_transform`.

    Returns:
        `min(k, N)` indices in the order of time.

    Raises:
        ValueError: as `inverse_transform` does.
    """
    scores = check_scores(scores_N, k)
    above = float(scores[top_k(scores, k)].mean() - scores.mean())
    if above <= spread or peakedness(scores, k) < threshold:
        return uniform(len(scores), k)
    return inverse_transform(scores, k, power=power)


def runs_of(starts: list[int], length: int, num_units: int) -> list[int]:
    """Make each unit a run of neighbours, as models want that merge frames two by two.

        5 and 6 of 12 units, runs of 2:        5 6   7 8
        2, 9 and 10 of them, where 12 is out:  2 3   8 9   10 11

    Args:
        starts: increasing, each once.
        length: of a run.
        num_units: N.

    Returns:
        `len(starts) * length` indices in order, each once; all, where N is not more.
    """
    if num_units <= len(starts) * length:
        return list(range(num_units))
    begins: list[int] = []
    for start in starts:
        begins.append(max(start, begins[-1] + length) if begins else start)
    last = num_units
    for place in reversed(range(len(begins))):
        begins[place] = last = min(begins[place], last - length)
    return [begin + step for begin in begins for step in range(length)]


def unit_range(scores_N: _Floats) -> _Floats:
    """Scores from 0 to 1; all 0 where they do not differ."""
    scale = float(np.abs(scores_N).max()) or 1.0
    scaled = scores_N / scale  # so that no difference of finite numbers overflows
    low, high = scaled.min(), scaled.max()
    return (scaled - low) / (high - low) if high - low > _ROUNDING else np.zeros_like(scaled)


def _split(
    unit_N: _Floats, part: range, count: int, k: int, threshold: float, depth_left: int
) -> list[int]:
    """So many units of a part of the time line."""
    if count == 0 or count >= len(part):
        return list(part) if count else []
    scores = unit_N[part.start : part.stop]
    stand_out = np.sort(scores)[-k:].mean() - scores.mean() > threshold
    if depth_left == 0 or stand_out:
        return [part.start + at for at in top_k(scores, count)]
    middle = (part.start + part.stop) // 2
    halves = range(part.start, middle), range(middle, part.stop)
    is_later_better = unit_N[middle : part.stop].max() > unit_N[part.start : middle].max()
    first = count // 2 if is_later_better else (count + 1) // 2
    first = max(min(first, len(halves[0])), count - len(halves[1]))
    return [
        unit
        for half, share in zip(halves, (first, count - first), strict=True)
        for unit in _split(unit_N, half, share, k, threshold, depth_left - 1)
    ]
