"""Time contestants in one run, A B A B, so that a drifting machine is unfair to none."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
import transformers

T = TypeVar("T")
Item = TypeVar("Item")


@dataclass(frozen=True)
class Clocked(Generic[T]):
    """What a contestant took and gave."""

    seconds: float
    """Median of the rounds, on the wall."""
    cpu_seconds: float
    """Median of the rounds, of this process: tells more where others share the machine."""
    answer: T
    """Of the last round."""


_PAUSE = 0.05
"""Seconds before each contestant: OpenMP threads of the one before keep a core busy meanwhile."""


def clock(contestants: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, Clocked[T]]:
    """Run the contestants in turn, round after round, the first of which warms up."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    answers: dict[str, T] = {}
    for _ in range(rounds + 1):
        for name, run in contestants.items():
            time.sleep(_PAUSE)
            start = time.perf_counter(), time.process_time()
            answers[name] = run()
            times[name].append((time.perf_counter() - start[0], time.process_time() - start[1]))
    medians = {
        name: [statistics.median(column) for column in zip(*values[1:], strict=True)]
        for name, values in times.items()
    }
    return {
        name: Clocked(medians[name][0], medians[name][1], answers[name]) for name in contestants
    }


def clock_by_item(
    contestants: Mapping[str, Callable[[Sequence[Item]], Sequence[T]]],
    items: Sequence[Item],
    rounds: int,
    *,
    in_turn: int = 1,
) -> dict[str, tuple[float, list[T]]]:
    """Run the contestants in turn on a few items, so that a slow minute is unfair to none.

    Each turn has another one begin, as the first finds cold caches; a first item warms up.

    Args:
        contestants: By name.
        items: What each of them runs on.
        rounds: Over all items.
        in_turn: Items that one is called with: 1 is a call now and then, whose weights the others
            have pushed out of the caches; more is nearer to a collection that one reads.

    Returns:
        For each the median of the rounds' mean seconds an item, and all its results.
    """
    names = list(contestants)
    for name in names:
        contestants[name](items[:1])
    seconds: dict[str, list[float]] = {name: [] for name in names}
    results: dict[str, list[T]] = {name: [] for name in names}
    for number in range(rounds):
        spent = dict.fromkeys(names, 0.0)
        for k, start in enumerate(range(0, len(items), in_turn)):
            first = (number + k) % len(names)
            for name in (*names[first:], *names[:first]):
                begun = time.perf_counter()
                results[name] += contestants[name](items[start : start + in_turn])
                spent[name] += time.perf_counter() - begun
        for name in names:
            seconds[name].append(spent[name] / len(items))
    return {name: (statistics.median(seconds[name]), results[name]) for name in names}


def machine() -> dict[str, Any]:
    """What the figures of a benchmark were measured on."""
    return {
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
