"""What fails, fails alone; what is closed is freed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from temporal.engine import Engine, Stage

from .number_source import Numbers, Recorder, adder, expected


def test_an_exception_ends_its_reader_alone() -> None:
    stage = Stage(Recorder())

    async def read(source: Any) -> float:
        await source.read([0])
        if source.number == 2:
            raise ValueError("two is odd today")
        return float(await stage(await source.read([1])))

    outcomes = list(Engine(4).run(read, [Numbers(k) for k in range(5)]))
    assert [outcome.value for outcome in outcomes] == [1, 2, None, 4, 5]
    assert [type(outcome.error) for outcome in outcomes] == [type(None)] * 2 + [ValueError] + [
        type(None)
    ] * 2
    assert outcomes[2].trace is not None and outcomes[2].trace.read == (0,)


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_source_that_cannot_be_read_fails_alone_and_its_reader_may_go_on(
    in_memory: bool,
) -> None:
    def broken() -> None:
        raise OSError("the disk is gone")

    async def read(source: Any) -> str:
        try:
            await source.read([0])
        except OSError as error:
            if source.number == 1:
                source.fail(error)
                return "went on"
            raise
        return "read"

    sources = [Numbers(0, in_memory=in_memory)] + [
        Numbers(k, in_memory=in_memory, before_read=broken) for k in (1, 2)
    ]
    good, fault, bad = Engine(4).run(read, sources)
    assert (good.value, good.error, good.fault) == ("read", None, None)
    assert (fault.value, fault.error, str(fault.fault)) == ("went on", None, "the disk is gone")
    assert (bad.value, str(bad.error), bad.fault) == (None, "the disk is gone", None)


def test_a_stage_that_fails_on_one_row_fails_one_reader() -> None:
    def no_threes(rows_B2: Tensor) -> Tensor:
        if (rows_B2[:, 0] == 3).any():
            raise FloatingPointError("three")
        return rows_B2.sum(1)

    outcomes = list(Engine(6).run(adder(Stage(no_threes)), [Numbers(k, 2) for k in range(6)]))
    assert [outcome.index for outcome in outcomes if outcome.error is not None] == [3]
    assert [outcome.value for outcome in outcomes if outcome.error is None] == [
        expected(k, 2) for k in (0, 1, 2, 4, 5)
    ]


@pytest.mark.parametrize("num_readers", [1, 3])
def test_a_reader_may_go_on_after_a_stage_failed_it_alone_or_not(num_readers: int) -> None:
    def no_ones(rows_B2: Tensor) -> Tensor:
        if (rows_B2[:, 1] == 1).any():
            raise FloatingPointError("one")
        return rows_B2.sum(1)

    stage = Stage(no_ones)

    async def read(source: Any) -> float:
        total = 0.0
        for unit in range(3):
            rows = await source.read([unit])
            try:
                total += float(await stage(rows))
            except FloatingPointError:
                total += 100
        return total

    outcomes = list(Engine(4).run(read, [Numbers(k) for k in range(num_readers)]))
    assert [outcome.value for outcome in outcomes] == [100 + 2 * k + 2 for k in range(num_readers)]
    assert [outcome.error for outcome in outcomes] == [None] * num_readers
    # Two of three calls succeeded, and only these cost anything.
    costs = [outcome.trace.cost.layers for outcome in outcomes if outcome.trace is not None]
    assert costs == [2] * num_readers


def test_the_members_of_a_failed_cohort_are_read_again_alone() -> None:
    seen: list[list[int]] = []
    stage = Stage(Recorder())

    async def read(sources: list[Any]) -> list[float]:
        numbers = [source.number for source in sources]
        seen.append(numbers)
        rows = torch.cat([await source.read([0]) for source in sources])
        totals = await stage(rows)
        if 4 in numbers:
            raise RuntimeError("four")
        return totals.tolist()

    cohorts = [[Numbers(k) for k in range(start, start + 3)] for start in (0, 3, 6)]
    outcomes = list(Engine(9).run(read, cohorts))
    assert [outcome.index for outcome in outcomes] == list(range(9))
    assert [outcome.index for outcome in outcomes if outcome.error is not None] == [4]
    assert [outcome.value for outcome in outcomes if outcome.error is None] == [
        0, 1, 2, 3, 5, 6, 7, 8
    ]  # fmt: skip
    assert seen == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [3], [4], [5]]
    # What the failed attempt read is not in the trace of the second.
    assert all(outcome.trace and outcome.trace.read == (0,) for outcome in outcomes)


def test_a_cohort_must_return_a_value_for_each_source() -> None:
    async def read(sources: list[Any]) -> list[int]:
        return [1, 2]

    outcomes = list(Engine(4).run(read, [[Numbers(0), Numbers(1)], [Numbers(2)]]))
    assert [outcome.value for outcome in outcomes] == [1, 2, None]
    assert "a cohort of 1 returned 2 values" in str(outcomes[2].error)


def test_awaiting_something_else_is_a_clear_error_that_the_reader_may_catch() -> None:
    async def read(source: Any) -> str:
        await asyncio.sleep(0)
        return "never"

    (outcome,) = Engine().run(read, [Numbers(0)])
    assert isinstance(outcome.error, TypeError)
    assert "await only stages and the source's handle" in str(outcome.error)

    async def stubborn(source: Any) -> str:
        for _ in range(3):
            try:
                await asyncio.sleep(0)
            except TypeError:
                continue
        return "went on"

    (outcome,) = Engine().run(stubborn, [Numbers(0)])
    assert outcome.value == "went on"


def read_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("temporal-read")]


def test_closing_ends_every_reader_and_frees_the_threads() -> None:
    stage, ended = Stage(Recorder()), []

    async def read(source: Any) -> int:
        try:
            for unit in range(len(source)):
                await stage(await source.read([unit]))
            return source.number
        finally:
            ended.append(source.number)

    sources = [Numbers(k, 1 + 3 * k, in_memory=False) for k in range(4)]
    outcomes = Engine(4).run(read, sources, order="completed")
    assert next(outcomes).value == 0 and read_threads()
    outcomes.close()  # type: ignore[attr-defined]  # run() is a generator
    assert sorted(ended) == [0, 1, 2, 3]
    assert not read_threads()


def test_a_stream_that_raises_ends_the_run_and_frees_everything() -> None:
    ended = []

    async def read(source: Any) -> None:
        try:
            await source.read([0])
            await source.read([1])
        finally:
            ended.append(source.number)

    def stream() -> Iterator[Numbers]:
        yield Numbers(0, in_memory=False)
        raise LookupError("the list ends in rubbish")

    with pytest.raises(LookupError, match="rubbish"):
        list(Engine(4).run(read, stream()))
    assert ended == [] or ended == [0]  # a coroutine that never started has nothing to end
    assert not read_threads()


def test_a_cohort_that_returns_no_list_fails_and_the_run_goes_on() -> None:
    async def read(sources: list[Any]) -> Any:
        return None if any(source.number == 1 for source in sources) else [7] * len(sources)

    items = [[Numbers(0)], [Numbers(1)], [Numbers(2)]]
    outcomes = list(Engine(4).run(read, items))
    assert [outcome.value for outcome in outcomes] == [7, None, 7]
    assert "one per source" in str(outcomes[1].error)


def test_a_note_that_no_trace_has_fails_its_reader_alone() -> None:
    async def read(source: Any) -> int:
        if source.number == 1:
            source.note(halted=3)
        return source.number

    outcomes = list(Engine(4).run(read, [Numbers(k) for k in range(3)]))
    assert [outcome.value for outcome in outcomes] == [0, None, 2]
    assert "halted" in str(outcomes[1].error)


def test_one_reader_whose_clean_up_fails_does_not_keep_the_others_from_theirs() -> None:
    cleaned = []
    stage = Stage(Recorder())

    async def read(source: Any) -> float:
        try:
            for _ in range(source.number + 1):
                value = await stage(await source.read([0]))
            return float(value)
        finally:
            cleaned.append(source.number)
            if source.number == 2:
                raise OSError("the disk is gone")

    run = Engine(4).run(read, [Numbers(k) for k in range(4)], order="completed")
    assert next(run).index == 0
    with pytest.raises(OSError, match="the disk is gone"):
        run.close()
    assert sorted(cleaned) == [0, 1, 2, 3]
