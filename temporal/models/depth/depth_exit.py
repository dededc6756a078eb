"""An exit between an encoder's layers.

B sources, T tokens, D model width, K classes.
"""

from __future__ import annotations

import copy

from torch import Tensor, nn
from transformers import PreTrainedModel

from ...backbones.text import PackedTokens, Tokens, family_of
from ...checks import num_classes


class DepthExit(nn.Module):
    """An exit's own classifier.

    Args:
        classifier: a classifier of transformers.
        pooling: what the exit sees, `"mean"` over the tokens or the `"first"` token.
        head: `"copy"` of the classifier's head, with its pooler or dense layer (as in DeeBERT, Xin
            et al., ACL 2020), or `"linear"`, a single layer (as in PABEE, Zhou et al., NeurIPS
            2020). A pooler of one token has few MACs but as many weights as a twelfth of the
            encoder's layer, and one text at a time that is what its time goes by.
    """

    def __init__(self, classifier: PreTrainedModel, pooling: str, head: str) -> None:
        super().__init__()
        self.pooling = pooling
        self.family = family_of(classifier)
        self.names = self.family.head if head == "copy" else ()
        self.parts = nn.ModuleList(
            copy.deepcopy(classifier.get_submodule(name)) for name in self.names
        )
        self.linear = None
        if head == "linear":
            config = classifier.config
            self.linear = nn.Linear(config.hidden_size, num_classes(config))

    def forward(self, hidden_BTD: Tensor, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Returns logits `[B, K]`, and `[B, D]` what they were made from."""
        if self.pooling == "mean":  # the heads look at a first token: give them one
            means_BD = tokens.mean(hidden_BTD)
            hidden_BTD, tokens = means_BD[None], PackedTokens([1] * len(means_BD), means_BD.device)
        seen_BD = tokens.first(hidden_BTD)
        if self.linear is not None:
            return self.linear(seen_BD), seen_BD
        head = dict(zip(self.names, self.parts, strict=True))
        return self.family.answer(head, hidden_BTD, tokens), seen_BD
