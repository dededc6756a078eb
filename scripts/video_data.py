"""Labelled clips for the scripts: a manifest with groups, and folds that keep groups together."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tables import table_rows
from unseen import Rows

from temporal.models.rows_seen import digest_file, digest_text


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """One row of a manifest."""

    path: str
    """Absolute path of the file."""
    label: int
    """Class number."""
    group: str
    """Clips of one group (a session, say) resemble each other and stay on one side of a split."""
    camera: str
    """A coarser group, for holding whole cameras out; empty without that column."""

    @property
    def digest(self) -> int:
        """Of the file's bytes: copies are one clip."""
        return _digest(self.path)


_digest = lru_cache(maxsize=None)(digest_file)  # a file is read for it once


def read_clips(data_dir: str, manifest: str = "groups.csv") -> tuple[list[Clip], list[str]]:
    """Read a manifest with the columns path, label, group and perhaps camera.

    Returns:
        The clips, and the class names in the order of their numbers.

    Raises:
        ValueError: a column is missing, or a row is broken.
    """
    rows = table_rows(str(Path(data_dir, manifest)), "path", "label", "group")
    names = sorted({row["label"] for row in rows})
    clips = [
        Clip(
            path=str(Path(data_dir, row["path"]).resolve()),
            label=names.index(row["label"]),
            group=row["group"],
            camera=row.get("camera", ""),
        )
        for row in rows
    ]
    return clips, names


def rows_of(clips: Sequence[Clip], source: str) -> Rows:
    """Clips as digests, with their groups."""
    groups = [digest_text(clip.group) if clip.group else None for clip in clips]
    return Rows(source=source, rows=[clip.digest for clip in clips], groups=groups)


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


def hold_out_clips(clips: Sequence[Clip], share: float, seed: int) -> tuple[list[Clip], list[Clip]]:
    """Split clips into the rest and a held-out share, whole groups and copies together."""
    if not 0 < share < 1:
        raise ValueError(f"share ({share}) must be between 0 and 1")
    groups = joined([clip.group for clip in clips], [clip.digest for clip in clips])
    names = sorted(set(groups))
    random.Random(seed).shuffle(names)
    held = set(names[: int(share * len(names))])
    pairs = list(zip(clips, groups, strict=True))
    return (
        [clip for clip, group in pairs if group not in held],
        [clip for clip, group in pairs if group in held],
    )


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
