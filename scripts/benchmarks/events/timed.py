"""Events that are told beside those that were labelled: how many begin at the right time."""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

Span = tuple[float, float]
"""Start and end of an event, in seconds."""
Spans = Sequence[Span]
"""Of one video."""

Setting = TypeVar("Setting", bound=Hashable)


def joined(spans: Iterable[Span], seconds: float) -> list[Span]:
    """Spans in the order of time, those that lie no further apart made one."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start - found[-1][1] <= seconds:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((start, end))
    return found


def num_matched(true: Spans, told: Spans, seconds: float, *, with_ends: bool = False) -> int:
    """Pairs of a true and a told event, each in one, that begin within so many seconds.

    Args:
        true: of one video.
        told: of the same.
        seconds: how far apart starts may be.
        with_ends: ends, too.
    """
    pairs = sorted(
        (abs(true[i][0] - told[j][0]), i, j) for i in range(len(true)) for j in range(len(told))
    )
    matched: dict[int, int] = {}
    for off, i, j in pairs:
        is_near = off <= seconds and (not with_ends or abs(true[i][1] - told[j][1]) <= seconds)
        if is_near and i not in matched and j not in matched.values():
            matched[i] = j
    return len(matched)


def rated(
    true: Sequence[Spans], told: Sequence[Spans], seconds: float, *, with_ends: bool = False
) -> dict[str, float]:
    """Precision, recall and F1 over the events of all videos."""
    hits = sum(
        num_matched(own, said, seconds, with_ends=with_ends)
        for own, said in zip(true, told, strict=True)
    )
    num_true, num_told = sum(map(len, true)), sum(map(len, told))
    return {
        "precision": hits / max(num_told, 1),
        "recall": hits / max(num_true, 1),
        "f1": 2 * hits / max(num_true + num_told, 1),
    }


def overlapping(true: Sequence[Spans], told: Sequence[Spans]) -> dict[str, float]:
    """Shares of true events that something told overlaps, and of told ones that are of any."""

    def meets(one: Span, others: Spans) -> bool:
        return any(one[0] <= end and one[1] >= start for start, end in others)

    both = list(zip(true, told, strict=True))
    found = [meets(event, said) for own, said in both for event in own]
    right = [meets(event, own) for own, said in both for event in said]
    return {
        "found": sum(found) / max(len(found), 1),
        "of_any": sum(right) / max(len(right), 1),
    }


def best_setting(
    said: Mapping[Setting, Sequence[Spans]], true: Sequence[Spans], seconds: float
) -> tuple[float, Setting]:
    """The largest F1 of some settings, and the setting.

    Of few videos one of many settings is the best by chance: each counts as the mean of itself and
    of those before and after it, in the order in which they are given.
    """
    settings = list(said)
    scores = [rated(true, said[setting], seconds)["f1"] for setting in settings]
    windows = [scores[max(0, k - 1) : k + 2] for k in range(len(scores))]
    smooth = [sum(window) / len(window) for window in windows]
    best = max(range(len(settings)), key=lambda k: smooth[k])
    return smooth[best], settings[best]


def resampled(
    true: Sequence[Spans],
    told: Mapping[str, Sequence[Spans]],
    seconds: float,
    *,
    beside: str,
    draws: int = 10_000,
) -> dict[str, dict[str, list[float]]]:
    """95 % intervals of F1 and of how far it is from another's, over videos drawn anew.

    Args:
        true: of each video.
        told: by name.
        seconds: how far apart starts may be.
        beside: the name of the other.
        draws: of as many videos as there are, with replacement.
    """
    counts = {
        name: [
            (num_matched(own, one, seconds), len(own), len(one))
            for own, one in zip(true, spans, strict=True)
        ]
        for name, spans in told.items()
    }
    dice = random.Random(0)
    drawn: dict[str, list[float]] = {name: [] for name in told}
    for _ in range(draws):
        videos = dice.choices(range(len(true)), k=len(true))
        for name, own in counts.items():
            hits, num_true, num_told = (sum(own[k][at] for k in videos) for at in range(3))
            drawn[name].append(2 * hits / max(num_true + num_told, 1))
    apart = {
        name: [a - b for a, b in zip(f1s, drawn[beside], strict=True)]
        for name, f1s in drawn.items()
    }
    return {
        name: {"f1": _middle(drawn[name]), f"f1_less_that_of_{beside}": _middle(apart[name])}
        for name in told
    }


def _middle(values: Sequence[float]) -> list[float]:
    """Between which 95 % of them lie."""
    ordered = sorted(values)
    return [ordered[int(0.025 * len(ordered))], ordered[int(0.975 * len(ordered))]]
