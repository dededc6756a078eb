"""Time contestants in one run, A B A B, so that a drifting machine is unfair to none."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")


def clock(
    contestants: Mapping[str, Callable[[], T]], rounds: int
) -> tuple[dict[str, float], dict[str, T]]:
    """Median seconds of interleaved rounds after a warm-up, and what each returned last."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    answers: dict[str, T] = {}
    for round_number in range(rounds + 1):
        for name, run in contestants.items():
            start = time.perf_counter()
            answers[name] = run()
            if round_number:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}, answers
