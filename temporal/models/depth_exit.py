"""An exit between an encoder's layers.

B sources, T tokens, D model width, K classes.
"""

from __future__ import annotations

import copy

from torch import Tensor, nn
from transformers import PreTrainedModel

from .encoders import PaddedTokens, Tokens, family_of


class DepthExit(nn.Module):
    """An exit's own copy of a classifier's head.

    Args:
        classifier: a classifier of transformers.
        pooling: what the head sees, `"mean"` over the tokens or the `"first"` token.
    """

    def __init__(self, classifier: PreTrainedModel, pooling: str) -> None:
        super().__init__()
        self.pooling = pooling
        self.family = family_of(classifier)
        self.names = self.family.head
        self.parts = nn.ModuleList(
            copy.deepcopy(classifier.get_submodule(name)) for name in self.names
        )

    def forward(self, hidden_BTD: Tensor, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Returns logits `[B, K]`, and `[B, D]` what they were made from."""
        head = dict(zip(self.names, self.parts, strict=True))
        if self.pooling == "mean":  # the heads look at a first token: give them one
            hidden_BTD = tokens.mean(hidden_BTD)[:, None]
            tokens = PaddedTokens(hidden_BTD.new_ones(len(hidden_BTD), 1))
        return self.family.answer(head, hidden_BTD, tokens), tokens.first(hidden_BTD)
