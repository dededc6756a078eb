"""Which tokens of a text go on to the next layer, by how much attention they received.

B texts, T tokens of the longest; scores are `[B, T]`, and a mask says which tokens are there. The
tokens that must stay have infinite scores.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def ranks(scores_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """The place of each token among those of its text, the largest score first: int64 `[B, T]`.

    Of equal scores the earlier token comes first.
    """
    scores_BT = scores_BT.masked_fill(~mask_BT, -math.inf)
    order_BT = scores_BT.argsort(stable=True, dim=1, descending=True)
    places_BT = torch.arange(scores_BT.shape[1], device=scores_BT.device).expand_as(order_BT)
    return torch.empty_like(order_BT).scatter_(1, order_BT, places_BT)


def most_significant(scores_BT: Tensor, mask_BT: Tensor, counts_B: Tensor) -> Tensor:
    """PoWER-BERT's extract layer: so many tokens of each text, those with the largest scores.

    Goyal et al., "PoWER-BERT" (ICML 2020), section 3.2.

    Returns:
        Bool `[B, T]`.
    """
    return (ranks(scores_BT, mask_BT) < counts_B[:, None]) & mask_BT


def kept_counts(kept: float, totals_B: Tensor) -> Tensor:
    """How many tokens a schedule keeps of texts of so many: int64 `[B]`.

    Args:
        kept: up to 1 a share of the text, rounded up; above 1 a number of tokens.
        totals_B: tokens of each text before any was dropped.
    """
    if kept > 1:
        return totals_B.clamp(max=math.ceil(kept))
    # A share that is 2 / 3 in floats must keep 2 of 3, not 3.
    return (totals_B * kept - 1e-4).ceil().long().clamp(min=1)


def soft_threshold(scores_BT: Tensor, threshold: Tensor, temperature: float) -> Tensor:
    """LTP's soft mask: `sigmoid((score - threshold) / temperature)`, in (0, 1).

    Kim et al., "Learned Token Pruning for Transformers" (KDD 2022), equation 7. The lower the
    temperature, the nearer it is to `score > threshold`.
    """
    return ((scores_BT - threshold) / temperature).sigmoid()
