"""Time contestants in one run, A B A B, so that a drifting machine is unfair to none."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
import transformers

T = TypeVar("T")


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


def machine() -> dict[str, Any]:
    """What the figures of a text benchmark were measured on."""
    return {
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
