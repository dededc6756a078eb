"""A linear classifier of fixed vectors: what a learned policy is held against.

N rows, P width, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LinearProbe:
    """Logits are `(states - mean) / scale @ weight + bias`."""

    mean: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor

    def __call__(self, states_NP: Tensor) -> Tensor:
        """Logits `[N, K]`."""
        return (states_NP.float() - self.mean) / self.scale @ self.weight + self.bias


def fit_linear(
    states_NP: Tensor,
    labels: Tensor,
    num_labels: int,
    *,
    class_weights: Tensor | None = None,
    decay: float = 0.18,
    steps: int = 60,
) -> LinearProbe:
    """Fit by L-BFGS on standardised vectors: the problem is convex, and has one solution.

    Args:
        states_NP: float.
        labels: int64 `[N]`, or 0 and 1 `[N, K]` of several labels at a time.
        num_labels: K.
        class_weights: `[K]`.
        decay: weight of the sum of the squared weights in the loss.
        steps: iterations at most.
    """
    states_NP = states_NP.detach().float()
    mean, scale = states_NP.mean(0), states_NP.std(0, unbiased=False).clamp(min=1e-5)
    x_NP = (states_NP - mean) / scale
    with torch.inference_mode(False), torch.enable_grad():
        x_NP = x_NP.clone()
        weight = torch.zeros(x_NP.shape[1], num_labels, requires_grad=True)
        bias = torch.zeros(num_labels, requires_grad=True)
        optimizer = torch.optim.LBFGS([weight, bias], max_iter=steps, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimizer.zero_grad()
            logits = x_NP @ weight + bias
            if labels.ndim == 2:
                losses = F.binary_cross_entropy_with_logits(
                    logits, labels.float(), weight=class_weights, reduction="none"
                )
            else:
                losses = F.cross_entropy(logits, labels, weight=class_weights, reduction="none")
            loss = losses.mean() + decay * weight.square().sum()
            loss.backward()
            return loss

        optimizer.step(closure)
    return LinearProbe(mean=mean, scale=scale, weight=weight.detach(), bias=bias.detach())
