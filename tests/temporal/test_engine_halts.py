"""Readers that halt: what they left is not read, not computed, and nobody else's result moves."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from temporal.engine import Engine, Outcome, Stage, run_alone
from temporal.trace import Cost

from .number_source import Numbers, Recorder, adder, expected


class Counted(Numbers):
    """Writes down what it was asked for, and counts it as decoded."""

    def __init__(self, number: int, count: int = 5, **options: Any) -> None:
        super().__init__(number, count, **options)
        self.asked: list[int] = []

    @property
    def spent(self) -> Cost:  # type: ignore[override]  # a plain value in the base class
        return Cost(frames_decoded=len(self.asked))

    def read(self, units: Sequence[int], **options: Any) -> Tensor:
        self.asked.extend(units)
        return super().read(units, **options)


def halting_after(stage: Stage, units: Any) -> Any:
    """A reader that reads `units(source)` units one by one and adds up the stage's rows."""

    async def read(source: Any) -> Tensor:
        total = torch.zeros(())
        for unit in range(units(source)):
            total = total + (await stage(await source.read([unit]))).sum()
            source.note(halted_at=unit)
        return total

    return read


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("deterministic", [True, False])
def test_what_follows_the_halt_is_neither_asked_for_nor_computed(
    in_memory: bool, deterministic: bool
) -> None:
    stage = Stage(torch.nn.Linear(2, 4))  # 8 multiply-accumulates a row
    sources = [Counted(k, in_memory=in_memory) for k in range(20)]
    read = halting_after(stage, lambda source: source.number % 5 + 1)
    outcomes = list(Engine(6, deterministic=deterministic).run(read, sources))
    taken = [k % 5 + 1 for k in range(20)]
    assert [source.asked for source in sources] == [list(range(n)) for n in taken]
    assert stage.rows == sum(taken) == 60
    for outcome, n in zip(outcomes, taken, strict=True):
        trace = outcome.trace
        assert trace is not None
        assert (trace.read, trace.halted_at) == (tuple(range(n)), n - 1)
        assert (trace.cost.frames_decoded, trace.cost.layers) == (n, n)
        assert trace.cost.macs == 8 * n


def test_the_place_of_a_reader_that_halts_is_taken_at_once() -> None:
    """Three places, five readers of 1, 3, 3, 2 and 2 units; the rows of each batch by hand."""
    stage = Stage(record := Recorder())
    counts = [1, 3, 3, 2, 2]
    outcomes = list(Engine(3).run(adder(stage), [Numbers(k, n) for k, n in enumerate(counts)]))
    batches = [sorted(batch) for batch in record.batches]
    assert batches == [[0, 1, 2], [1, 2, 3], [1, 2, 3], [4], [4]]
    assert [outcome.value for outcome in outcomes] == [expected(k, n) for k, n in enumerate(counts)]


def test_each_stage_joins_its_own_callers() -> None:
    even, odd = Recorder(), Recorder()
    stages = [Stage(even), Stage(odd)]

    async def read(source: Any) -> float:
        return float(await stages[source.number % 2](await source.read([1])))

    outcomes = list(Engine(6).run(read, [Numbers(k) for k in range(6)]))
    assert (even.batches, odd.batches) == ([[0, 2, 4]], [[1, 3, 5]])
    assert [outcome.value for outcome in outcomes] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("max_in_flight", [3, 24])
@pytest.mark.parametrize("deterministic", [True, False])
def test_a_network_gives_what_it_gives_alone_in_any_company_and_order(
    max_in_flight: int, deterministic: bool
) -> None:
    stage = Stage(torch.nn.Sequential(torch.nn.Linear(2, 16), torch.nn.Tanh()))
    read = halting_after(stage, lambda source: source.number % 4 + 1)
    alone = [run_alone(read, Numbers(k, 5)) for k in range(24)]
    order = random.Random(3).sample(range(24), 24)
    engine = Engine(max_in_flight, deterministic=deterministic)
    sources = [Numbers(k, 5, in_memory=k % 3 > 0) for k in order]
    for number, outcome in zip(order, engine.run(read, sources), strict=True):
        one = alone[number]
        assert isinstance(one, Outcome) and one.trace is not None and outcome.trace is not None
        torch.testing.assert_close(outcome.value, one.value, rtol=1e-5, atol=1e-5)
        assert outcome.trace.read == one.trace.read


def test_a_cohort_in_which_nobody_is_left_may_call_a_stage_with_no_rows() -> None:
    stage = Stage(torch.nn.Linear(2, 3))

    async def read(sources: list[Any]) -> list[tuple[int, ...]]:
        nobody = await stage(torch.zeros(0, 2), rows=[])
        return [tuple(nobody.shape)] * len(sources)

    outcomes = list(Engine(2).run(read, [[Numbers(0), Numbers(1)]]))
    assert [(outcome.value, outcome.error) for outcome in outcomes] == [((0, 3), None)] * 2
    assert [o.trace.cost.macs for o in outcomes if o.trace] == [0, 0]
    assert stage.rows == 0


def test_a_consumer_that_gives_up_ends_the_readers_in_flight() -> None:
    started: list[int] = []
    ended: list[int] = []
    stage = Stage(Recorder())

    async def read(source: Any) -> None:
        started.append(source.number)
        try:
            for _ in range(source.number + 1):
                await stage(await source.read([0]))
        finally:
            ended.append(source.number)

    outcomes = Engine(4).run(read, (Numbers(k, in_memory=False) for k in range(100)))
    with pytest.raises(KeyboardInterrupt):
        for _ in outcomes:
            raise KeyboardInterrupt
    outcomes.close()  # type: ignore[attr-defined]  # run() is a generator
    assert sorted(ended) == sorted(started)
    assert len(started) < 10
