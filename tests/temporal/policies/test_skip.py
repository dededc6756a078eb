"""Decisions between reading and skimming, and what training pays for them."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from temporal.policies.skip import (
    READ,
    SKIM,
    accumulate_update,
    annealed_temperature,
    hard_decision,
    relaxed_decision,
    skim_loss,
    tokens_to_next_read,
)


def test_a_token_is_read_where_its_probability_exceeds_the_threshold() -> None:
    p_read = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9], dtype=torch.float64)
    logits = torch.stack([p_read, 1 - p_read], -1).log() + 5  # a common shift changes nothing
    for threshold in (0.2, 0.4, 0.6, 0.8):
        assert torch.equal(hard_decision(logits, threshold), p_read > threshold)
    assert hard_decision(logits).tolist() == [False, False, False, True, True]


def test_the_ends_of_the_threshold_read_everything_and_nothing() -> None:
    logits = torch.tensor([[-80.0, 80.0], [0.0, 0.0], [80.0, -80.0]])
    assert hard_decision(logits, 0.0).all()
    assert not hard_decision(logits, 1.0).any()


def test_a_relaxed_decision_is_a_sample_of_the_probabilities() -> None:
    """The larger entry is the Gumbel-max sample, so reading wins as often as its probability."""
    logits = torch.tensor([0.8, 0.2]).log().expand(20_000, 2)
    sample = relaxed_decision(logits, 0.5)
    torch.testing.assert_close(sample.sum(-1), torch.ones(20_000))
    share = (sample[:, READ] > sample[:, SKIM]).float().mean().item()
    assert abs(share - 0.8) < 4 * math.sqrt(0.8 * 0.2 / 20_000)


def test_a_cold_decision_is_hard_and_a_warm_one_passes_gradients() -> None:
    logits = torch.zeros(200, 2)
    assert (relaxed_decision(logits, 1e-3).amax(-1) > 0.99).float().mean() > 0.95
    warm = torch.zeros(200, 2, requires_grad=True)
    relaxed_decision(warm, 1.0)[:, READ].sum().backward()
    assert warm.grad is not None
    assert (warm.grad[:, READ] > 0).all()
    torch.testing.assert_close(warm.grad[:, READ], -warm.grad[:, SKIM])


def test_a_straight_through_decision_is_hard_with_the_soft_ones_gradients() -> None:
    logits = torch.tensor([0.6, 0.4]).log().repeat(200, 1)
    soft_logits, hard_logits = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    torch.manual_seed(3)
    soft = relaxed_decision(soft_logits, 0.7)
    torch.manual_seed(3)
    hard = relaxed_decision(hard_logits, 0.7, straight_through=True)
    torch.testing.assert_close(hard, F.one_hot(soft.argmax(-1), 2).to(hard))
    soft[:, READ].sum().backward()
    hard[:, READ].sum().backward()
    torch.testing.assert_close(hard_logits.grad, soft_logits.grad)


def test_the_same_seed_gives_the_same_sample() -> None:
    logits = torch.zeros(5, 2)
    torch.manual_seed(3)
    first = relaxed_decision(logits, 0.7)
    torch.manual_seed(3)
    assert torch.equal(first, relaxed_decision(logits, 0.7))


@pytest.mark.parametrize(
    ("step", "temperature"),
    [(0, 1.0), (1000, math.exp(-0.1)), (6931, 0.50003), (6932, 0.5), (10**6, 0.5)],
)
def test_the_temperature_falls_to_a_half_and_stays(step: int, temperature: float) -> None:
    assert annealed_temperature(step) == pytest.approx(temperature, abs=1e-4)


def test_the_schedule_can_be_faster_and_end_lower() -> None:
    assert annealed_temperature(2, rate=1.0, floor=0.01) == pytest.approx(math.exp(-2))
    assert annealed_temperature(50, rate=1.0, floor=0.01) == 0.01


def test_the_skim_loss_is_the_mean_surprise_of_skimming_over_real_tokens() -> None:
    p_skim = torch.tensor([[0.5, 0.25, 0.9], [0.1, 0.8, 0.8]])
    logits = torch.stack([1 - p_skim, p_skim], -1).log()
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    by_hand = -(math.log(0.5) + math.log(0.25) + math.log(0.1)) / 3
    assert skim_loss(logits, mask).item() == pytest.approx(by_hand)
    assert skim_loss(logits, torch.zeros_like(mask)).item() == 0  # not a division by zero


def test_updates_fall_due_as_increments_add_up_and_start_anew_after_a_read() -> None:
    due, read = torch.tensor([1.0, 0.2, 0.9]), torch.tensor([1.0, 0.0, 0.0])
    got = accumulate_update(due, read, torch.tensor([0.3, 0.3, 0.3]))
    torch.testing.assert_close(got, torch.tensor([0.3, 0.5, 1.0]))


@pytest.mark.parametrize("threshold", [0.0, 0.25, 0.5, 1.0])
def test_the_jump_is_where_the_increments_would_have_reached_the_threshold(threshold) -> None:
    for increment in (0.9, 0.51, 0.33, 0.07, 0.011):
        due, steps = torch.tensor([increment]), 1
        while due < threshold:
            due = accumulate_update(due, torch.zeros(1), torch.tensor([increment]))
            steps += 1
        assert tokens_to_next_read(torch.tensor([increment]), threshold).tolist() == [steps]
    assert tokens_to_next_read(torch.tensor([0.0]), 0.5).isinf().all()
