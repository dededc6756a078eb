"""Gradients through hard decisions, and losses that hold their number to a target.

Bengio et al., "Estimating or Propagating Gradients Through Stochastic Neurons" (arXiv 1308.3432):
the forward pass takes the step, the backward pass a smooth stand-in for it.
"""

from __future__ import annotations

from torch import Tensor


def straight_through_step(x: Tensor, threshold: float = 0.5) -> Tensor:
    """1 where `x >= threshold`, else 0, with the gradient of `x` itself.

    Rounding, for x in [0, 1] and the threshold 0.5.
    """
    return (x >= threshold).to(x) + (x - x.detach())


def target_loss(share_BT: Tensor, mask_BT: Tensor, target: float) -> Tensor:
    """The squared distance of a mean over the tokens that exist from its target. A scalar."""
    return ((share_BT * mask_BT).sum() / mask_BT.sum() - target) ** 2
