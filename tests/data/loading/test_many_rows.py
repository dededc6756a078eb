"""An epoch through 2 ranks x 2 workers, killed and taken up again: each row once, memory flat."""

from __future__ import annotations

import json
import multiprocessing
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from .rank_process import read_rank

RANKS, WORKERS = 2, 2


def run_ranks(table: Path, folder: Path, per_state: int, kill_after: int) -> list[dict]:
    """Run all ranks until they end, or are killed after so many batches; what they wrote."""
    context = multiprocessing.get_context("fork")  # as the workers of a DataLoader are
    started = [
        context.Process(
            target=read_rank, args=(table, folder, (rank, RANKS, WORKERS), per_state, kill_after)
        )
        for rank in range(RANKS)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join(600)
    assert {process.exitcode for process in started} <= {0, -signal.SIGKILL}
    return [json.loads((folder / f"state-{rank}.json").read_text()) for rank in range(RANKS)]


def check_epoch(table: Path, folder: Path, count: int, per_state: int, kills: list[int]) -> None:
    """Kill an epoch at some places, go on each time; what is left is what was not seen."""
    before = [0] * RANKS
    for kill_after in kills:
        told = run_ranks(table, folder, per_state, kill_after)
        for rank, part in enumerate(told):
            assert not part["whole"]
            assert len(part["seen"]) - before[rank] == kill_after // per_state * per_state * 16
            before[rank] = len(part["seen"])
        seen = [row for part in told for row in part["seen"]]
        assert len(set(seen)) == len(seen) < count
    told = run_ranks(table, folder, per_state, kill_after=-1)
    assert all(part["whole"] for part in told)
    assert sorted(row for part in told for row in part["seen"]) == list(range(count))


def test_an_epoch_that_is_killed_goes_on(many_rows: Callable[[int], Path], tmp_path: Path) -> None:
    check_epoch(many_rows(500), tmp_path, 500, per_state=2, kills=[5])


@pytest.mark.slow
def test_a_hundred_thousand_rows(many_rows: Callable[[int], Path], tmp_path: Path) -> None:
    count = 100_000
    table = many_rows(count)
    check_epoch(table, tmp_path, count, per_state=100, kills=[250, 777, 1234])
    for rank in range(RANKS):
        memory = json.loads((tmp_path / f"state-{rank}.json").read_text())["memory"]
        first, last = memory[:3], memory[-3:]
        # The list of rows seen that this test keeps is some MB itself.
        assert sum(last) / 3 - sum(first) / 3 < 24e6
