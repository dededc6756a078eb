"""How much of a unit to compute: decisions between a cheap and a full computation.

Training samples a decision and lets gradients through a relaxation of it; inference takes the
likelier one, or moves the threshold to read more or less than was trained.

B sources; choice 0 is to read, choice 1 is to skim (or skip).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

READ, SKIM = 0, 1


def relaxed_decision(
    logits_B2: Tensor, temperature: float, *, straight_through: bool = False
) -> Tensor:
    """A Gumbel-softmax sample: a choice `[B, 2]` whose rows sum to 1, with gradients.

    Jang et al., "Categorical Reparameterization with Gumbel-Softmax" (ICLR 2017), as used by
    Skim-RNN (Seo et al., ICLR 2018), section 3.2. Uses torch's global generator.

    Args:
        logits_B2: of reading and of skimming.
        temperature: the lower, the harder the choice.
        straight_through: make the choice hard and keep the soft one's gradients (section 2.2 of
            Jang et al.), so that training computes what inference does.
    """
    return F.gumbel_softmax(logits_B2, tau=temperature, hard=straight_through, dim=-1)


def hard_decision(logits_B2: Tensor, read_threshold: float = 0.5) -> Tensor:
    """Where to read: a bool `[B]`, true where the probability of reading exceeds the threshold.

    Where it is NaN, too, so that broken weights are not passed over.
    """
    return ~(logits_B2[..., READ] - logits_B2[..., SKIM] <= read_logit(read_threshold))


def read_weight(
    logits_B2: Tensor,
    read_threshold: float = 0.5,
    *,
    sampled: bool,
    temperature: float = 1.0,
    straight_through: bool = True,
) -> Tensor:
    """How much of the full computation each unit gets, `[B]`, of the logits' type.

    Args:
        logits_B2: of reading and of skimming.
        read_threshold: see `hard_decision`; not used where decisions are sampled.
        sampled: draw a `relaxed_decision` (training), rather than take the `hard_decision`.
        temperature, straight_through: of the `relaxed_decision`.
    """
    if not sampled:
        return hard_decision(logits_B2, read_threshold).to(logits_B2)
    choice_B2 = relaxed_decision(logits_B2, temperature, straight_through=straight_through)
    return choice_B2[:, READ]


def annealed_temperature(step: int, *, rate: float = 1e-4, floor: float = 0.5) -> float:
    """`max(floor, exp(-rate * step))`, the schedule of Skim-RNN (section 4)."""
    return max(floor, math.exp(-rate * step))


def read_over_skim(layer: nn.Linear) -> tuple[Tensor, Tensor]:
    """The one logit that a decision needs, of a layer `[D -> 2]`: weight `[D]` and bias `[]`.

    How much more there is to say for reading than for skimming.
    """
    return layer.weight[READ] - layer.weight[SKIM], layer.bias[READ] - layer.bias[SKIM]


def read_logit(probability: float) -> float:
    """The logit of a read threshold: infinite at 0 (minus) and at 1."""
    if probability <= 0:
        return -math.inf
    if probability >= 1:
        return math.inf
    return math.log(probability) - math.log1p(-probability)


def skim_loss(logits_BT2: Tensor, mask_BT: Tensor) -> Tensor:
    """The mean of `-log p(skim)` over the tokens that exist (Skim-RNN, equation 5). A scalar."""
    loss_BT = -logits_BT2.log_softmax(-1)[..., SKIM]
    return (loss_BT * mask_BT).sum() / mask_BT.sum().clamp(min=1)


def accumulate_update(update_B: Tensor, was_read_B: Tensor, increment_B: Tensor) -> Tensor:
    """How due the next update is (Skip RNN, Campos et al., ICLR 2018, equation 4), in [0, 1].

    Args:
        update_B: how due this token's update was.
        was_read_B: 1 where it was read, which starts anew, and 0 where it was skipped.
        increment_B: what the state adds with each token.
    """
    grown_B = update_B + torch.minimum(increment_B, 1 - update_B)
    return torch.lerp(grown_B, increment_B, was_read_B)


def tokens_to_next_read(increment_B: Tensor, read_threshold: float = 0.5) -> Tensor:
    """How far to jump: the first n >= 1 at which n increments reach the threshold.

    While tokens are skipped, the state and so its increment stay as they are, so that the jump is
    known before it (Skip RNN, section 3.1).

    Returns:
        Of the increments' shape and type, infinite where they are 0.
    """
    return (read_threshold / increment_B).ceil().clamp(min=1)


__all__ = [
    "READ",
    "SKIM",
    "accumulate_update",
    "annealed_temperature",
    "hard_decision",
    "read_logit",
    "read_over_skim",
    "read_weight",
    "relaxed_decision",
    "skim_loss",
    "tokens_to_next_read",
]
