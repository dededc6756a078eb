"""Where to look next."""

from __future__ import annotations

import math

import pytest
import torch

from temporal.policies.location import nearest_free, sample_place


def test_places_are_drawn_about_the_means_and_stay_inside() -> None:
    torch.manual_seed(0)
    mean = torch.full((40_000,), 0.1, requires_grad=True)
    place, log_p = sample_place(mean, 0.2)
    assert place.min() == 0 and place.max() <= 1 and not place.requires_grad
    share_below = float((place <= 0.3).double().mean())
    assert share_below == pytest.approx(0.5 * (1 + math.erf(1 / 2**0.5)), abs=0.01)
    assert float((place == 0).double().mean()) == pytest.approx(0.3085, abs=0.01)  # of -0.5 sigma
    inside = int((place > 0).nonzero()[0])
    distance = (place[inside].item() - 0.1) / 0.2
    by_hand = math.exp(-(distance**2) / 2) / (0.2 * math.sqrt(2 * math.pi))
    assert log_p[inside].item() == pytest.approx(math.log(by_hand), abs=1e-4)


def test_the_estimate_is_the_gradient_of_the_expected_reward() -> None:
    """Of the place itself, far from the edges: d E[place] / d mean = 1."""
    torch.manual_seed(0)
    mean = torch.full((200_000,), 0.5, requires_grad=True)
    place, log_p = sample_place(mean, 0.1)
    (log_p * (place - 0.5)).sum().backward()
    assert mean.grad is not None
    assert float(mean.grad.mean()) == pytest.approx(1.0, abs=0.02)


def test_the_nearest_that_is_free_is_taken_and_of_two_the_first() -> None:
    places = torch.tensor([[0.1, 0.3, 0.5, 0.9]]).expand(4, -1)
    free = torch.ones(4, 4, dtype=torch.bool)
    free[1, 1] = False
    free[3, :3] = False
    wish = torch.tensor([0.32, 0.32, 0.4, 0.0])
    assert nearest_free(wish, places, free).tolist() == [1, 2, 1, 3]
