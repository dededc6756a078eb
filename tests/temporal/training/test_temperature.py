"""Temperature scaling, on logits whose right temperature is known."""

from __future__ import annotations

import pytest
import torch

from temporal.training.temperature import fit_temperatures


def honest(num_sources: int, num_classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits whose softmax is the truth, and labels drawn from it."""
    generator = torch.Generator().manual_seed(0)
    logits_NK = 2 * torch.randn(num_sources, num_classes, generator=generator)
    labels_N = torch.multinomial(logits_NK.softmax(-1), 1, generator=generator).squeeze(1)
    return logits_NK, labels_N


def gap(logits_NK: torch.Tensor, labels_N: torch.Tensor) -> float:
    """Between mean confidence and accuracy."""
    confidence_N, answers_N = logits_NK.softmax(-1).max(-1)
    return abs(float(confidence_N.mean() - (answers_N == labels_N).float().mean()))


def test_what_was_scaled_is_scaled_back_exit_by_exit() -> None:
    logits_NK, labels_N = honest(20_000)
    scales = [1.0, 3.0, 0.25]
    logits_NEK = torch.stack([scale * logits_NK for scale in scales], 1)
    temperatures = fit_temperatures(logits_NEK, labels_N)
    assert temperatures == pytest.approx(scales, rel=0.04)
    scaled = logits_NEK / torch.tensor(temperatures)[:, None]
    assert gap(logits_NEK[:, 1], labels_N) > 0.1
    assert gap(scaled[:, 1], labels_N) < 0.015
    assert torch.equal(scaled.argmax(-1), logits_NEK.argmax(-1))


def test_it_is_the_least_negative_log_likelihood() -> None:
    logits_NK, labels_N = honest(300)
    (best,) = fit_temperatures(logits_NK[:, None], labels_N)
    losses = [
        torch.nn.functional.cross_entropy(logits_NK.double() / t, labels_N).item()
        for t in (0.97 * best, best, 1.03 * best)
    ]
    assert losses[1] < min(losses[0], losses[2])


def test_exits_that_are_always_right_or_never_stay_in_range() -> None:
    logits = torch.tensor([[[5.0, 0.0]], [[0.0, 5.0]]])
    right, wrong = torch.tensor([0, 1]), torch.tensor([1, 0])
    assert fit_temperatures(logits, right) == pytest.approx([0.05])
    assert fit_temperatures(logits, wrong) == pytest.approx([20.0])
