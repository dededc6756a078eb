"""A stage joins calls, pads them where it may, and gives each caller its own rows."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from temporal.engine import Stage
from temporal.packed import Packed


def test_joined_calls_get_their_own_rows() -> None:
    stage = Stage(lambda x: (2 * x, x.sum(1)), name="double")
    first, second = torch.rand(2, 3), torch.rand(5, 3)
    results, seconds, macs = stage.run([stage(first), stage(second)], count_macs=True)
    assert torch.equal(results[0][0], 2 * first) and torch.equal(results[1][0], 2 * second)
    assert torch.equal(results[1][1], second.sum(1))
    assert (stage.calls, stage.rows, stage.seconds, macs) == (1, 7, seconds, [0.0] * 7)
    assert repr(stage) == "Stage(double, calls=1, rows=7)"


def test_a_stage_may_count_its_own_macs_row_by_row() -> None:
    stage = Stage(lambda x: (2 * x, (10 * x.sum(1)).long()), counts_macs=True)
    first, second = torch.ones(2, 3), torch.full((1, 3), 2.0)
    results, _, macs = stage.run([stage(first), stage(second)], count_macs=True)
    assert torch.equal(results[1], torch.full((1, 3), 4.0)) and macs == [30, 30, 60]


def test_only_calls_of_one_shape_and_type_join_and_order_is_kept() -> None:
    stage = Stage(lambda x: x)
    calls = [
        stage(torch.zeros(2, 3)),
        stage(torch.zeros(2, 4)),
        stage(torch.zeros(1, 3)),
        stage(torch.zeros(1, 3, dtype=torch.float64)),
        stage(torch.zeros(3, 3)),
        stage(torch.zeros(1, 3)),
    ]
    assert stage.take_batch(calls, None) == [calls[0], calls[2], calls[4], calls[5]]
    # The third would make six rows; the fourth still fits.
    assert stage.take_batch(calls, 4) == [calls[0], calls[2], calls[5]]
    assert stage.take_batch(calls, 1) == [calls[0]]


def masked_attention(hidden_BTD: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
    """Something that would notice padding: each token looks at all, then a mean over tokens."""
    scores = hidden_BTD @ hidden_BTD.transpose(1, 2)
    weights = scores.masked_fill(mask_BT[:, None] == 0, -torch.inf).softmax(-1)
    hidden_BTD = weights @ hidden_BTD
    mask = mask_BT[..., None].to(hidden_BTD)
    return hidden_BTD, (hidden_BTD * mask).sum(1) / mask.sum(1)


def test_padding_joins_lengths_and_changes_no_result() -> None:
    stage = Stage(masked_attention, pad=True)
    lengths = [3, 7, 5]
    inputs = [
        (torch.randn(n, length, 4), torch.ones(n, length, dtype=torch.long))
        for n, length in zip([2, 1, 4], lengths, strict=True)
    ]
    calls = [stage(*args) for args in inputs]
    assert stage.take_batch(calls, None) == calls
    results, _, _ = stage.run(calls, count_macs=False)
    assert (stage.calls, stage.rows) == (1, 7)
    for (hidden, pooled), args in zip(results, inputs, strict=True):
        alone = masked_attention(*args)
        assert hidden.shape == args[0].shape  # the padding does not travel on
        torch.testing.assert_close(hidden, alone[0])
        torch.testing.assert_close(pooled, alone[1])


def test_without_padding_lengths_do_not_join() -> None:
    stage = Stage(masked_attention)
    calls = [stage(torch.zeros(1, length, 4), torch.ones(1, length)) for length in (3, 4, 3)]
    assert stage.take_batch(calls, None) == [calls[0], calls[2]]


def test_a_padded_result_as_wide_as_the_padding_but_no_sequence() -> None:
    """One logit for each of 7 classes must not be cut to a caller's 3 tokens."""
    stage = Stage(lambda ids_BT: torch.ones(len(ids_BT), 7), pad=True)
    results, _, _ = stage.run([stage(torch.zeros(1, 3)), stage(torch.zeros(1, 7))], count_macs=True)
    assert [result.shape[1] for result in results] == [7, 7]


def test_macs_are_counted_once_for_each_shape_and_scale_with_the_rows() -> None:
    calls = 0

    def product(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return x @ torch.ones(x.shape[1], 4)

    stage = Stage(product)
    assert stage.macs_per_row is None
    assert sum(stage.run([stage(torch.zeros(2, 3))], count_macs=True)[2]) == 2 * 12
    assert sum(stage.run([stage(torch.zeros(5, 3))], count_macs=True)[2]) == 5 * 12
    assert stage.macs_per_row == 12
    assert sum(stage.run([stage(torch.zeros(5, 6))], count_macs=True)[2]) == 5 * 24
    assert stage.macs_per_row is None  # rows of two widths cost differently
    assert calls == 3  # counting repeats nothing


def test_the_fixed_time_of_a_batch_is_read_off_a_line() -> None:
    stage = Stage(lambda x: x)
    assert stage.fixed_seconds == 0
    stage._best_seconds = {4: 0.010}
    assert stage.fixed_seconds == 0  # one point is no line
    stage._best_seconds = {1: 0.005, 16: 0.020}  # 4 ms and 1 ms a row
    assert stage.fixed_seconds == pytest.approx(0.004)
    stage._best_seconds = {1: 0.001, 16: 0.020}
    assert stage.fixed_seconds == 0  # never negative


def test_the_name_is_the_functions() -> None:
    assert Stage(masked_attention).name == "masked_attention"
    assert Stage(torch.nn.Linear(1, 1)).name == "Linear"


def attention_of_each(hidden: Packed) -> tuple[Packed, Tensor]:
    """Something whose cost is quadratic in the length of each sequence, and linear in its width."""
    parts = [part @ part.T @ part for part in hidden.sequences()]
    return Packed.of(parts), torch.stack([part.sum(0) for part in parts])


def test_packed_sequences_join_without_padding() -> None:
    stage = Stage(attention_of_each)
    inputs = [Packed.of([torch.randn(n, 4) for n in lengths]) for lengths in [(3, 7), (5,), (2, 2)]]
    calls = [stage(packed) for packed in inputs]
    assert stage.take_batch(calls, None) == calls
    assert stage.take_batch(calls, 3) == calls[:2]  # rows are sequences
    results, _, macs = stage.run(calls, count_macs=True)
    assert (stage.calls, stage.rows) == (1, 5)
    for (parts, sums), packed in zip(results, inputs, strict=True):
        want, want_sums = attention_of_each(packed)
        assert parts.lengths == packed.lengths
        torch.testing.assert_close(parts.values, want.values)
        torch.testing.assert_close(sums, want_sums)
    assert list(macs) == [2 * 4 * n * n for n in (3, 7, 5, 2, 2)]


def test_a_function_that_pads_packed_sequences_costs_as_the_longest() -> None:
    stage = Stage(attention_of_each, pad=True)
    packed = Packed.of([torch.randn(3, 4), torch.randn(7, 4)])
    assert list(stage.run([stage(packed)], count_macs=True)[2]) == [2 * 4 * 7 * 7] * 2


def test_packed_sequences_and_plain_rows_travel_together() -> None:
    stage = Stage(lambda hidden, weight: hidden.values.sum(0) * weight)
    calls = [stage(Packed.of([torch.ones(n, 4)]), torch.ones(1, 4)) for n in (2, 3)]
    assert stage.take_batch(calls, None) == calls
    wider = stage(Packed.of([torch.ones(2, 5)]), torch.ones(1, 4))
    assert stage.take_batch([*calls, wider], None) == calls
