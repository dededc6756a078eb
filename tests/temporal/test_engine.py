"""The engine: dense batches, refill, bounded memory, and the same bits again."""

from __future__ import annotations

import random
import textwrap
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from temporal import engine
from temporal.engine import Engine, Stage, run_alone

from .number_source import Numbers, Recorder, adder, expected


@pytest.mark.parametrize("in_memory", [True, False])
def test_calls_of_all_readers_in_flight_become_one_batch(in_memory: bool) -> None:
    stage = Stage(record := Recorder())
    sources = [Numbers(k, 3, in_memory=in_memory) for k in range(8)]
    outcomes = list(Engine(8, deterministic=True).run(adder(stage), sources))
    assert [outcome.value for outcome in outcomes] == [expected(k, 3) for k in range(8)]
    assert record.sizes == [8, 8, 8]
    assert (stage.calls, stage.rows) == (3, 24)


def test_a_reader_that_halts_makes_room_and_the_batch_stays_full() -> None:
    stage = Stage(record := Recorder())
    counts = [1, 5, 2, 4, 3, 1, 1, 6, 2, 2, 3, 1]
    sources = (Numbers(k, count) for k, count in enumerate(counts))
    outcomes = list(Engine(4).run(adder(stage), sources))
    assert [outcome.value for outcome in outcomes] == [
        expected(k, count) for k, count in enumerate(counts)
    ]
    assert sum(record.sizes) == sum(counts)  # not read is not computed
    full = record.sizes.index(next(size for size in record.sizes if size < 4))
    assert full >= 5 and record.sizes[full:] == sorted(record.sizes[full:], reverse=True)


def test_batches_are_at_most_max_batch_size_and_a_call_is_never_cut() -> None:
    stage = Stage(record := Recorder())
    list(Engine(10, max_batch_size=4).run(adder(stage), [Numbers(k, 1) for k in range(10)]))
    assert record.sizes == [4, 4, 2]

    async def read_at_once(source: Any) -> Tensor:
        return await stage(await source.read(range(len(source))))

    record.batches.clear()
    list(Engine(10, max_batch_size=4).run(read_at_once, [Numbers(0, 6), Numbers(1, 2)]))
    assert record.sizes == [6, 2]


@pytest.mark.parametrize("max_in_flight", [1, 3, 20])
@pytest.mark.parametrize("max_batch_size", [None, 1, 4])
@pytest.mark.parametrize("in_memory", [True, False])
def test_any_number_in_flight_gives_the_same_results(
    max_in_flight: int, max_batch_size: int | None, in_memory: bool
) -> None:
    engine = Engine(max_in_flight, max_batch_size=max_batch_size, deterministic=False)
    sources = [Numbers(k, 1 + k % 4, in_memory=in_memory) for k in range(20)]
    outcomes = list(engine.run(adder(Stage(Recorder())), sources))
    assert [outcome.value for outcome in outcomes] == [expected(k, 1 + k % 4) for k in range(20)]


def test_results_come_in_input_order_or_as_they_are_completed() -> None:
    counts = [4, 1, 3, 2]
    for order, wanted in (("input", [0, 1, 2, 3]), ("completed", [1, 3, 2, 0])):
        sources = [Numbers(k, count) for k, count in enumerate(counts)]
        outcomes = list(Engine(4).run(adder(Stage(Recorder())), sources, order=order))  # type: ignore[arg-type]  # both are allowed
        assert [outcome.index for outcome in outcomes] == wanted
        assert all(outcome.source is sources[outcome.index] for outcome in outcomes)


@pytest.mark.parametrize("order", ["input", "completed"])
def test_the_stream_is_taken_only_as_outcomes_are_consumed(order: Any) -> None:
    taken = 0

    def endless() -> Iterator[Numbers]:
        nonlocal taken
        while True:
            taken += 1
            yield Numbers(taken)

    outcomes = Engine(4).run(adder(Stage(Recorder())), endless(), order=order)
    assert taken == 0
    for consumed in range(1, 40):
        next(outcomes)
        assert taken <= consumed + 2 * 4  # those in flight, and those that finished with this one
    outcomes.close()  # type: ignore[attr-defined]  # run() is a generator


def test_a_slow_source_blocks_neither_the_others_nor_bounds_memory() -> None:
    """The first source is not readable before 12 others have been taken from the stream."""
    taken, enough = 0, threading.Event()

    def stream() -> Iterator[Numbers]:
        nonlocal taken
        yield Numbers(0, 1, in_memory=False, before_read=lambda: enough.wait(20))
        for k in range(1, 1000):
            taken += 1
            if taken == 12:
                enough.set()
            yield Numbers(k, 1, in_memory=False)

    stage = Stage(Recorder())
    # A batch's fixed cost is so high, and reads arrived so fast, that waiting for company would
    # win; but not when the company does not come.
    stage._best_seconds = {1: 0.01, 64: 0.01}
    outcomes = Engine(4, deterministic=False).run(adder(stage), stream())
    assert next(outcomes).index == 0
    assert enough.is_set()
    # 4 in flight and 16 results that wait for the first one's turn.
    assert 12 <= taken <= 4 + 16 + 4
    outcomes.close()  # type: ignore[attr-defined]  # run() is a generator


def test_a_cohort_larger_than_the_limit_runs_by_itself_and_an_empty_one_is_nothing() -> None:
    stage = Stage(record := Recorder())

    async def read(sources: list[Any]) -> list[float]:
        return (await stage(torch.cat([await source.read([0]) for source in sources]))).tolist()

    cohorts = [[Numbers(k) for k in range(5)], [], [Numbers(5)], [Numbers(6)]]
    outcomes = list(Engine(2).run(read, cohorts))
    assert [outcome.value for outcome in outcomes] == list(range(7))
    assert record.sizes == [5, 2]


def test_same_inputs_give_the_same_bits_whatever_the_disk_does() -> None:
    linear = torch.nn.Linear(2, 64)
    head = torch.nn.Linear(64, 1)

    def run(seed: int) -> tuple[list[Any], list[list[int]]]:
        clock = random.Random(seed)
        batches: list[list[int]] = []

        def compute(rows_B2: Tensor) -> Tensor:
            batches.append(rows_B2[:, 0].int().tolist())
            return head(linear(rows_B2).relu()).squeeze(1)

        async def read(source: Any) -> Tensor:
            total, unit = torch.zeros(1), 0
            while unit < len(source) and total.abs() < 3:
                total = total + await stage(await source.read([unit]))
                unit += 1
            return total

        stage = Stage(compute)
        sources = [
            Numbers(k, 6, in_memory=False, before_read=lambda: time.sleep(clock.random() / 500))
            for k in range(24)
        ]
        engine = Engine(8, num_threads=4, deterministic=True)
        return [outcome.value for outcome in engine.run(read, sources)], batches

    first, second = run(1), run(2)
    assert first[1] == second[1]
    assert all(torch.equal(a, b) for a, b in zip(first[0], second[0], strict=True))


def test_costs_are_charged_to_the_sources_that_caused_them() -> None:
    stage = Stage(torch.nn.Linear(2, 5))  # 10 multiply-accumulates a row

    async def read(source: Any) -> None:
        for unit in range(len(source)):
            await stage(await source.read([unit]))

    outcomes = list(Engine(3).run(read, [Numbers(k, 1 + k) for k in range(3)]))
    costs = [outcome.trace.cost for outcome in outcomes if outcome.trace]
    assert [(cost.macs, cost.layers) for cost in costs] == [(10, 1), (20, 2), (30, 3)]
    assert sum(cost.model_seconds for cost in costs) == pytest.approx(stage.seconds)

    async def read_cohort(sources: list[Any]) -> list[None]:
        rows = torch.cat([await source.read([0]) for source in sources])
        await stage(rows)  # all alike
        await stage(rows[[0, 0, 1]], rows=[0, 0, 1])  # the first pays twice, the last nothing
        return [None] * len(sources)

    outcomes = list(Engine(3).run(read_cohort, [[Numbers(k) for k in range(3)]]))
    costs = [outcome.trace.cost for outcome in outcomes if outcome.trace]
    assert [(cost.macs, cost.layers) for cost in costs] == [(30, 3), (20, 2), (10, 1)]

    (outcome,) = Engine(1, count_macs=False).run(read, [Numbers(0, 1)])
    assert outcome.trace is not None and outcome.trace.cost.macs == 0


def test_readers_compute_without_gradients() -> None:
    async def read(source: Any) -> bool:
        return (await Stage(torch.nn.Linear(2, 1))(await source.read([0]))).requires_grad

    (outcome,) = Engine().run(read, [Numbers(0)])
    assert outcome.value is False


def test_run_alone_reads_a_source_or_a_cohort() -> None:
    stage = Stage(Recorder())
    outcome = run_alone(adder(stage), Numbers(7))
    assert not isinstance(outcome, list) and outcome.value == expected(7, 3)

    async def read(sources: list[Any]) -> list[int]:
        return [source.number for source in sources]

    outcomes = run_alone(read, [Numbers(1), Numbers(2)])
    assert isinstance(outcomes, list) and [o.value for o in outcomes] == [1, 2]


def test_the_reader_in_the_documentation_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = engine.__doc__ or ""
    code = textwrap.dedent(text[text.index("    from temporal.engine import") :])
    names: dict[str, Any] = {"backbone": torch.nn.Flatten(), "head": torch.nn.Linear(2, 2)}
    names["videos"] = [Numbers(k, 20) for k in range(5)]
    exec(compile(code, "docstring", "exec"), names)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5 and all("tensor(" in line for line in lines)


def test_nothing_in_gives_nothing_out() -> None:
    assert list(Engine().run(adder(Stage(Recorder())), [])) == []


@pytest.mark.parametrize("name", ["max_in_flight", "max_batch_size", "num_threads"])
def test_numbers_must_be_at_least_one(name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} \(0\) must be >= 1"):
        Engine(**{name: 0})


def test_order_is_one_of_two_words() -> None:
    with pytest.raises(ValueError, match=r"order \('sorted'\) must be 'input' or 'completed'"):
        next(Engine().run(adder(Stage(Recorder())), [], order="sorted"))  # type: ignore[arg-type]  # that is the point
