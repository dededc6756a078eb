"""Tables that follow the weights, and sequences over threads."""

from __future__ import annotations

import copy
import os
import pickle
import threading

import pytest
import torch

from temporal.kernels import threads
from temporal.kernels.table_cache import TableCache
from temporal.kernels.threads import run_in_threads, share_out


def test_every_sequence_is_in_one_group_and_groups_are_of_about_equal_length() -> None:
    lengths = [900, 30, 500, 470, 10, 410]
    groups = share_out(lengths, 2)
    assert sorted(k for group in groups for k in group) == list(range(6))
    totals = [sum(lengths[k] for k in group) for group in groups]
    assert max(totals) <= 4 / 3 * sum(lengths) / 2  # the bound of longest-first (Graham, 1969)
    assert share_out([5, 5], 2) == [[0, 1]]  # not worth a second thread
    assert share_out([500], 8) == [[0]]


def test_what_fails_in_a_thread_fails_here() -> None:
    done = []

    def run(group: list[int]) -> None:
        if 1 in group:
            raise RuntimeError("sequence 1")
        done.extend(group)

    with pytest.raises(RuntimeError, match="sequence 1"):
        run_in_threads(run, [1000, 1000, 1000], 3)
    assert sorted(done) == [0, 2]


def test_a_thread_that_is_late_is_not_waited_for() -> None:
    lengths = [1000] * 8
    run_in_threads(lambda group: None, lengths, 2)  # now there is a pool
    come = threading.Event()
    busy = threads._pools[2].submit(come.wait, 60)
    by: dict[int, list[int]] = {}

    def run(group: list[int]) -> None:
        by.setdefault(threading.get_ident(), []).extend(group)

    try:
        run_in_threads(run, lengths, 2)
    finally:
        come.set()
    assert {who: sorted(which) for who, which in by.items()} == {
        threading.get_ident(): list(range(8))
    }
    assert busy.result()


def test_without_threads_to_be_had_this_one_does_all(monkeypatch) -> None:
    class Pool:
        def submit(self, work: object) -> None:
            raise RuntimeError("can't start new thread")

    monkeypatch.setitem(threads._pools, 3, Pool())
    done: list[int] = []
    run_in_threads(done.extend, [1000] * 4, 3)
    assert sorted(done) == [0, 1, 2, 3]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_threads_work_again_after_a_fork() -> None:
    run_in_threads(lambda group: None, [1000, 1000], 2)  # now there is a pool
    child = os.fork()
    if not child:
        seen: list[int] = []
        run_in_threads(seen.extend, [1000, 1000], 2)
        os._exit(0 if sorted(seen) == [0, 1] else 1)
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
