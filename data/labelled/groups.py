"""Groups of rows that resemble each other: they stay on one side of every split."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence


def joined(groups: Sequence[str], digests: Sequence[int]) -> list[str]:
    """Names of groups in which groups that hold copies of one file are one.

    Args:
        groups: of each clip; clips without one ("") are each their own.
        digests: of each clip's file.
    """
    own = [group or f"\0{k}" for k, group in enumerate(groups)]
    parent = {group: group for group in own}

    def root(group: str) -> str:
        while parent[group] != group:
            parent[group] = group = parent[parent[group]]
        return group

    first: dict[int, str] = {}
    for group, digest in zip(own, digests, strict=True):
        one, other = sorted((root(group), root(first.setdefault(digest, group))))
        parent[other] = one
    return [root(group) for group in own]


def grouped_folds(
    labels: Sequence[int], groups: Sequence[str], num_folds: int, seed: int
) -> list[list[int]]:
    """Split row numbers into folds with whole groups and like shares of each class.

    The largest groups are placed first, each where it leaves the classes most even; ties fall by
    the seed.

    Returns:
        The row numbers of each fold, increasing.
    """
    members: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    if len(members) < num_folds:
        raise ValueError(f"num_folds ({num_folds}) must be <= the number of groups {len(members)}")
    totals = Counter(labels)
    names = list(members)
    random.Random(seed).shuffle(names)
    names.sort(key=lambda name: -len(members[name]))
    folds: list[list[int]] = [[] for _ in range(num_folds)]
    counts = [Counter() for _ in range(num_folds)]  # type: list[Counter[int]]

    def unevenness(k: int, added: Counter[int]) -> float:
        """How uneven the shares of the classes over the folds become if fold k gets a group."""
        spread = 0.0
        for label, total in totals.items():
            shares = [
                (counts[j][label] + (added[label] if j == k else 0)) / total
                for j in range(num_folds)
            ]
            mean = sum(shares) / num_folds
            spread += sum((share - mean) ** 2 for share in shares)
        return spread

    for name in names:
        added = Counter(labels[row] for row in members[name])
        best = min(range(num_folds), key=lambda k: (unevenness(k, added), len(folds[k])))
        folds[best] += members[name]
        counts[best] += added
    return [sorted(fold) for fold in folds]
