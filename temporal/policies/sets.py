"""Sets drawn without replacement: how to draw one, and how probable it is.

A set is drawn unit after unit by a softmax over those that are left (Plackett & Luce). The
probability of a set is the sum over all orders in which it may come; over subsets instead of orders
that takes `2^k` steps and not `k!`.

B sources, N units, K of them drawn.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

MOST_EXACT = 10
"""Units up to which the probability of a set is summed over all orders."""


def sample_set(logits_BN: Tensor, k: int) -> Tensor:
    """Draw k units of each row without replacement, int64 `[B, k]`, in the order of drawing.

    Uses torch's global generator: the k highest logits after noise of Gumbel's distribution (Kool
    et al., "Stochastic Beams and Where to Find Them", ICML 2019).
    """
    noise_BN = -torch.empty_like(logits_BN).exponential_().log()
    return (logits_BN.detach() + noise_BN).topk(k, dim=-1).indices


def sequence_log_probability(logits_BN: Tensor, drawn_BK: Tensor) -> Tensor:
    """The log of the probability of drawing these units in this order, `[B]`, with gradients."""
    drawn_logits_BK = logits_BN.gather(1, drawn_BK)
    rest_B = _rest(logits_BN, drawn_BK).logsumexp(-1)
    left_BK = torch.cat([drawn_logits_BK, rest_B[:, None]], 1).flip(1).logcumsumexp(1).flip(1)
    return (drawn_logits_BK - left_BK[:, :-1]).sum(1)


def set_log_probability(logits_BN: Tensor, drawn_BK: Tensor) -> Tensor:
    """The log of the probability of drawing this set in any order, `[B]`, with gradients.

    Exact up to `MOST_EXACT` units. Of larger sets it is that of the order in which they were drawn,
    whose gradient is as good an estimate, of more variance.

    Args:
        logits_BN: of the units; the softmax over those that are left draws the next.
        drawn_BK: int64, distinct, in the order of drawing.
    """
    k = drawn_BK.shape[1]
    if k > MOST_EXACT:
        return sequence_log_probability(logits_BN, drawn_BK)
    logits_BK = logits_BN.gather(1, drawn_BK)
    rest_BN = _rest(logits_BN, drawn_BK)
    holds_AK, levels = _subsets(k)
    holds_AK = holds_AK.to(logits_BN.device)
    # What may still come after each of the A subsets; after all of them nothing needs to.
    open_BAK = logits_BK[:, None].masked_fill(holds_AK[:-1], -torch.inf)
    rest_BAN = rest_BN[:, None].expand(-1, open_BAK.shape[1], -1)
    left_BA = torch.cat([open_BAK, rest_BAN], -1).logsumexp(-1)
    log_p = logits_BN.new_zeros(len(logits_BN), 1 << k)
    for subsets, before, last in levels:
        reached = log_p[:, before] + logits_BK[:, last] - left_BA[:, before]
        index = torch.tensor(subsets, device=log_p.device)
        log_p = log_p.index_copy(1, index, reached.logsumexp(-1))
    return log_p[:, -1]


def _rest(logits_BN: Tensor, drawn_BK: Tensor) -> Tensor:
    """The logits of what was not drawn, minus infinity for what was."""
    return logits_BN.scatter(1, drawn_BK, -torch.inf)


_Level = tuple[list[int], list[list[int]], list[list[int]]]


@functools.cache
def _subsets(k: int) -> tuple[Tensor, list[_Level]]:
    """The subsets of k units, as bits.

    Returns:
        Which units each holds, `[2^k, k]`; and by size those of that size, what each was before its
        last unit, and which that was.
    """
    holds = [[bool(subset >> unit & 1) for unit in range(k)] for subset in range(1 << k)]
    levels: list[_Level] = []
    for size in range(1, k + 1):
        subsets = [s for s in range(1 << k) if s.bit_count() == size]
        last = [[unit for unit in range(k) if s >> unit & 1] for s in subsets]
        before = [[s ^ 1 << u for u in units] for s, units in zip(subsets, last, strict=True)]
        levels.append((subsets, before, last))
    return torch.tensor(holds), levels
