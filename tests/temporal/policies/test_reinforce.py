"""Estimators of the gradient of an expected return, against the exact one."""

from __future__ import annotations

import math

import pytest
import torch

from temporal.policies.reinforce import (
    baseline_loss,
    contrastive_stop_loss,
    discounted_returns,
    entropy,
    policy_loss,
    record_gains,
    right_margin,
    right_or_likely,
    right_or_wrong,
    sample,
    stop_log_probabilities,
)


def test_a_sample_follows_the_softmax_and_knows_its_probability() -> None:
    logits = torch.tensor([0.7, 0.1, 0.2]).log() + 3
    action, log_p = sample(logits.expand(20_000, 3))
    counts = torch.bincount(action, minlength=3) / 20_000
    assert counts.tolist() == pytest.approx([0.7, 0.1, 0.2], abs=0.015)
    assert log_p.exp().tolist() == pytest.approx(
        torch.tensor([0.7, 0.1, 0.2])[action].tolist(), abs=1e-6
    )


def test_entropy_of_known_distributions() -> None:
    logits = torch.tensor([[0.0, 0.0, 0.0, 0.0], [50.0, 0.0, 0.0, 0.0]])
    assert entropy(logits).tolist() == pytest.approx([math.log(4), 0.0], abs=1e-6)


@pytest.mark.parametrize("baseline", [0.0, 0.4, -7.0])
def test_over_two_actions_the_estimate_is_the_exact_gradient(baseline) -> None:
    """p = sigmoid(w): the expected return is p r_1 + (1 - p) r_0, its gradient p(1-p)(r_1-r_0)."""
    w = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    returns = torch.tensor([-1.0, 2.0], dtype=torch.float64)
    log_p = torch.stack([torch.zeros_like(w), w]).log_softmax(-1)
    estimate = 0.0
    for action in (0, 1):
        loss = policy_loss(
            log_p[action : action + 1],
            returns[action : action + 1],
            torch.tensor([baseline], dtype=torch.float64),
            1,
        )
        (gradient,) = torch.autograd.grad(loss, w, retain_graph=True)
        estimate += log_p[action].exp().item() * gradient.item()
    p = torch.sigmoid(w).item()
    assert estimate == pytest.approx(-p * (1 - p) * 3.0)


def test_a_baseline_learns_the_mean_return_and_takes_nothing_from_the_policy() -> None:
    baseline = torch.zeros(4, requires_grad=True)
    returns = torch.tensor([1.0, -1.0, 1.0, 1.0], requires_grad=True)
    baseline_loss(baseline, returns).backward()
    assert baseline.grad.tolist() == [-0.5, 0.5, -0.5, -0.5]
    assert returns.grad is None
    log_p = torch.zeros(4, requires_grad=True)
    policy_loss(log_p, returns, baseline, 2).backward()
    assert log_p.grad.tolist() == [-0.5, 0.5, -0.5, -0.5]
    assert baseline.grad.tolist() == [-0.5, 0.5, -0.5, -0.5] and returns.grad is None
    assert baseline_loss(baseline[:0], returns[:0]) == 0


def test_an_answer_is_right_or_wrong() -> None:
    logits = torch.tensor([[2.0, 1.0], [2.0, 1.0], [0.0, 1.0]])
    assert right_or_wrong(logits, torch.tensor([0, 1, 1])).tolist() == [1.0, -1.0, 1.0]


def test_a_wrong_answer_is_worth_the_probability_of_the_right_one() -> None:
    logits = torch.tensor([[0.6, 0.4], [0.6, 0.4]]).log()
    assert right_or_likely(logits, torch.tensor([0, 1])).tolist() == pytest.approx([1.0, 0.4])


def test_where_a_reading_stops() -> None:
    """Points 0, 2 and the last, which is 3 in the first row and 1 in the second."""
    stop = torch.tensor([0.2, 0.9, 0.5, 0.1]).logit().expand(2, 4)
    may_stop = torch.tensor([True, False, True, False]).expand(2, 4)
    log_p = stop_log_probabilities(stop, may_stop, torch.tensor([3, 1]))
    want = [[0.2, 0.0, 0.8 * 0.5, 0.8 * 0.5], [0.2, 0.8, 0.0, 0.0]]
    assert log_p.exp().tolist() == [pytest.approx(row) for row in want]


def test_the_contrastive_loss_is_reinforce_over_all_endings() -> None:
    stop = torch.tensor([[0.3, -0.4, 0.0], [1.0, 0.2, 0.0]], requires_grad=True)
    reward = torch.tensor([[0.0, 0.9, 0.8], [0.7, 0.0, 0.0]])
    every = torch.ones(2, 3, dtype=torch.bool)
    log_p = stop_log_probabilities(stop, every, torch.tensor([2, 2]))
    (got,) = torch.autograd.grad(contrastive_stop_loss(log_p, reward), stop, retain_graph=True)
    p = log_p.exp().detach()
    baseline = (p * reward).sum(1, keepdim=True)
    reinforce = -(p * log_p * (reward / baseline - 1)).sum(1).mean()
    (want,) = torch.autograd.grad(reinforce, stop, retain_graph=True)
    torch.testing.assert_close(got, want)
    nothing_right = contrastive_stop_loss(log_p, torch.zeros(2, 3))
    assert not torch.autograd.grad(nothing_right, stop)[0].any()


def test_the_margin_is_the_lead_of_the_right_class() -> None:
    logits = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3]]).log()
    assert right_margin(logits, torch.tensor([0, 2])).tolist() == pytest.approx([0.3, -0.2])
    odds = torch.tensor([[0.9, 0.4, 0.7], [0.5, 0.5, 0.1]]).logit()
    several = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    assert right_margin(odds, several).tolist() == pytest.approx([0.65 - 0.7, -0.5])


def test_a_gain_is_what_beats_all_before() -> None:
    worth = torch.tensor([[0.1, 0.4, 0.2, 0.5], [0.3, 0.3, 0.2, 0.1]])
    assert record_gains(worth)[0].tolist() == pytest.approx([0.3, 0.0, 0.1])
    assert record_gains(worth)[1].tolist() == [0.0, 0.0, 0.0]


def test_returns_are_what_follows_discounted() -> None:
    rewards = torch.tensor([[1.0, 0.0, 2.0]])
    assert discounted_returns(rewards, 0.5).tolist() == [[1.5, 1.0, 2.0]]
    assert discounted_returns(torch.zeros(2, 0), 0.5).shape == (2, 0)
