"""What is done once in a process, however long it takes, is no time of a source."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import temporal.stage
from temporal.engine import Engine, Stage
from temporal.packed import Packed

from .number_source import Numbers


class Clock:
    """Stands in for `time` in the stage; computations move it."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(temporal.stage, "time", clock)
    return clock


def test_compiling_a_kernel_is_not_in_the_seconds(clock: Clock) -> None:
    sizes: list[int] = []

    def kernel(rows_B2: Tensor) -> tuple[Tensor, Tensor]:
        clock.now += 1.0 if sizes else 18.0  # the first call compiles
        sizes.append(len(rows_B2))
        return rows_B2.sum(1), torch.full((len(rows_B2),), 5)

    stage = Stage(kernel, counts_macs=True)

    async def read(source: Any) -> Any:
        return await stage(torch.cat([await source.read([0]), await source.read([1])]))

    first, second = Engine(1).run(read, [Numbers(1), Numbers(2)])
    assert sizes == [1, 2, 2]  # one row compiles; both sources then run as they are
    for outcome in (first, second):
        assert outcome.trace is not None
        assert (outcome.trace.cost.model_seconds, outcome.trace.cost.macs) == (1.0, 10)
    assert (stage.calls, stage.rows, stage.seconds) == (2, 4, 2.0)


def test_counting_by_length_is_not_in_the_seconds(clock: Clock) -> None:
    calls = 0

    def project(packed: Packed) -> Packed:
        nonlocal calls
        calls += 1
        clock.now += 1.0
        return Packed(packed.values @ torch.ones(3, 2), packed.lengths)

    stage = Stage(project)
    call = stage(Packed.of([torch.rand(4, 3), torch.rand(2, 3)]))
    _, seconds, macs = stage.run([call], count_macs=True)
    assert (calls, seconds, macs) == (4, 1.0, [24, 12])  # three calls only count
