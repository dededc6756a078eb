"""Tables that follow the weights, and sequences over threads."""

from __future__ import annotations

import copy
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import torch

from temporal.kernels import threads
from temporal.kernels.compiled import kernel
from temporal.kernels.table_cache import TableCache
from temporal.kernels.threads import run_in_threads
from temporal.kernels.turns import next_turn


def take_all(left: list[int], done: list[int]) -> Callable[[], None]:
    """Work that is done when nothing is left."""

    def run() -> None:
        while left:
            with suppress(IndexError):
                done.append(left.pop())

    return run


@kernel
def count_turns(turns: Any, taken: Any) -> None:
    while True:
        s = next_turn(turns)
        if s < 0:
            break
        taken[s] += 1


def test_every_sequence_is_taken_once_whoever_takes_it() -> None:
    """Without an atomic count, threads that begin together take some sequences twice."""
    order = np.random.default_rng(0).permutation(100_000)
    for _ in range(20):
        turns, taken = np.concatenate([[0], order]), np.zeros(100_000, np.int64)
        together = threading.Barrier(2, timeout=60)

        def run(turns=turns, taken=taken, together=together) -> None:
            together.wait()
            count_turns(turns, taken)

        run_in_threads(run, 2)
        assert (taken == 1).all()
    count_turns(turns, taken)  # one that is late
    assert (taken == 1).all()


def test_sequences_are_taken_in_their_order() -> None:
    turns = np.array([0, 2, 0, 1])
    assert [next_turn(turns) for _ in range(5)] == [2, 0, 1, -1, -1]


def test_a_kernel_lets_go_of_the_turns() -> None:
    turns, taken = np.zeros(3, np.int64), np.zeros(1, np.int64)
    before = sys.getrefcount(turns)
    count_turns(turns, taken)
    assert sys.getrefcount(turns) == before


def test_what_fails_in_a_thread_fails_here() -> None:
    both = threading.Barrier(2, timeout=60)
    here = threading.get_ident()

    def run() -> None:
        both.wait()
        if threading.get_ident() != here:
            raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        run_in_threads(run, 2)


def test_a_failure_here_waits_for_the_other_threads() -> None:
    begun, over = threading.Event(), []
    here = threading.get_ident()

    def run() -> None:
        if threading.get_ident() == here:
            assert begun.wait(60)
            raise RuntimeError("no memory")
        begun.set()
        time.sleep(0.05)
        over.append(True)

    with pytest.raises(RuntimeError, match="no memory"):
        run_in_threads(run, 2)
    assert over


def test_a_thread_that_is_late_is_not_waited_for() -> None:
    run_in_threads(lambda: None, 2)  # now there is a pool
    come = threading.Event()
    busy = threads._pools[2].submit(come.wait, 60)
    by = []
    try:
        run_in_threads(lambda: by.append(threading.get_ident()), 2)
    finally:
        come.set()
    assert busy.result()
    assert by == [threading.get_ident()]


def test_without_threads_to_be_had_this_one_does_all(monkeypatch) -> None:
    class Pool:
        def submit(self, work: object) -> None:
            raise RuntimeError("can't start new thread")

    monkeypatch.setitem(threads._pools, 3, Pool())
    done: list[int] = []
    run_in_threads(take_all([0, 1, 2, 3], done), 3)
    assert sorted(done) == [0, 1, 2, 3]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_threads_work_again_after_a_fork() -> None:
    run_in_threads(lambda: None, 2)  # now there is a pool
    child = os.fork()
    if not child:
        done: list[int] = []
        run_in_threads(take_all([0, 1], done), 2)
        os._exit(0 if sorted(done) == [0, 1] else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_tables_are_made_anew_when_a_weight_changes_and_copies_share_them() -> None:
    layer, cache, made = torch.nn.Linear(2, 2), TableCache(), []

    def make() -> int:
        made.append(1)
        return len(made)

    assert [cache.get(layer, make), cache.get(layer, make)] == [1, 1]
    with torch.no_grad():
        layer.weight.mul_(2)
    assert cache.get(layer, make) == 2
    cache.forget()
    assert cache.get(layer, make) == 3
    assert copy.deepcopy(cache) is cache
    assert pickle.loads(pickle.dumps(cache)).get(layer, make) == 4
