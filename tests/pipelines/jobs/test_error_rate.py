"""`max_error_rate`: a run that is mostly errors stops by itself, and can be gone on with."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch.distributed as dist

from temporal.pipelines.jobs.error_rate import ErrorRate
from temporal.pipelines.jobs.job import run
from temporal.pipelines.jobs.manifest import RunManifest
from temporal.pipelines.jobs.sharing.board import Board
from temporal.pipelines.jobs.sharing.shared_run import run_shared
from temporal.pipelines.jobs.store.ledger import read_rows

from ..fake_pipe import FakeItem, FakePipe


def items(marks: str) -> Iterator[FakeItem]:
    """A text for each `.`; for `e` and `g` a bad input, with one reason or the other."""
    reasons = {"e": "empty_input", "g": "gone"}
    for i, mark in enumerate(marks):
        if mark == ".":
            yield FakeItem(id=f"item-{i}", value="a word")
        else:
            error = SimpleNamespace(reason=reasons[mark], message=f"item {i} is bad")
            yield FakeItem(id=f"item-{i}", error=error)


def read(output: Path, marks: str, rate: float | None, **options: Any) -> Any:
    pipe = FakePipe()
    summary = run(
        pipe, items(marks), output, progress=False, max_error_rate=rate, rows_per_part=8, **options
    )
    return summary, pipe.handed_out


def test_more_errors_than_are_borne_stop_the_run_once_100_inputs_are_read(tmp_path: Path) -> None:
    marks = "." + "g" * 9 + "e" * 90 + "." * 100  # 99 of the first 100
    summary, handed_out = read(tmp_path, marks, 0.98)
    assert (summary.stopped, summary.exit_code) == (True, 4)
    ids = [row["id"] for row in read_rows(tmp_path)]
    assert ids == handed_out == [f"item-{i}" for i in range(100)]  # all that was read is there
    assert summary.too_many_errors.startswith(
        "99 of the 100 inputs read by this run have an error, more than max_error_rate (0.98) "
        "bears: 90 have empty_input, the first is item-10: item 10 is bad; what was read is "
        "committed: "
    )
    assert "--max-error-rate" in summary.too_many_errors and "--resume" in summary.too_many_errors


def test_what_was_read_before_does_not_stop_a_run_that_is_gone_on_with(tmp_path: Path) -> None:
    marks = "e" * 100 + "." * 150
    assert read(tmp_path, marks, 0.5)[0].exit_code == 4
    summary, handed_out = read(tmp_path, marks, 0.5, resume=True)
    assert (summary.stopped, summary.too_many_errors, summary.exit_code) == (False, None, 3)
    assert handed_out == [f"item-{i}" for i in range(100, 250)]
    read(tmp_path / "at-once", marks, None)
    assert [row["id"] for row in read_rows(tmp_path)] == [
        row["id"] for row in read_rows(tmp_path / "at-once")
    ]


@pytest.mark.parametrize(
    ("marks", "rate"),
    [
        ("e" * 300, None),
        ("e" * 300, 1.0),
        ("e" * 99, 0.0),  # too few to judge by
        ("e" * 99 + "." * 100, 0.99),  # 99 of 100 are not more than that
        ("." * 9 + ".........e" * 30, 0.1),
        ("e" * 100, 0.5),  # nothing is left to stop before
    ],
)
def test_runs_that_are_not_stopped(tmp_path: Path, marks: str, rate: float | None) -> None:
    summary, _ = read(tmp_path, marks, rate)
    assert (summary.inputs, summary.too_many_errors, summary.exit_code) == (len(marks), None, 3)


def test_inputs_that_are_left_out_count(tmp_path: Path) -> None:
    summary, handed_out = read(tmp_path, "." + "e" * 200, 0.9, on_error="skip")
    assert (summary.exit_code, summary.skipped, len(handed_out)) == (4, 99, 100)


@pytest.mark.parametrize("rate", [-0.1, 1.5, float("nan")])
def test_what_is_no_share_is_refused(tmp_path: Path, rate: float) -> None:
    with pytest.raises(ValueError, match="max_error_rate .* must be >= 0 and <= 1"):
        read(tmp_path / "out", "...", rate)
    assert not (tmp_path / "out").exists()


def test_ranks_count_together() -> None:
    store = dist.HashStore()
    rates = [ErrorRate(0.5, Board(store, rank, 2)) for rank in range(2)]
    good: dict[str, Any] = {"id": "good", "error_reason": None}
    bad = {"id": "bad", "error_reason": "gone", "error_message": "it is"}
    for _ in range(49):
        rates[0].add(good)
    for _ in range(50):
        rates[1].add(bad)
    assert [rate.told_of_all() for rate in rates] == [None, None]  # 50 of 99
    rates[0].add(good)
    assert [rate.told_of_all() for rate in rates] == [None, None]  # 50 of 100
    rates[1].add(bad)
    told = rates[0].told_of_all()
    assert told is not None and told.startswith("51 of the 101 inputs")
    assert "51 have gone, the first is bad: it is" in told and rates[1].told == told


def test_a_rank_stops_all_and_another_run_does_the_rest(tmp_path: Path) -> None:
    marks = "e" * 160 + "." * 400

    def read_by_two(**options: Any) -> Any:
        store = dist.HashStore()
        with ThreadPoolExecutor(2) as threads:
            futures = [
                threads.submit(
                    run_shared,
                    FakePipe(0.001),
                    items(marks),
                    tmp_path,
                    Board(store, rank, 2),
                    manifest=RunManifest(task="text-classification", model="fake"),
                    progress=False,
                    max_error_rate=0.6,
                    rows_per_part=4,
                    **options,
                )
                for rank in range(2)
            ]
        (summary,) = [future.result() for future in futures if future.result() is not None]
        return summary

    summary = read_by_two()
    assert summary.stopped and summary.exit_code == 4
    assert "empty_input, the first is item-" in summary.too_many_errors
    before = len(list(read_rows(tmp_path)))
    assert 100 <= before < len(marks)
    summary = read_by_two(resume=True)
    assert (summary.inputs, summary.error, summary.exit_code) == (len(marks), 160, 3)
    assert len({row["id"] for row in read_rows(tmp_path)}) == len(marks)
