"""The building blocks of the kernels against NumPy, and sequences over threads."""

from __future__ import annotations

import copy
import os
import pickle

import numpy as np
import pytest
import torch

from temporal.kernels.compiled import LANES, add_rows, kernel, tanh
from temporal.kernels.table_cache import TableCache
from temporal.kernels.threads import run_in_threads, share_out


@kernel
def tanh_of(values):
    for i in range(len(values)):
        values[i] = tanh(values[i])


@kernel
def add(out, x, weight, first, last):
    add_rows(out, x, weight, first, last)


def test_tanh_is_right_to_3e_7_and_keeps_nan() -> None:
    values = np.linspace(-30, 30, 100_001).astype(np.float32)
    got = values.copy()
    tanh_of(got)
    assert np.abs(got - np.tanh(values.astype(np.float64))).max() < 3e-7
    broken = np.array([np.nan, np.inf, -np.inf], np.float32)
    tanh_of(broken)
    assert np.isnan(broken[0]) and broken[1:] == pytest.approx([1, -1])


@pytest.mark.parametrize("columns", [LANES, 3 * LANES, 4 * LANES, 9 * LANES])
@pytest.mark.parametrize(("first", "last"), [(0, 7), (2, 5), (3, 3)])
def test_add_rows_is_a_product_with_some_rows(columns, first, last) -> None:
    random = np.random.default_rng(0)
    weight = random.standard_normal((7, columns), np.float32)
    x = random.standard_normal(7, np.float32)
    # What lies beyond the last column must stay as it is: a GRU keeps a gate's share there.
    out = random.standard_normal(columns + 5, np.float32)
    want = out.copy()
    want[:columns] += x[first:last] @ weight[first:last]
    add(out, x, weight, first, last)
    np.testing.assert_allclose(out, want, atol=1e-5)


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
