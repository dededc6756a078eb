"""The kernels' loops against NumPy, for lengths that are and are not whole vectors."""

from __future__ import annotations

import numpy as np
import pytest
from numba.core.errors import TypingError

from temporal.kernels.compiled import kernel
from temporal.kernels.vectors import (
    LANES,
    add,
    add_rows,
    dot,
    gru_update,
    keep_larger,
    lstm_update,
    set_row,
)

LENGTHS = [1, 10, LANES, LANES + 1, 3 * LANES, 100]


@kernel
def run_set_row(out, table, row):
    set_row(out, table, row)


@kernel
def run_add(out, x):
    add(out, x)


@kernel
def run_dot(x, y):
    return dot(x, y)


@kernel
def run_keep_larger(out, x, count):
    keep_larger(out, x, count)


@kernel
def run_add_rows(out, x, weight, first, last):
    add_rows(out, x, weight, first, last)


@kernel
def run_lstm_update(gates, stride, h, c, count):
    lstm_update(gates, stride, h, c, count)


@kernel
def run_gru_update(gates, stride, new, h, count):
    gru_update(gates, stride, new, h, count)


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32)


def sigmoid_of_half(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-2 * x.astype(np.float64)))


@pytest.mark.parametrize("length", LENGTHS)
def test_rows_are_copied_added_and_multiplied_and_nothing_beyond_them(length) -> None:
    table, x = numbers(3, length), numbers(length)
    out = numbers(length + LANES)
    want = out.copy()
    want[:length] = table[2]
    run_set_row(out, table, 2)
    np.testing.assert_array_equal(out, want)
    want[:length] += x
    run_add(out, x)
    np.testing.assert_array_equal(out, want)
    assert run_dot(x, out) == pytest.approx(float(x @ want[:length]), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("length", LENGTHS)
def test_the_larger_is_kept_and_so_is_nan_from_either_side(length) -> None:
    out, x = numbers(length + LANES), numbers(length + LANES)[::-1].copy()
    out[0], x[length // 2] = np.nan, np.nan
    want = out.copy()
    want[:length] = np.maximum(out, x)[:length]
    run_keep_larger(out, x, length)
    np.testing.assert_array_equal(out, want)
    assert np.isnan(out[[0, length // 2]]).all()


@pytest.mark.parametrize("vectors", [1, 3, 4, 9, 25, 39])
@pytest.mark.parametrize(("first", "last"), [(0, 7), (2, 5), (3, 3)])
def test_add_rows_is_a_product_with_some_rows(vectors, first, last) -> None:
    columns = vectors * LANES
    weight, x = numbers(7, columns), numbers(7)
    # What lies beyond the last column must stay as it is: a GRU keeps a gate's share there.
    out = numbers(columns + 5)
    want = out.copy()
    want[:columns] += x[first:last] @ weight[first:last]
    run_add_rows(out, x, weight, first, last)
    np.testing.assert_allclose(out, want, atol=1e-5)


@pytest.mark.parametrize("count", LENGTHS)
def test_an_lstm_updates_the_first_entries_and_leaves_the_others(count) -> None:
    stride = count + 3  # gates may lie apart
    gates, h, c = numbers(4 * stride), numbers(count + 20), numbers(count + 20)
    into, kept, out, new = (gates[k * stride :][:count] for k in range(4))
    want_c, want_h = c.copy(), h.copy()
    state = sigmoid_of_half(kept) * c[:count] + sigmoid_of_half(into) * np.tanh(new)
    want_c[:count] = state
    want_h[:count] = sigmoid_of_half(out) * np.tanh(state)
    run_lstm_update(gates, stride, h, c, count)
    np.testing.assert_allclose(c, want_c, atol=1e-6)
    np.testing.assert_allclose(h, want_h, atol=1e-6)


@pytest.mark.parametrize("count", LENGTHS)
def test_a_gru_updates_the_first_entries_and_leaves_the_others(count) -> None:
    stride, first_new = count + 3, 3 * (count + 3) + 2
    gates, h = numbers(first_new + count), numbers(count + 20)
    reset, update, hidden = (gates[k * stride :][:count] for k in range(3))
    new = np.tanh(gates[first_new:].astype(np.float64) + sigmoid_of_half(reset) * hidden)
    want = h.copy()
    want[:count] = new + sigmoid_of_half(update) * (h[:count] - new)
    run_gru_update(gates, stride, first_new, h, count)
    np.testing.assert_allclose(h, want, atol=1e-6)


def test_tanh_is_right_to_3e_7_for_numbers_of_any_size_and_keeps_nan() -> None:
    # With the output gate open and a closed input gate, h = tanh(c) of what was kept of c.
    values = np.concatenate([np.linspace(-30, 30, 100_001), [np.inf, -np.inf]]).astype(np.float32)
    size = len(values)
    gates = np.zeros(4 * size, np.float32)
    gates[:size], gates[size : 3 * size] = -30, 30
    h, c = np.zeros(size, np.float32), values.copy()
    run_lstm_update(gates, size, h, c, size)
    assert np.abs(h - np.tanh(values.astype(np.float64))).max() < 3e-7
    gates[3 * size - 1] = np.nan
    run_lstm_update(gates, size, h, c, size)
    assert np.isnan(h[-1]) and not np.isnan(h[:-1]).any()


@pytest.mark.parametrize("array", [np.zeros(8, np.float64), np.zeros(16, np.float32)[::2]])
def test_other_arrays_are_refused(array) -> None:
    with pytest.raises(TypingError, match="must be a C-contiguous array of float32"):
        run_add(np.zeros(8, np.float32), array)
