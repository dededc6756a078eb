"""Batches that do not fit into memory are computed in halves, and every row says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from temporal.checks import is_out_of_memory
from temporal.engine import Engine, Slots, Stage
from temporal.memory import Memory
from temporal.packed import Packed

from .number_source import Numbers, adder, expected
from .test_stage_rows import FORMS

ON_CPU = (
    "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: you "
    "tried to allocate 4000000000000 bytes. Error code 12 (Cannot allocate memory)"
)
ERRORS: dict[str, Callable[[], Exception]] = {
    "cuda": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "cpu": lambda: RuntimeError(ON_CPU),
    "mps": lambda: RuntimeError("MPS backend out of memory (MPS allocated: 9.0 GB)"),
    "cublas": lambda: RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling ..."),
    "python": MemoryError,
}


class Bounded:
    """A stage function for which memory suffices for so many rows."""

    def __init__(self, most: int, error: Callable[[], Exception] = ERRORS["cuda"]) -> None:
        self.most, self.error = most, error
        self.tried: list[int] = []

    def __call__(self, rows: Any) -> Any:
        self.tried.append(len(rows))
        if len(rows) > self.most:
            raise self.error()
        return rows.sum(1)


@pytest.mark.parametrize("kind", ERRORS)
def test_a_batch_is_halved_until_it_fits_and_that_is_remembered(kind: str) -> None:
    function = Bounded(3, ERRORS[kind])
    stage = Stage(function)
    rows = torch.rand(9, 4)
    calls = [stage(row[None]) for row in rows]
    results, _, macs = stage.run(calls, count_macs=False)
    assert torch.equal(torch.cat(results), rows.sum(1)) and len(macs) == 9
    # Nine are four and five; once four have failed, no more than two are tried.
    assert function.tried == [9, 4, 2, 2, 2, 1, 2]
    assert (stage.rows, stage.calls) == (9, 5)
    assert all(call.is_halved for call in calls)
    function.tried.clear()
    few = [stage(row[None]) for row in rows[:2]]
    stage.run(few, count_macs=False)
    stage.run([stage(row[None]) for row in rows[:4]], count_macs=False)
    assert function.tried == [2, 2, 2]  # four are not tried again
    assert not any(call.is_halved for call in few)


def test_the_allocator_of_the_machine_is_understood() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)  # more than any machine can address
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))
    assert not is_out_of_memory(ValueError("out of memory"))


@pytest.mark.parametrize("form", FORMS)
def test_a_call_of_many_rows_is_cut_whatever_its_result_is(form: str) -> None:
    make, double_of = FORMS[form]
    bounded = Bounded(2)

    def function(rows: Tensor) -> Any:
        bounded(rows)
        return make(rows)

    stage = Stage(function)
    first, second = torch.rand(7, 3), torch.rand(1, 3)
    results, _, _ = stage.run([stage(first), stage(second)], count_macs=False)
    assert type(results[0]) is type(make(first))
    for result, given in zip(results, (first, second), strict=True):
        assert torch.equal(double_of(result), 2 * given)


def test_sequences_of_different_lengths_are_cut_between_rows() -> None:
    def padded_sums(rows: Tensor) -> Tensor:
        if rows.numel() > 12:
            raise torch.OutOfMemoryError
        return rows.cumsum(1)[..., None]

    stage = Stage(padded_sums, pad=True)
    given = [torch.rand(2, 3), torch.rand(1, 5), torch.rand(3, 4)]
    results, _, _ = stage.run([stage(rows) for rows in given], count_macs=False)
    for result, rows in zip(results, given, strict=True):
        assert torch.equal(result, rows.cumsum(1)[..., None])

    def doubled(packed: Packed) -> Packed:
        if len(packed.values) > 5:
            raise torch.OutOfMemoryError
        return Packed(2 * packed.values, packed.lengths)

    stage = Stage(doubled)
    packed = Packed.of([torch.rand(length, 2) for length in (3, 1, 5, 2, 2)])
    (result,), _, macs = stage.run([stage(packed)], count_macs=True)
    assert torch.equal(result.values, 2 * packed.values) and result.lengths == packed.lengths
    assert len(macs) == 5


def test_a_long_row_among_short_ones_does_not_make_their_batches_small() -> None:
    tried: list[tuple[int, ...]] = []

    def total(packed: Packed) -> Tensor:
        tried.append(packed.lengths)
        if len(packed.values) > 100:
            raise torch.OutOfMemoryError
        return torch.stack([row.sum(0) for row in packed.sequences()])

    stage = Stage(total)
    calls = [stage(Packed.of([torch.rand(length, 1)])) for length in (1, 1, 1, 90, 30, 1)]
    stage.run(calls, count_macs=False)
    tried.clear()
    stage.run([stage(Packed.of([torch.rand(1, 1)])) for _ in range(40)], count_macs=False)
    assert tried == [(1,) * 40]


def test_what_slots_remember_counts_once_or_not_at_all() -> None:
    worst = 99.0

    def count(rows: Tensor, *, memory: Memory) -> Tensor:
        memory.put("total", memory.take("total") + rows[:, 0])
        memory.extend(1)
        memory.write("seen", rows)
        if len(rows) > 2:
            raise torch.OutOfMemoryError
        if (rows == worst).any():
            raise FloatingPointError("unlucky")
        lengths = torch.tensor(memory.read("seen").lengths)
        return torch.stack([memory.take("total"), lengths], 1)

    slots = Slots(fixed={"total": ()}, growing={"seen": (1,)}, page_size=1, num_first=1)
    stage = Stage(count, slots=slots)
    held = [stage.slot() for _ in range(5)]
    rows = torch.arange(5.0)[:, None]
    (first,), _, _ = stage.run([stage(rows, slots=held)], count_macs=False)
    assert first.tolist() == [[k, 1] for k in range(5)]
    pages = slots.pages_in_use
    bad = torch.cat([rows[:4], torch.tensor([[worst]])])  # the last part fails
    with pytest.raises(FloatingPointError):
        stage.run([stage(bad, slots=held)], count_macs=False)
    assert [slot.length for slot in held] == [1] * 5 and slots.pages_in_use == pages
    (second,), _, _ = stage.run([stage(rows, slots=held)], count_macs=False)
    assert second.tolist() == [[2 * k, 2] for k in range(5)]


@pytest.mark.parametrize("most", [1, 2, 5])
def test_readers_are_answered_as_ever_and_their_traces_say_it(most: int) -> None:
    function = Bounded(most)
    outcomes = list(Engine(8).run(adder(Stage(function)), [Numbers(k, 2) for k in range(8)]))
    assert [outcome.value for outcome in outcomes] == [expected(k, 2) for k in range(8)]
    assert max(function.tried[1:]) <= 8
    assert [outcome.trace.batches_halved for outcome in outcomes if outcome.trace] == [2] * 8
    plain = list(Engine(8).run(adder(Stage(Bounded(8))), [Numbers(k, 2) for k in range(8)]))
    assert [outcome.trace.batches_halved for outcome in plain if outcome.trace] == [0] * 8
    pairs = zip(outcomes, plain, strict=True)
    assert all(a.trace.cost.macs == b.trace.cost.macs for a, b in pairs if a.trace and b.trace)


def test_a_cohort_stays_together() -> None:
    function = Bounded(2)
    stage = Stage(function)

    async def read(sources: list[Any]) -> list[float]:
        rows = torch.cat([await source.read([1]) for source in sources])
        return (await stage(rows, rows=range(len(sources)))).tolist()

    outcomes = list(Engine(5).run(read, [[Numbers(k) for k in range(5)]]))
    assert [outcome.value for outcome in outcomes] == [k + 1 for k in range(5)]
    assert function.tried == [5, 2, 3, 1, 2]
    assert [outcome.trace.batches_halved for outcome in outcomes if outcome.trace] == [1] * 5


def test_the_row_that_does_not_fit_alone_is_the_only_error() -> None:
    def function(rows: Tensor) -> Tensor:
        if (rows[:, 0] == 3).any():
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return rows.sum(1)

    outcomes = list(Engine(6).run(adder(Stage(function)), [Numbers(k, 2) for k in range(6)]))
    assert [type(outcome.error).__name__ for outcome in outcomes if outcome.error] == [
        "OutOfMemoryError"
    ]
    assert [outcome.value for outcome in outcomes] == [
        None if k == 3 else expected(k, 2) for k in range(6)
    ]


def test_a_large_row_that_fits_shows_that_as_much_fits() -> None:
    """What was taken by somebody else for a while may be free again."""
    tried: list[int] = []
    most = 3

    def total(packed: Packed) -> Tensor:
        tried.append(len(packed.values))
        if len(packed.values) > most:
            raise torch.OutOfMemoryError
        return torch.stack([row.sum(0) for row in packed.sequences()])

    def calls(*lengths: int) -> list[Any]:
        return [stage(Packed.of([torch.rand(length, 1)])) for length in lengths]

    stage = Stage(total)
    stage.run(calls(2, 2, 2, 2), count_macs=False)
    most = 100
    stage.run(calls(2, 2), count_macs=False)
    stage.run(calls(10), count_macs=False)
    stage.run(calls(2, 2, 2, 2), count_macs=False)
    assert tried == [8, 4, 2, 2, 2, 2, 2, 2, 10, 8]
