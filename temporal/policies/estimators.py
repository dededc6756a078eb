"""Gradients through hard decisions, and losses that hold their number to a target.

Bengio et al., "Estimating or Propagating Gradients Through Stochastic Neurons" (arXiv 1308.3432):
the forward pass takes the step, the backward pass a smooth stand-in for it.
"""

from __future__ import annotations

import torch
from torch import Tensor


def straight_through_step(x: Tensor, threshold: float = 0.5) -> Tensor:
    """1 where `x >= threshold`, else 0, with the gradient of `x` itself.

    Rounding, for x in [0, 1] and the threshold 0.5.
    """
    return (x >= threshold).to(x) + (x - x.detach())


def hard_sigmoid(x: Tensor, slope: float = 1.0) -> Tensor:
    """`max(0, min(1, (slope * x + 1) / 2))` (HM-RNN, Chung et al., ICLR 2017, equation 8)."""
    return ((slope * x + 1) / 2).clamp(0, 1)


def target_loss(share_BT: Tensor, mask_BT: Tensor, target: float) -> Tensor:
    """The squared distance of a mean over the tokens that exist from its target. A scalar."""
    return ((share_BT * mask_BT).sum() / mask_BT.sum() - target) ** 2


def annealed_slope(step: int, *, rate: float, most: float) -> float:
    """`min(most, 1 + rate * step)`: how steep a relaxation has become (HM-RNN, section 2.3)."""
    return min(most, 1 + rate * step)


def prefix_mask(share_B: Tensor, size: int, sharpness: float | None) -> Tensor:
    """1 for the first `ceil(share * size)` entries of a state (at least one), else 0: `[B, size]`.

    Jernite et al., "Variable Computation in Recurrent Neural Networks" (ICLR 2017), section 3.2.

    Args:
        share_B: in [0, 1].
        size: entries.
        sharpness: of the sigmoid that stands in for the step, with gradients (equation 6, whose
            rounding of values near 0 and 1 is left out); None: the step.
    """
    distance = share_B[:, None] * size - torch.arange(size, device=share_B.device)
    if sharpness is not None:
        return (sharpness * distance).sigmoid()
    mask = (distance > 0).to(share_B)
    mask[:, 0] = 1
    return mask
