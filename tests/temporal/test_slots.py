"""Slots: a recurrent cell's state stays in its pool, and is freed however its reader ends."""

from __future__ import annotations

import copy
import gc
import pickle
import textwrap
import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import temporal.slots
from temporal.engine import Engine, Outcome, Slots, Stage, run_alone
from temporal.memory import Memory
from temporal.slots import Slot, SlotError

from .number_source import Numbers

SIZE = 8


class Cell(nn.LSTMCell):
    """An LSTM over the rows of a source, one call of the stage for each."""

    def __init__(self, **slots: Any) -> None:
        super().__init__(2, SIZE)
        self.slots = Slots(fixed={"hidden": (SIZE,), "cell": (SIZE,)}, like=self, **slots)
        self.step = Stage(self._step, slots=self.slots)

    def _step(self, rows_B2: Tensor, *, memory: Memory) -> Tensor:
        hidden, cell = self(rows_B2, (memory.take("hidden"), memory.take("cell")))
        memory.put("hidden", hidden)
        memory.put("cell", cell)
        return hidden

    async def read(self, source: Any) -> Tensor:
        slot = self.step.slot()
        for unit in range(len(source)):
            hidden = await self.step(await source.read([unit]), slots=[slot])
        return hidden[0]

    async def read_together(self, sources: list[Any]) -> list[Tensor]:
        """A cohort in lock-step; members leave as they end, and their slots with them."""
        slots = [self.step.slot() for _ in sources]
        values: list[Any] = [None] * len(sources)
        reading = list(range(len(sources)))
        unit = 0
        while reading:
            rows = torch.cat([await sources[k].read([unit]) for k in reading])
            hidden = await self.step(rows, rows=reading, slots=[slots[k] for k in reading])
            unit += 1
            for row, k in enumerate(reading):
                if unit == len(sources[k]):
                    values[k] = hidden[row]
                    slots[k].free()
            reading = [k for k in reading if unit < len(sources[k])]
        return values


def cell(**slots: Any) -> Cell:
    torch.manual_seed(4)
    return Cell(**slots).eval()


def numbers(count: int = 20, **options: Any) -> list[Numbers]:
    return [Numbers(k, 1 + 3 * k % 7, **options) for k in range(count)]


def whole(reader: Cell, source: Numbers) -> Tensor:
    """The last state of torch's own LSTM over all rows at once."""
    lstm = nn.LSTM(2, SIZE)
    lstm.load_state_dict({f"{name}_l0": value for name, value in reader.state_dict().items()})
    with torch.no_grad():
        return lstm(source.read(range(len(source))))[0][-1]


@pytest.mark.parametrize("num_first", [1, 3, 32])
@pytest.mark.parametrize("max_in_flight", [1, 6])
@pytest.mark.parametrize("in_memory", [True, False])
def test_an_lstm_step_by_step_equals_the_whole(
    num_first: int, max_in_flight: int, in_memory: bool
) -> None:
    reader = cell(num_first=num_first)
    outcomes = Engine(max_in_flight).run(reader.read, numbers(in_memory=in_memory))
    for outcome, source in zip(outcomes, numbers(), strict=True):
        torch.testing.assert_close(outcome.value, whole(reader, source), rtol=1e-5, atol=1e-6)
    assert (reader.slots.in_use, reader.slots.peak) == (0, max_in_flight)


def test_a_step_costs_its_row_and_its_state_however_much_was_read() -> None:
    reader = cell()
    outcomes = list(Engine(5).run(reader.read, numbers()))
    macs = 4 * SIZE * (2 + SIZE)
    for outcome, source in zip(outcomes, numbers(), strict=True):
        assert outcome.trace is not None and outcome.trace.cost.macs == len(source) * macs
    assert reader.step.macs_per_row == macs
    assert reader.step.rows == sum(map(len, numbers()))
    moved = reader.slots.elements_read, reader.slots.elements_written
    assert moved == (reader.step.rows * 2 * SIZE,) * 2


def test_a_cohort_has_a_slot_for_each_member_and_frees_them_one_by_one() -> None:
    reader = cell()
    sources = [Numbers(k, count) for k, count in enumerate([2, 5, 1, 3])]
    in_use = []
    step = reader.step.fn

    def watched(rows_B2: Tensor, *, memory: Memory) -> Tensor:
        in_use.append(reader.slots.in_use)
        return step(rows_B2, memory=memory)

    reader.step.fn = watched
    outcomes = run_alone(reader.read_together, sources)
    assert isinstance(outcomes, list)
    for outcome, source in zip(outcomes, sources, strict=True):
        torch.testing.assert_close(outcome.value, whole(reader, source), rtol=1e-5, atol=1e-6)
        assert outcome.trace is not None and outcome.trace.cost.layers == len(source)
    assert in_use == [4, 3, 2, 1, 1] and reader.slots.in_use == 0


def test_cohorts_join_and_equal_one_by_one() -> None:
    reader = cell(num_first=2)
    items = numbers()
    cohorts = [items[:7], items[7:8], items[8:20]]
    outcomes = list(Engine(20).run(reader.read_together, cohorts))
    for outcome, source in zip(outcomes, items, strict=True):
        torch.testing.assert_close(outcome.value, whole(reader, source), rtol=1e-5, atol=1e-6)
    assert reader.step.calls == 7 and reader.slots.peak == 20


def test_the_members_of_a_failed_cohort_start_anew_with_slots_of_their_own() -> None:
    reader = cell()

    async def read(sources: list[Any]) -> list[Tensor]:
        values = await reader.read_together(sources)
        if any(source.number == 2 for source in sources):
            raise RuntimeError("two")
        return values

    outcomes = list(Engine(8).run(read, [numbers()[:4]]))
    assert [outcome.error is None for outcome in outcomes] == [True, True, False, True]
    for k in (0, 1, 3):
        torch.testing.assert_close(outcomes[k].value, whole(reader, numbers()[k]))
    assert reader.slots.in_use == 0


def test_two_stages_may_share_what_they_remember() -> None:
    slots = Slots(fixed={"total": torch.tensor(100.0)})

    def adding(factor: float) -> Any:
        def add(rows_B2: Tensor, *, memory: Memory) -> Tensor:
            memory.put("total", memory.take("total") + factor * rows_B2[:, 1])
            return memory.take("total")

        return add

    read_stage, skim_stage = Stage(adding(1), slots=slots), Stage(adding(0.5), slots=slots)

    async def read(source: Any) -> float:
        slot = read_stage.slot()
        for unit in range(len(source)):
            stage = skim_stage if unit % 2 else read_stage
            total = await stage(await source.read([unit]), slots=slot)
        return float(total)

    outcomes = Engine(4).run(read, [Numbers(k, 5) for k in range(6)])
    assert [outcome.value for outcome in outcomes] == [100 + 0 + 0.5 + 2 + 1.5 + 4] * 6


# How a slot is freed -----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["returns", "raises", "keeps", "lets_go", "frees_twice"])
def test_a_reader_that_ends_frees_its_slots_however(how: str) -> None:
    reader = cell()
    kept: list[Slot] = []
    in_use = []

    async def read(source: Any) -> Any:
        slot = reader.step.slot()
        await reader.step(await source.read([0]), slots=[slot])
        if how == "raises":
            raise ValueError("enough")
        if how == "keeps":
            kept.append(slot)
            return slot
        if how == "lets_go":
            slot = reader.step.slot()
            await reader.step(await source.read([0]), slots=[slot])
            in_use.append(reader.slots.in_use)
        if how == "frees_twice":
            slot.free()
            slot.free()
        return None

    outcomes = list(Engine(1).run(read, [Numbers(k) for k in range(3)]))
    assert [outcome.error is not None for outcome in outcomes] == [how == "raises"] * 3
    assert reader.slots.in_use == 0
    assert in_use == [1] * (3 if how == "lets_go" else 0)
    assert all(slot.freed for slot in kept) and len(kept) == (3 if how == "keeps" else 0)
    assert reader.slots.peak == 1  # what is let go of is there for the next


def test_slots_of_readers_that_are_cancelled_while_they_wait_are_free() -> None:
    reader = cell()
    held = threading.Event()

    async def read(source: Any) -> None:
        slot = reader.step.slot()
        await reader.step(torch.ones(1, 2), slots=[slot])
        await source.read([0])

    sources = [Numbers(0), *(Numbers(k, in_memory=False, before_read=held.wait) for k in (1, 2))]
    run = Engine(3, num_threads=1).run(read, sources, order="completed")
    assert next(run).index == 0
    assert reader.slots.in_use == 2
    held.set()
    run.close()  # type: ignore[attr-defined]  # run() is a generator
    assert reader.slots.in_use == 0


def test_an_interrupt_frees_the_slots() -> None:
    reader = cell()

    async def read(source: Any) -> None:
        await reader.step(await source.read([0]), slots=[reader.step.slot()])
        slot = reader.step.slot()
        await reader.step(await source.read([0]), slots=[slot])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(Engine(3).run(read, numbers()))
    assert reader.slots.in_use == 0 and reader.slots.peak >= 3


def test_a_slot_outside_of_an_engine_is_freed_when_nobody_has_it() -> None:
    reader = cell()
    slot = reader.step.slot()
    assert reader.slots.in_use == 0  # it takes memory when it is used
    reader.step.run([reader.step(torch.ones(1, 2), slots=slot)], count_macs=False)
    assert reader.slots.in_use == 1
    del slot
    gc.collect()
    assert reader.slots.in_use == 0


def test_a_slot_begins_with_first_values_whoever_had_its_memory_before() -> None:
    reader = cell(num_first=1)
    for source in (Numbers(9, 4), Numbers(1, 2)):
        outcome = run_alone(reader.read, source)
        assert isinstance(outcome, Outcome)
        torch.testing.assert_close(outcome.value, whole(reader, source))
    assert len(reader.slots.cells.starts) == 1


def test_a_first_value_is_the_one_that_was_declared() -> None:
    first = torch.tensor([1.0, 2.0])
    slots = Slots(fixed={"state": first}, num_first=2)
    stage = Stage(lambda rows, memory: memory.take("state"), slots=slots)
    first += 10
    for _ in range(3):  # memory that nobody had yet, and memory that is used again
        rows, held = torch.zeros(2, 1), [stage.slot(), stage.slot()]
        ((states,), _, _) = stage.run([stage(rows, slots=held)], count_macs=False)
        assert states.tolist() == [[1, 2], [1, 2]]


# What is refused ---------------------------------------------------------------------------------


def test_a_slot_is_used_by_one_reader_until_that_ends() -> None:
    reader = cell()
    shared = reader.step.slot()

    async def read(source: Any) -> float:
        for unit in range(2):
            await reader.step(await source.read([unit]), slots=[shared])
        return source.number

    outcomes = list(Engine(3).run(read, [Numbers(k) for k in range(3)]))
    assert outcomes[0].value == 0
    assert [type(outcome.error) for outcome in outcomes[1:]] == [SlotError, SlotError]
    assert "its own" in str(outcomes[1].error)
    (late,) = Engine(1).run(read, [Numbers(7)])
    assert isinstance(late.error, SlotError) and "freed" in str(late.error)
    assert reader.slots.in_use == 0


def test_calls_need_a_slot_of_the_stage_for_each_row() -> None:
    reader, other, rows = cell(), cell(), torch.ones(2, 2)
    slot = reader.step.slot()
    with pytest.raises(ValueError, match=r"needs slots=, one for each of 2 rows, not none"):
        reader.step(rows)
    with pytest.raises(ValueError, match=r"one for each of 2 rows, not 1"):
        reader.step(rows, slots=slot)
    with pytest.raises(ValueError, match=r"must be its own"):
        reader.step(rows, slots=[slot, other.step.slot()])
    with pytest.raises(SlotError, match=r"twice in one call"):
        reader.step.run([reader.step(rows, slots=[slot, slot])], count_macs=False)
    plain = Stage(nn.Identity())
    with pytest.raises(ValueError, match=r"remembers nothing"):
        plain(rows, slots=[slot, slot])
    with pytest.raises(ValueError, match=r"slots=Slots"):
        plain.slot()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "need a field"),
        ({"fixed": {"a": (1,)}, "growing": {"a": (1,)}}, r"fields \['a'\] are fixed and growing"),
        ({"fixed": {"a": (1,)}, "page_size": 0}, r"page_size \(0\) must be >= 1"),
        ({"fixed": {"a": (1,)}, "window": 0}, r"window \(0\) must be >= 1"),
        ({"fixed": {"a": (1,)}, "num_first": 0}, r"num_first \(0\) must be >= 1"),
        ({"fixed": {"a": 4}}, r"field 'a' \(4\) must be a shape"),
        ({"growing": {"a": "bcd"}}, r"field 'a' \('bcd'\) must be a shape"),
        ({"fixed": {"a": torch.ones(1, device="meta")}}, r"field 'a' .* with device='cpu'"),
    ],
)
def test_a_pool_that_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        Slots(**options)


# Company -----------------------------------------------------------------------------------------


def test_a_cohort_in_which_nobody_is_left_may_call_a_stage_that_remembers() -> None:
    reader = cell()

    async def read(source: Any) -> tuple[int, ...]:
        return tuple((await reader.step(torch.zeros(0, 2), slots=[])).shape)

    assert [outcome.value for outcome in Engine(2).run(read, [Numbers(0)])] == [(0, SIZE)]


def test_threads_share_a_stage() -> None:
    reader = cell(num_first=1)
    values: dict[int, list[Outcome]] = {}

    def work(number: int) -> None:
        values[number] = list(Engine(4).run(reader.read, numbers()))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for outcomes in values.values():
        for outcome, source in zip(outcomes, numbers(), strict=True):
            torch.testing.assert_close(outcome.value, whole(reader, source), rtol=1e-5, atol=1e-6)
    assert len(values) == 3 and reader.slots.in_use == 0


@pytest.mark.parametrize("by", [copy.deepcopy, lambda reader: pickle.loads(pickle.dumps(reader))])
def test_a_copied_model_has_an_empty_pool_of_its_own(by: Any) -> None:
    reader = cell()
    slot = reader.step.slot()
    reader.step.run([reader.step(torch.ones(1, 2), slots=slot)], count_macs=False)
    copied = by(reader)
    assert copied.slots is copied.step.slots is not reader.slots
    assert copied.slots.like is copied
    assert (copied.slots.in_use, reader.slots.in_use) == (0, 1)
    outcome = run_alone(copied.read, Numbers(3, 4))
    assert isinstance(outcome, Outcome)
    torch.testing.assert_close(outcome.value, whole(reader, Numbers(3, 4)))


def test_a_pool_follows_its_model_to_another_type_when_nobody_is_in_it() -> None:
    reader = cell()
    slot = reader.step.slot()
    reader.step.run([reader.step(torch.ones(1, 2), slots=slot)], count_macs=False)
    reader.double()
    rows = torch.ones(1, 2, dtype=torch.float64)
    with pytest.raises(SlotError, match="before the model moves"):
        reader.step.run([reader.step(rows, slots=reader.step.slot())], count_macs=False)
    slot.free()
    ((hidden,), _, _) = reader.step.run(
        [reader.step(rows, slots=reader.step.slot())], count_macs=False
    )
    assert hidden.dtype == torch.float64


def test_the_reader_in_the_documentation_runs() -> None:
    text = temporal.slots.__doc__ or ""
    code = textwrap.dedent(text[text.index("    class Cell") : text.index("`temporal.memory")])
    names: dict[str, Any] = {"nn": nn, "Slots": Slots, "Stage": Stage}
    exec(compile(code, "docstring", "exec"), names)
    reader = names["Cell"](2)
    first, second = Engine().run(reader.read, [Numbers(1, 3), Numbers(1, 3)])
    assert first.error is None and torch.equal(first.value, second.value)
    assert reader.step.slots.in_use == 0
