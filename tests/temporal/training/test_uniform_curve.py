"""A policy beside uniform frames: who is better, by how much, at what cost."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from temporal.models.video.pooling import mean_pool
from temporal.training.linear_probe import fit_linear
from temporal.training.uniform_curve import UniformCurve, compare, how_right, uniform_curve
from temporal.training.video_trainer import answer_scores, mean_average_precision


def test_between_two_numbers_clips_are_shared() -> None:
    curve = UniformCurve(counts=[1, 4], right=torch.tensor([[0.0, 1.0], [1.0, 1.0]]))
    assert curve.at(0.5).tolist() == [0.0, 1.0]
    assert curve.at(1).tolist() == [0.0, 1.0]
    assert curve.at(2).tolist() == [pytest.approx(1 / 3), 1.0]
    assert curve.at(4).tolist() == curve.at(9).tolist() == [1.0, 1.0]


def test_a_difference_counts_where_its_interval_does_not_hold_zero() -> None:
    uniform = torch.tensor([0.0] * 50 + [1.0] * 50)
    better = torch.tensor([1.0] * 20 + [0.0] * 30 + [1.0] * 50)
    found = compare(better, uniform, 2.5)
    assert (found.frames, found.accuracy, found.uniform_accuracy) == (2.5, 0.7, 0.5)
    spread = np.std([1] * 20 + [0] * 80, ddof=1)
    assert found.difference_interval == pytest.approx(
        (0.2 - 1.96 * spread / 10, 0.2 + 1.96 * spread / 10)
    )
    assert found.verdict == "better"
    assert compare(uniform, better, 2.5).verdict == "worse"
    assert compare(uniform, uniform, 2.5).verdict == "no better"
    assert compare(uniform[:1], better[:1], 1.0).verdict == "no better"


def test_uniform_frames_are_taken_in_time_whatever_the_order() -> None:
    """Only the frame in the middle of the time tells the class: 1 uniform frame finds it."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 2
    features = torch.randn(60, 5, 4, generator=generator)
    times = torch.tensor([0.9, 0.1, 0.5, 0.3, 0.7]).expand(60, -1)
    features[:, 2, 0] = labels * 6.0 - 3.0
    parts = ((features[:40], features[40:]), (times[:40], times[40:]), (labels[:40], labels[40:]))
    curve = uniform_curve(*parts, 2, mean_pool, counts=(1, 2, 8))
    assert curve.counts == [1, 2, 5]
    assert curve.right[0].mean() == 1.0
    assert curve.right[1].mean() < 0.9  # of 5 frames the second and the fourth


def test_the_probe_is_the_optimum() -> None:
    """Its gradient is zero, with weights of classes and of decay."""
    torch.manual_seed(0)
    states, labels = torch.randn(80, 3), torch.randint(0, 3, (80,))
    weights = torch.tensor([1.0, 2.0, 0.5])
    probe = fit_linear(states, labels, 3, class_weights=weights, decay=0.1)
    weight = probe.weight.clone().requires_grad_(True)
    logits = (states - probe.mean) / probe.scale @ weight + probe.bias
    loss = torch.nn.functional.cross_entropy(logits, labels, weight=weights, reduction="none")
    (gradient,) = torch.autograd.grad(loss.mean() + 0.1 * weight.square().sum(), weight)
    assert gradient.abs().max() < 1e-3
    torch.testing.assert_close(logits.detach(), probe(states))
    several = torch.nn.functional.one_hot(labels, 3).float()
    assert fit_linear(states, several, 3)(states).shape == (80, 3)


def test_average_precision_by_hand() -> None:
    """Right ones at ranks 1 and 3 of 4: (1/1 + 2/3) / 2; a class without any is left out."""
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    labels = np.array([[1, 0], [0, 0], [1, 0], [0, 0]])
    assert mean_average_precision(scores, labels) == pytest.approx((1 + 2 / 3) / 2)
    ties = np.zeros((4, 1))
    assert mean_average_precision(ties, labels[:, :1]) == pytest.approx(0.5)
    found = answer_scores(np.array([[1.0, -1.0]]), np.array([[1.0, 1.0]]))
    assert found == {"mean_average_precision": 1.0, "accuracy": 0.5}
    both = torch.tensor([[1.0, -1.0]])
    assert how_right(both, torch.tensor([[1.0, 1.0]])).tolist() == [0.5]
    assert how_right(both, torch.tensor([0])).tolist() == [1.0]
