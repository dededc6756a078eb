"""Any classifier of transformers in the place of an `EarlyExit`: it has one exit, its own answer.

B sequences, T tokens, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from ..stage import Stage
from .checks import check_finite
from .early_exit import DepthAnswer, EarlyExitOutput


class WholeClassifier(nn.Module):
    """A classifier that answers for sequences of tokens as `EarlyExit.deepen` does.

    Args:
        classifier: any `AutoModelForSequenceClassification`. It is used as it is, not copied.
    """

    def __init__(self, classifier: PreTrainedModel) -> None:
        super().__init__()
        self.classifier = classifier
        self.classify = Stage(self._classify, name="classify", pad=True)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> EarlyExitOutput:
        """As `EarlyExit.forward` in evaluation."""
        logits_BK = self._classify(input_ids, attention_mask)
        nothing = logits_BK.new_zeros(len(logits_BK), 0)
        return EarlyExitOutput(
            logits=logits_BK,
            exit_logits=logits_BK[:, None],
            certainties=nothing,
            exit_states=nothing[:, None],
        )

    def _classify(self, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        device = self.classifier.device
        outputs = self.classifier(
            input_ids=ids_BT.to(device), attention_mask=mask_BT.to(device), return_dict=True
        )
        return outputs.logits.float()

    def get_input_embeddings(self) -> nn.Module:
        """The classifier's word embeddings."""
        return self.classifier.get_input_embeddings()

    async def deepen(
        self, ids: list[Tensor], owners: Sequence[int], thresholds: Sequence[float] | None
    ) -> list[DepthAnswer]:
        """As `EarlyExit.deepen`; there is no exit before the last, and what it saw is not told."""
        padding = self.classifier.config.pad_token_id or 0
        ids_BT = pad_sequence(ids, batch_first=True, padding_value=padding)
        lengths_B = torch.tensor([len(row) for row in ids])
        mask_BT = (torch.arange(ids_BT.shape[1]) < lengths_B[:, None]).long()
        logits_BK = await self.classify(ids_BT, mask_BT, rows=list(owners))
        layers = getattr(self.classifier.config, "num_hidden_layers", 1)
        return [
            DepthAnswer(check_finite(logits_K), 0, layers * len(row), (), logits_K[:0])
            for logits_K, row in zip(logits_BK, ids, strict=True)
        ]
