"""What a stage's function sees of its rows' slots, and when what it stores counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from temporal.engine import Engine, Slots, Stage, run_alone
from temporal.memory import Memory
from temporal.packed import Packed
from temporal.rows import WrongRowsError

from .number_source import Numbers


def call(stage: Stage, rows: Any, slots: Any) -> Any:
    """Run a stage alone."""
    (result,), _, _ = stage.run([stage(rows, slots=slots)], count_macs=False)
    return result


def append(packed: Packed, *, memory: Memory) -> Tensor:
    """Store new units `[n, 2]`, and return the number of units and the sum over them."""
    memory.extend(packed.lengths)
    memory.write("seen", packed)
    seen = memory.read("seen")
    sums = torch.stack([part.sum(0) for part in seen.sequences()])
    return torch.cat([torch.tensor([[float(n)] for n in seen.lengths]), sums], 1)


def units(*numbers: float) -> Tensor:
    return torch.tensor([[number, -number] for number in numbers])


@pytest.mark.parametrize("page_size", [1, 2, 5])
def test_units_are_appended_row_by_row_and_read_in_order(page_size: int) -> None:
    seen: list[list[list[float]]] = []

    def look(packed: Packed, *, memory: Memory) -> Tensor:
        result = append(packed, memory=memory)
        rows = [[float(u[0]) for p in memory.pieces("seen", k) for u in p] for k in range(2)]
        assert rows == [part[:, 0].tolist() for part in memory.read("seen").sequences()]
        seen.append(rows)
        return result

    slots = Slots(growing={"seen": (2,)}, page_size=page_size, num_first=1)
    stage = Stage(look, slots=slots)
    first, second = stage.slot(), stage.slot()
    call(stage, Packed.of([units(1, 2, 3), units(7)]), [first, second])
    result = call(stage, Packed.of([units(4), units(8, 9)]), [first, second])
    assert seen == [[[1, 2, 3], [7]], [[1, 2, 3, 4], [7, 8, 9]]]
    assert result.tolist() == [[4, 10, -10], [3, 24, -24]]
    assert (first.length, second.length) == (4, 3)
    pages = -(-4 // page_size) + -(-3 // page_size)
    assert slots.pages_in_use == slots.pages.peak == pages


def test_rows_in_several_slabs_keep_their_order() -> None:
    def count(rows_B: Tensor, *, memory: Memory) -> Tensor:
        memory.put("count", memory.take("count") + 1)
        memory.put("last", rows_B)
        return memory.take("count")

    fixed = {"count": torch.tensor(5), "last": torch.tensor(0.5)}
    stage = Stage(count, slots=Slots(fixed=fixed, num_first=1))
    slots = [stage.slot() for _ in range(6)]
    call(stage, torch.arange(6.0), slots)
    assert stage.slots is not None and stage.slots.cells.starts == [0, 1, 2, 4]
    chosen = [slots[k] for k in (5, 0, 3)]
    assert call(stage, torch.tensor([50.0, 0.0, 30.0]), chosen).tolist() == [7, 7, 7]
    memory = Memory(stage.slots, slots, torch.device("cpu"))
    assert memory.take("count").tolist() == [7, 6, 6, 7, 6, 7]
    assert memory.take("last").tolist() == [0, 1, 2, 30, 4, 50]
    assert memory.take("count").dtype == torch.int64
    in_place = {
        row: float(tensor[inside[k]])
        for tensor, inside, which in memory.parts("last")
        for k, row in enumerate(which.tolist() if which is not None else range(6))
    }
    assert in_place == {0: 0, 1: 1, 2: 2, 3: 30, 4: 4, 5: 50}


@pytest.mark.parametrize("page_size", [1, 2, 3, 10])
@pytest.mark.parametrize("window", [1, 3, 4])
def test_a_window_keeps_the_last_units_and_no_more_pages(page_size: int, window: int) -> None:
    slots = Slots(growing={"seen": (2,)}, page_size=page_size, window=window, num_first=1)
    stage = Stage(append, slots=slots)
    slot = stage.slot()
    kept: list[float] = []
    for step in range(40):
        new = [float(step)] if step % 7 else [100.0 + step, 200.0 + step]
        result = call(stage, Packed.of([units(*new)]), slot)
        # A call sees the window before it, and what is new.
        assert result[0, :2].tolist() == [len(kept) + len(new), sum(kept) + sum(new)]
        kept = [*kept, *new][-window:]
    assert (slot.length, slot.start) == (46, 46 - window)
    assert slots.pages_in_use <= window // page_size + 2
    assert slots.pages.peak <= (window + 2) // page_size + 2


def test_a_stream_that_has_no_end_takes_no_more_memory() -> None:
    """Frames go by; the mean of the last four is what the stage says."""

    def mean_of_last(rows_B2: Tensor, *, memory: Memory) -> Tensor:
        memory.extend(1)
        memory.write("frames", rows_B2)
        frames = memory.read("frames").sequences()
        return torch.stack([part[-4:].mean(0) for part in frames])

    slots = Slots(growing={"frames": (2,)}, window=4, page_size=4)
    stage = Stage(mean_of_last, slots=slots)

    async def read(source: Any) -> list[float]:
        slot = stage.slot()
        return [
            float((await stage(await source.read([unit]), slots=slot))[0, 1])
            for unit in range(len(source))
        ]

    for outcome in Engine(3).run(read, [Numbers(k, 100 + k) for k in range(5)]):
        want = [sum(range(max(0, k - 3), k + 1)) / min(4, k + 1) for k in range(len(outcome.value))]
        assert outcome.value == want
    assert slots.pages.peak <= 3 * 3 and slots.pages_in_use == 0


def test_nothing_counts_before_the_call_has_succeeded() -> None:
    def fail_late(packed: Packed, *, memory: Memory) -> Tensor:
        result = append(packed, memory=memory)
        memory.put("total", memory.take("total") + result[:, 1])
        assert torch.equal(memory.take("total"), memory.take("total"))
        if (packed.values == 13).any():
            raise FloatingPointError("unlucky")
        if (packed.values == 17).any():
            return result[:-1]
        return torch.stack([result[:, 0], memory.take("total")], 1)

    slots = Slots(fixed={"total": ()}, growing={"seen": (2,)}, page_size=2, num_first=1)
    stage = Stage(fail_late, slots=slots)
    first, second = stage.slot(), stage.slot()
    call(stage, Packed.of([units(1), units(2)]), [first, second])
    pages = slots.pages_in_use
    for number, error in ((13, FloatingPointError), (17, WrongRowsError)):
        with pytest.raises(error):
            call(stage, Packed.of([units(3, 4, 5, 6), units(number)]), [first, second])
        assert (first.length, second.length, slots.pages_in_use) == (1, 1, pages)
    # Totals grow by all that is remembered: 1 + (1 + 3), and 2 + (2 + 4).
    assert call(stage, Packed.of([units(3), units(4)]), [first, second]).tolist() == [
        [2, 1 + 4],
        [2, 2 + 6],
    ]


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda m: m.write("seen", torch.ones(1, 2)), r"must be \[0, 2\], not \[1, 2\]"),
        (lambda m: m.read("seen"), r"extend\(\) first"),
        (lambda m: (m.extend(1), m.extend(1)), r"once in a call"),
        (lambda m: m.extend([1, 2]), r"a number >= 0 for each of 1 rows"),
        (lambda m: m.extend(-1), r"a number >= 0"),
        (lambda m: (m.extend(2), m.write("seen", torch.ones(1, 2))), r"one for each new unit"),
        (lambda m: m.write("total", torch.ones(1)), r"'total'\) must be a growing one: \['seen'\]"),
        (lambda m: m.pieces("sen", 0), r"'sen'\) must be a growing one"),
        (lambda m: m.take("seen"), r"'seen'\) must be a fixed one: \['total'\]"),
        (lambda m: m.put("total", torch.ones(2)), r"must be \[1\], not \[2\]: one for each row"),
    ],
)
def test_a_function_that_misuses_its_memory_is_told(
    use: Callable[[Memory], object], message: str
) -> None:
    def fn(rows: Tensor, *, memory: Memory) -> Tensor:
        use(memory)
        return rows

    stage = Stage(fn, slots=Slots(fixed={"total": ()}, growing={"seen": (2,)}))
    with pytest.raises(ValueError, match=message):
        call(stage, torch.ones(1, 2), stage.slot())


def test_values_are_kept_in_the_type_of_the_field() -> None:
    def fn(rows_B2: Tensor, *, memory: Memory) -> Tensor:
        memory.extend(1)
        memory.write("seen", rows_B2)
        memory.put("last", rows_B2)
        assert memory.take("last").dtype == torch.float64
        assert memory.read("seen").values.dtype == torch.bfloat16
        return rows_B2

    like = nn.Linear(1, 1, dtype=torch.float64)
    seen = torch.zeros(2, dtype=torch.bfloat16)
    slots = Slots(fixed={"last": (2,)}, growing={"seen": seen}, like=like)
    stage = Stage(fn, slots=slots)
    slot = stage.slot()
    call(stage, torch.full((1, 2), 0.1), slot)
    last = Memory(slots, [slot], torch.device("cpu")).take("last")
    assert last.dtype == torch.float64 and last.tolist() == [[torch.tensor(0.1).item()] * 2]


def test_what_is_stored_carries_no_gradient() -> None:
    weight = torch.ones(1, requires_grad=True)

    def fn(rows_B2: Tensor, *, memory: Memory) -> Tensor:
        memory.extend(1)
        memory.write("seen", rows_B2 * weight)
        memory.put("last", rows_B2 * weight)
        return memory.read("seen").values[:1]

    slots = Slots(fixed={"last": (2,)}, growing={"seen": (2,)})
    stage = Stage(fn, slots=slots)
    slot = stage.slot()
    for _ in range(2):  # with gradients, then inside of an engine's inference mode
        assert not call(stage, torch.ones(1, 2), slot).requires_grad
        with torch.inference_mode():
            call(stage, torch.ones(1, 2), slot)
    assert slot.length == 4


def test_the_macs_of_a_row_are_those_of_its_own_length_unless_the_function_pads() -> None:
    def attend(rows_B2: Tensor, *, memory: Memory) -> Tensor:
        memory.extend(1)
        memory.write("seen", rows_B2)
        products = zip(memory.read("seen").sequences(), rows_B2, strict=True)
        return torch.stack([(part @ row[:, None]).sum(0) for part, row in products])

    for pad, want in ((False, [2 * 3, 2 * 1]), (True, [2 * 3, 2 * 3])):
        stage = Stage(attend, slots=Slots(growing={"seen": (2,)}, window=2), pad=pad)
        first, second = stage.slot(), stage.slot()
        for _ in range(5):  # of which the window keeps two
            call(stage, torch.ones(1, 2), first)
        calls = [stage(torch.ones(1, 2), slots=slot) for slot in (first, second)]
        assert list(stage.run(calls, count_macs=True)[2]) == want
        assert (first.length, second.length) == (6, 1)  # counting leaves no trace in them


def test_a_kernel_that_counts_for_itself_is_warmed_up_beside_the_rows() -> None:
    def kernel(rows_B2: Tensor, *, memory: Memory) -> tuple[Tensor, Tensor]:
        memory.extend(1)
        memory.write("seen", rows_B2)
        lengths = torch.tensor(memory.read("seen").lengths)
        return lengths[:, None].float(), 10 * lengths

    stage = Stage(kernel, slots=Slots(growing={"seen": (2,)}), counts_macs=True)

    async def read(source: Any) -> float:
        slot = stage.slot()
        for unit in range(3):
            length = await stage(await source.read([unit]), slots=slot)
        return float(length)

    outcome = run_alone(read, Numbers(1))
    assert not isinstance(outcome, list) and outcome.value == 3
    assert outcome.trace is not None and outcome.trace.cost.macs == 10 + 20 + 30
