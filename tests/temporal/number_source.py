"""A source of numbers and readers of it, for testing the engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from temporal.engine import Stage
from temporal.trace import Cost


class Numbers:
    """A source of `count` units; unit k is the row `[number, k]`."""

    unit = "frame"
    spent = Cost()

    def __init__(
        self,
        number: int,
        count: int = 3,
        *,
        in_memory: bool = True,
        before_read: Callable[[], object] = lambda: None,
    ) -> None:
        self.id, self.number, self.count = f"source-{number}", number, count
        self.in_memory, self.before_read = in_memory, before_read

    def __len__(self) -> int:
        return self.count

    def cost(self, units: Sequence[int]) -> Cost:
        return Cost()

    def read(self, units: Sequence[int], **options: Any) -> Tensor:
        self.before_read()
        return torch.tensor([[float(self.number), float(unit)] for unit in units])


class Recorder:
    """A stage function that adds up rows and remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def __call__(self, rows_B2: Tensor) -> Tensor:
        self.batches.append([int(number) for number in rows_B2[:, 0]])
        return rows_B2.sum(1)

    @property
    def sizes(self) -> list[int]:
        return [len(batch) for batch in self.batches]


def adder(stage: Stage) -> Any:
    """A reader that reads every unit and adds up what the stage says."""

    async def read(source: Any) -> float:
        total = 0.0
        for unit in range(len(source)):
            total += float(await stage(await source.read([unit])))
        return total

    return read


def expected(number: int, count: int) -> float:
    return number * count + sum(range(count))
