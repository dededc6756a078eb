"""Sets drawn without replacement: their probabilities by hand, by counting, and by gradients."""

from __future__ import annotations

import itertools

import pytest
import torch

from temporal.policies import sets
from temporal.policies.sets import sample_set, sequence_log_probability, set_log_probability


def test_a_sequence_by_hand() -> None:
    # 1/2, then 1/3 of what is left: 1/5 * 2; the other way 0.3 * 0.5 / 0.7.
    logits = torch.tensor([[0.5, 0.3, 0.2]]).log()
    there = sequence_log_probability(logits, torch.tensor([[0, 1]])).exp()
    back = sequence_log_probability(logits, torch.tensor([[1, 0]])).exp()
    torch.testing.assert_close(there, torch.tensor([0.5 * 0.3 / 0.5]))
    torch.testing.assert_close(back, torch.tensor([0.3 * 0.5 / 0.7]))
    both = set_log_probability(logits, torch.tensor([[1, 0]])).exp()
    torch.testing.assert_close(both, there + back)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_a_set_is_the_sum_over_all_orders(k: int) -> None:
    logits = 2 * torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    drawn = sample_set(logits, k)
    orders = [drawn[:, list(order)] for order in itertools.permutations(range(k))]
    by_order = torch.stack([sequence_log_probability(logits, order) for order in orders])
    want, got = by_order.logsumexp(0), set_log_probability(logits, drawn)
    torch.testing.assert_close(got, want)
    (want_slope,) = torch.autograd.grad(want.sum(), logits)
    (slope,) = torch.autograd.grad(got.sum(), logits)
    torch.testing.assert_close(slope, want_slope)


def test_all_sets_of_a_size_add_up_to_one() -> None:
    logits = torch.randn(1, 5, dtype=torch.float64)
    all_sets = torch.tensor(list(itertools.combinations(range(5), 3)))
    total = set_log_probability(logits.expand(len(all_sets), -1), all_sets).exp().sum()
    torch.testing.assert_close(total, torch.ones_like(total))


def test_taking_everything_is_certain_and_has_no_slope() -> None:
    logits = torch.randn(2, 4, requires_grad=True)
    whole = set_log_probability(logits, torch.tensor([[2, 0, 1, 3]] * 2))
    torch.testing.assert_close(whole, torch.zeros(2), atol=1e-6, rtol=0)
    (slope,) = torch.autograd.grad(whole.sum(), logits)
    torch.testing.assert_close(slope, torch.zeros(2, 4), atol=1e-6, rtol=0)


def test_large_sets_have_the_probability_of_their_order(monkeypatch) -> None:
    monkeypatch.setattr(sets, "MOST_EXACT", 2)
    logits = torch.randn(1, 5)
    drawn = torch.tensor([[3, 1, 0]])
    want = sequence_log_probability(logits, drawn)
    torch.testing.assert_close(set_log_probability(logits, drawn), want)


def test_draws_come_as_often_as_they_are_probable() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.2]]).log()
    drawn = sample_set(logits.expand(20_000, -1), 2)
    assert (drawn[:, 0] != drawn[:, 1]).all()
    share = ((drawn[:, 0] == 1) & (drawn[:, 1] == 0)).double().mean()
    assert abs(share - 0.3 * 0.5 / 0.7) < 0.015
