"""The handle on a source writes down what its reader did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from temporal.engine import Engine, Outcome, run_alone
from temporal.handle import Handle
from temporal.source import Source
from temporal.trace import Cost


class Film:
    """Five frames; decoding one decodes all those before it."""

    id, unit, colour = "film", "frame", "sepia"

    def __init__(self, *, in_memory: bool = True, opens: bool = True) -> None:
        self.in_memory, self.opens = in_memory, opens
        self.spent = Cost(frames_decoded=100)  # by an earlier reading
        self.asked: list[tuple[list[int], dict[str, Any]]] = []

    def __len__(self) -> int:
        if not self.opens:
            raise OSError("no such film")
        return 5

    def cost(self, units: Sequence[int]) -> Cost:
        return Cost(frames_decoded=max(units) + 1)

    def read(self, units: Sequence[int], **options: Any) -> torch.Tensor:
        self.asked.append((list(units), options))
        self.spent += self.cost(units)
        return torch.tensor(units)


def read_with(read: Any, film: Film) -> Outcome:
    outcome = run_alone(read, film)
    assert isinstance(outcome, Outcome)
    return outcome


def test_the_fake_is_a_source() -> None:
    assert isinstance(Film(), Source)


def test_reads_are_noted_in_order_and_their_cost_counted() -> None:
    film = Film(in_memory=False)

    async def read(video: Handle) -> list[int]:
        assert (len(video), video.colour, video.cost([2]).frames_decoded) == (5, "sepia", 3)
        first = await video.read([3, 1], size=(8, 8))
        second = await video.read([0])
        return [*first.tolist(), *second.tolist()]

    outcome = read_with(read, film)
    assert outcome.value == [3, 1, 0]
    assert film.asked == [([3, 1], {"size": (8, 8)}), ([0], {})]
    trace = outcome.trace
    assert trace is not None and trace.read == (3, 1, 0)
    assert (trace.unit, trace.units_total, trace.halted, trace.exit) == ("frame", 5, False, None)
    assert trace.cost.frames_decoded == 4 + 1  # and not the hundred of before


def test_what_is_in_memory_was_paid_when_it_was_made() -> None:
    async def read(video: Handle) -> None: ...

    trace = read_with(read, Film(in_memory=True)).trace
    assert trace is not None and trace.cost.frames_decoded == 100


def test_a_reader_that_peeks_notes_for_itself() -> None:
    async def read(video: Handle) -> None:
        await video.peek(range(5))
        video.note(read=[0, 4], skimmed=[1])
        video.note(skimmed=[2], halted_at=2, exit=1, num_exits=3)

    trace = read_with(read, Film()).trace
    assert trace is not None
    assert (trace.read, trace.skimmed, trace.halted_at) == ((0, 4), (1, 2), 2)
    assert (trace.exit, trace.num_exits, trace.halted) == (1, 3, True)


def test_opening_is_awaited_and_reads_nothing() -> None:
    film = Film(in_memory=False)

    async def read(video: Handle) -> int:
        return await video.open()

    outcome = read_with(read, film)
    assert outcome.value == 5 and film.asked == []
    assert outcome.trace is not None and outcome.trace.read == ()


def test_a_source_that_does_not_open_has_an_error_and_no_trace() -> None:
    async def read(video: Handle) -> None:
        await video.open()

    for in_memory in (True, False):
        outcome = read_with(read, Film(in_memory=in_memory, opens=False))
        assert str(outcome.error) == "no such film" and outcome.trace is None


def test_a_failed_read_is_not_noted_as_read() -> None:
    class Scratched(Film):
        def read(self, units: Sequence[int], **options: Any) -> torch.Tensor:
            if 2 in units:
                raise OSError("scratched")
            return super().read(units)

    async def read(video: Handle) -> int:
        await video.read([0])
        try:
            await video.read([2])
        except OSError as error:
            video.fail(error)
        return 1

    (outcome,) = Engine(2).run(read, [Scratched(in_memory=False)])
    assert outcome.trace is not None and outcome.trace.read == (0,)
    assert (outcome.value, outcome.error, str(outcome.fault)) == (1, None, "scratched")
