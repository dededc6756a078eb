"""Whose turn it is among stages that calls wait for."""

from __future__ import annotations

import torch

from temporal.engine import Stage
from temporal.stage import StageCall
from temporal.stage_queue import StageQueue


def call(stage: Stage, num_rows: int) -> StageCall:
    awaited = stage(torch.zeros(num_rows, 1)).__await__()
    made = next(awaited)
    assert isinstance(made, StageCall)
    return made


def test_the_longest_goes_first_and_nobody_waits_for_ever() -> None:
    """Readers that begin wait for `start`; the others go round, and never come to it."""
    start, step = Stage(lambda x: x, name="start"), Stage(lambda x: x, name="step")
    queue = StageQueue()
    queue.add("new", call(start, 2))
    for turn in range(2):
        queue.add("old", call(step, 3))
        assert queue.longest() == (step, 3)
        assert queue.overdue() is None, turn
        batch, readers = queue.take(step, None)
        assert (len(batch), readers) == (1, ["old"])
    queue.add("old", call(step, 3))
    assert queue.overdue() is start  # two batches ran, of two stages there are
    assert queue.take(start, None)[1] == ["new"]
    assert queue.overdue() is None


def test_rows_that_others_join_go_on_waiting() -> None:
    shallow, deep = Stage(lambda x: x, name="shallow"), Stage(lambda x: x, name="deep")
    queue = StageQueue()
    for _ in range(5):  # each batch of the one leaves a row to the other
        queue.add("text", call(deep, 1))
        queue.add("text", call(shallow, 8))
        assert queue.overdue() is None
        queue.take(shallow, None)
    assert queue.longest() == (deep, 5)
