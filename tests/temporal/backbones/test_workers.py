"""Pieces of a batch side by side: each by one thread, in order, and seen by who counts."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from temporal.backbones.workers import beside, map_rows
from temporal.macs import count_macs


@pytest.fixture(autouse=True)
def threads() -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield 3
    torch.set_num_threads(before)


def test_each_piece_once_in_order_by_one_thread() -> None:
    seen: list[tuple[str, int]] = []

    def double(x: Tensor) -> Tensor:
        seen.append((threading.current_thread().name, torch.get_num_threads()))
        return 2 * x

    results = map_rows(double, torch.arange(10.0).split(1))
    assert torch.cat(results).tolist() == [2.0 * k for k in range(10)]
    assert len(seen) == 10 and {count for _, count in seen} == {1}
    assert torch.get_num_threads() == 3
    assert beside(torch.get_num_threads) == 1
    # What begins later has the caller's number, not the workers'.
    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [3]


def test_one_piece_is_run_here_by_all_threads() -> None:
    where: list[tuple[int, int]] = []

    def note(x: Tensor) -> Tensor:
        where.append((threading.get_ident(), torch.get_num_threads()))
        return x

    map_rows(note, [torch.zeros(1)])
    assert where == [(threading.get_ident(), 3)]


def test_what_is_counted_is_run_here() -> None:
    x, weight = torch.ones(6, 4), torch.ones(4, 5)
    results, macs = count_macs(map_rows, lambda piece: piece @ weight, x.split(2))
    assert len(results) == 3 and macs == 6 * 4 * 5


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_results_are_as_the_callers_mode_makes_them(mode: type) -> None:
    with mode():
        for y in map_rows(lambda x: x + 1, torch.zeros(4).split(1)):
            assert y.is_inference() == (mode is torch.inference_mode)


def test_an_error_reaches_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        map_rows(lambda x: x if 1 // int(x) else x, torch.tensor([1.0, 0.0, 1.0]).split(1))
    assert len(map_rows(lambda x: x, torch.ones(3).split(1))) == 3


def test_more_workers_are_started_for_more_threads() -> None:
    map_rows(lambda x: x, torch.zeros(6).split(1))
    torch.set_num_threads(5)
    meet = threading.Barrier(5)

    def wait(x: Tensor) -> Tensor:
        meet.wait(30)
        return x

    assert len(map_rows(wait, torch.zeros(5).split(1))) == 5


def _in_a_fork(queue: multiprocessing.queues.SimpleQueue[float]) -> None:
    queue.put(float(torch.cat(map_rows(lambda x: x + 1, torch.zeros(4).split(1))).sum()))


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="processes are not forked here"
)
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_starts_its_own() -> None:
    map_rows(lambda x: x, torch.zeros(4).split(1))
    fork = multiprocessing.get_context("fork")
    queue = fork.SimpleQueue()
    process = fork.Process(target=_in_a_fork, args=(queue,))
    process.start()
    process.join(60)
    assert not process.is_alive() and process.exitcode == 0 and queue.get() == 4.0
