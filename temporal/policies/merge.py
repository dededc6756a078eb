"""Merge tokens that are alike: bipartite soft matching (ToMe, Bolya et al. 2023).

G groups, L tokens of each, N tokens in all, D model width, r merged in each group.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def most_alike(keys_GLd: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Which tokens are merged into which, in each group.

    Tokens are dealt to A and B in turn; each of A finds the most similar one of B by the cosine of
    their keys, and the most similar pairs are merged.

    Args:
        keys_GLd: keys of the attention, the mean over its heads.
        count: r, at most half of L.

    Returns:
        Numbers 0 .. L - 1 of those of A that go, and of those of B that take them: int64 `[G, r]`.
    """
    unit_GLd = F.normalize(keys_GLd.float(), dim=-1)
    likeness_GAB = unit_GLd[:, ::2] @ unit_GLd[:, 1::2].transpose(1, 2)
    best_GA, partner_GA = likeness_GAB.max(-1)
    going_Gr = best_GA.argsort(dim=-1, descending=True, stable=True)[:, :count]
    return 2 * going_Gr, 2 * partner_GA.gather(1, going_Gr) + 1


def merge_into(
    hidden_ND: Tensor, sizes_N: Tensor, going: Tensor, taking: Tensor
) -> tuple[Tensor, Tensor]:
    """The mean of tokens that are merged, each weighed by the patches that it stands for.

    Args:
        hidden_ND: hidden states.
        sizes_N: patches that each stands for, float.
        going: numbers of the tokens that go, flat.
        taking: the token that takes each.

    Returns:
        Hidden states and sizes of all; what is said of those that go means nothing.
    """
    weights_N1 = sizes_N.to(hidden_ND.dtype)[:, None]
    sums_ND = hidden_ND * weights_N1
    sums_ND = sums_ND.index_add(0, taking, sums_ND[going])
    sizes_N = sizes_N.index_add(0, taking, sizes_N[going])
    return sums_ND / sizes_N.to(hidden_ND.dtype)[:, None], sizes_N


def merged_in_layer(layer: int, num_layers: int, tokens: int, left: int, keep_share: float) -> int:
    """Tokens of a group that a layer merges: as many in each layer, at most half of those left.

    Args:
        layer: its number, from 0.
        num_layers: layers that merge.
        tokens: of the group before the first layer.
        left: of the group now.
        keep_share: share of the tokens that are left after the last layer.
    """
    aim = tokens - round((layer + 1) * (1 - keep_share) * tokens / num_layers)
    return max(0, min(left - max(aim, 1), left // 2))
