"""How often answers are right, and how sure one may be of that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def balanced_accuracy(answers: Sequence[int], labels: Sequence[int]) -> float:
    """The mean over classes of the share of its clips that got the right answer."""
    hits: Counter[int] = Counter()
    for answer, label in zip(answers, labels, strict=True):
        hits[label] += answer == label
    totals = Counter(labels)
    return sum(hits[label] / totals[label] for label in totals) / len(totals)


def interval(share: float, count: int) -> tuple[float, float]:
    """95 % Wilson interval of a share of so many independent clips."""
    z = 1.96
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * ((share * (1 - share) + z * z / (4 * count)) / count) ** 0.5 / (1 + z * z / count)
    return centre - half, centre + half
