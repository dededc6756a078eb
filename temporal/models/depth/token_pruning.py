"""Which tokens the next layers still compute: PoWER-BERT, LTP and Transkimmer.

A pruner is a module that is asked once for each layer. What it looks at is either the attention
that each token received in the layer (`reads_attention`), so that the layer's feed-forward part and
all that follow compute without the dropped tokens; or the hidden states that enter the layer.
`temporal.models.depth.pruned_layers` runs the layers under its decisions.

B texts, T tokens of the longest, D model width, L layers, R shares of a text.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import initialization as init

from ...backbones.text import PaddedTokens, Tokens
from ...policies.keep import kept_counts, most_significant, ranks, soft_threshold
from ...policies.skip import READ, SKIM, hard_decision, relaxed_decision


class PowerBert(nn.Module):
    """Keeps as many tokens after each layer as a schedule says: those that received most attention.

    Goyal et al., "PoWER-BERT" (ICML 2020). The significance of a token is the attention that it
    receives, summed over heads and tokens (section 3.2). The schedule is learned in a first stage
    (`pruning_soft`, section 3.3): the soft-extract layer multiplies the token of each rank by a
    retention parameter, and the loss pays for their sum. Where the paper has a parameter for each
    of N places, as long as its longest text, this has one for each of `R` equal shares of a text,
    so that a schedule fits texts of all lengths. In the second stage, and at inference, tokens are
    dropped: in layer j the sum of the retention parameters says which share is kept, unless the
    configuration's `kept_tokens` does.

    Args:
        config: an `EarlyExitConfig`.
        hidden_size: D.
        num_layers: L.
    """

    reads_attention = True
    """It is asked between a layer's attention and its feed-forward part."""
    RANKS = 64

    def __init__(self, config: Any, hidden_size: int, num_layers: int) -> None:
        super().__init__()
        self.config = config
        # After the last layer there is nothing left to save.
        self.retention_LR = nn.Parameter(torch.ones(num_layers - 1, self.RANKS))

    @property
    def is_soft(self) -> bool:
        """Whether training weighs tokens instead of dropping them."""
        return self.config.pruning_soft

    def reset(self) -> None:
        """Start with everything kept."""
        init.ones_(self.retention_LR)

    def kept(self) -> list[float]:
        """The schedule: what is kept after each layer but the last; see `kept_counts`."""
        return self.config.kept_tokens or self.retention_LR.clamp(0, 1).mean(1).tolist()

    def hard(self, layer: int, received_BT: Tensor, tokens: Tokens) -> Tensor:
        """Which tokens stay, bool `[B, T]`."""
        mask_BT = tokens.padded().mask_BT
        counts_B = kept_counts(self.kept()[layer], tokens.totals())
        return tokens.pack(most_significant(tokens.pad(received_BT), mask_BT, counts_B))

    def soft(self, layer: int, received_BT: Tensor, tokens: PaddedTokens) -> Tensor:
        """What the token of each rank is multiplied by, `[B, T]`."""
        ranks_BT = ranks(received_BT, tokens.mask_BT)
        bins_BT = ranks_BT * self.RANKS // tokens.totals()[:, None]
        return self.retention_LR[layer].clamp(0, 1)[bins_BT.clamp(max=self.RANKS - 1)]

    def penalty(self, shares: list[Tensor]) -> Tensor:
        """The mass of the retention parameters, deeper layers counting more (equation 2); scalar.

        Divided by what it is at the start.
        """
        depth_L = torch.arange(1, len(self.retention_LR) + 1, device=self.retention_LR.device)
        return (self.retention_LR.clamp(0, 1).mean(1) * depth_L).sum() / depth_L.sum()


class LearnedThresholds(nn.Module):
    """Drops tokens that receive less attention than the layer's threshold.

    Kim et al., "Learned Token Pruning for Transformers" (KDD 2022), LTP. The score of a token is
    the mean attention that it receives, over heads and tokens (equation 3), so that long texts lose
    more. In a first stage (`pruning_soft`) the thresholds are learned: layers' outputs are
    multiplied by `sigmoid((score - threshold) / temperature)` and the loss pays for the mean of
    these masks (section 3.3). Then the thresholds stay, and the rest is trained with dropped
    tokens.

    Args:
        config: an `EarlyExitConfig`.
        hidden_size: D.
        num_layers: L.
    """

    reads_attention = True
    """It is asked between a layer's attention and its feed-forward part."""

    def __init__(self, config: Any, hidden_size: int, num_layers: int) -> None:
        super().__init__()
        self.config = config
        self.threshold_L = nn.Parameter(torch.empty(num_layers - 1))
        self.reset()

    @property
    def is_soft(self) -> bool:
        """Whether training weighs tokens instead of dropping them."""
        return self.config.pruning_soft

    def reset(self) -> None:
        """Start with thresholds that rise linearly with depth (section 4.1)."""
        last = self.config.pruning_threshold
        rising = torch.arange(1, len(self.threshold_L) + 1) * (last / len(self.threshold_L))
        init.copy_(self.threshold_L, rising)

    def hard(self, layer: int, received_BT: Tensor, tokens: Tokens) -> Tensor:
        """Which tokens stay, bool `[B, T]`."""
        return received_BT > self.threshold_L[layer]

    def soft(self, layer: int, received_BT: Tensor, tokens: PaddedTokens) -> Tensor:
        """What tokens are multiplied by, `[B, T]`."""
        return soft_threshold(received_BT, self.threshold_L[layer], self.config.pruning_temperature)

    def penalty(self, shares: list[Tensor]) -> Tensor:
        """The mean of the soft masks (equation 8); scalar."""
        return torch.stack(shares).mean()


class _KeepOrSkim(nn.Linear):
    """Logits of keeping and of skimming a token."""

    START = 5.0

    def __init__(self, hidden_size: int) -> None:
        super().__init__(hidden_size, 2)
        self.reset()

    def reset(self) -> None:
        """Start with everything kept (section 4.4)."""
        start_2 = torch.empty_like(self.bias)
        start_2[READ], start_2[SKIM] = self.START, -self.START
        init.copy_(self.bias, start_2)


class Transkimmer(nn.Module):
    """Asks a small network before each layer whether a token needs it and those that follow.

    Guan et al., "Transkimmer" (ACL 2022). The network sees the token's hidden state (equation 5).
    Training samples hard decisions by Gumbel-softmax (section 4.2) and pays for the share of tokens
    kept (equation 9); inference takes the likelier choice. A token that is skimmed keeps the state
    it had: it is forwarded to the output, and nothing sees it any more before that.

    Args:
        config: an `EarlyExitConfig`.
        hidden_size: D.
        num_layers: L.
    """

    reads_attention = False
    """It is asked before a layer."""
    is_soft = True
    """Training samples, always."""

    def __init__(self, config: Any, hidden_size: int, num_layers: int) -> None:
        super().__init__()
        self.predictors = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(hidden_size),
                nn.Linear(hidden_size, hidden_size),
                nn.LayerNorm(hidden_size),
                nn.GELU(),
                _KeepOrSkim(hidden_size),
            )
            for _ in range(num_layers)
        )

    def hard(self, layer: int, hidden_BTD: Tensor, tokens: Tokens) -> Tensor:
        """Which tokens stay, bool `[B, T]`."""
        return hard_decision(self.predictors[layer](hidden_BTD))

    def soft(self, layer: int, hidden_BTD: Tensor, tokens: PaddedTokens) -> Tensor:
        """A sample of 0 or 1 for each token, with the gradients of a relaxed one: `[B, T]`."""
        logits_BT2 = self.predictors[layer](hidden_BTD)
        return relaxed_decision(logits_BT2, 1.0, straight_through=True)[..., READ]

    def penalty(self, shares: list[Tensor]) -> Tensor:
        """The mean share of tokens that layers compute (equation 9); scalar."""
        return torch.stack(shares).mean()


Pruner = PowerBert | LearnedThresholds | Transkimmer

PRUNERS: dict[str, type[PowerBert] | type[LearnedThresholds] | type[Transkimmer]] = {
    "power": PowerBert,
    "ltp": LearnedThresholds,
    "transkimmer": Transkimmer,
}
"""Pruners by the name that a configuration's `pruning` gives."""


def init_pruner_weights(module: nn.Module) -> None:
    """Start a module as its pruner's paper says, if it is a part of one that has its own start."""
    if isinstance(module, PowerBert | LearnedThresholds | _KeepOrSkim):
        module.reset()
