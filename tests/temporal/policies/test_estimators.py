"""The step and its gradient."""

from __future__ import annotations

import pytest
import torch

from temporal.policies.estimators import (
    annealed_slope,
    hard_sigmoid,
    straight_through_step,
    target_loss,
)


def test_the_step_is_hard_and_its_gradient_passes_straight_through() -> None:
    x = torch.tensor([0.0, 0.1, 0.3, 0.5, 0.7, 1.0], requires_grad=True)
    assert straight_through_step(x).tolist() == [0, 0, 0, 1, 1, 1]
    assert straight_through_step(x, 0.2).tolist() == [0, 0, 1, 1, 1, 1]
    weights = torch.arange(6.0)
    (straight_through_step(x) * weights).sum().backward()
    assert x.grad is not None and torch.equal(x.grad, weights)


def test_the_target_loss_counts_tokens_that_exist() -> None:
    share = torch.tensor([[1.0, 0.0, 1.0], [0.5, 9.0, 9.0]])
    mask = torch.tensor([[1, 1, 1], [1, 0, 0]])
    assert target_loss(share, mask, 0.5).item() == pytest.approx((2.5 / 4 - 0.5) ** 2)


def test_the_hard_sigmoid_is_a_line_between_0_and_1_that_steepens() -> None:
    x = torch.tensor([-3.0, -0.5, 0.0, 0.5, 3.0])
    assert hard_sigmoid(x).tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert hard_sigmoid(x, 2.0).tolist() == [0, 0, 0.5, 1, 1]
    slopes = [annealed_slope(step, rate=0.04, most=5.0) for step in (0, 25, 100, 1000)]
    assert slopes == pytest.approx([1, 2, 5, 5])
