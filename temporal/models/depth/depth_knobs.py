"""What may be turned on an `EarlyExit`: the certainty at which its exits answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from ...policies.halt import CRITERIA
from ...source import Source
from ..every_exit import EveryExit, exit_space
from ..policy_space import PolicySpace
from ..saved_reader import SavedReader


class DepthKnobs(SavedReader):
    """Mixed into an encoder with exits over its layers."""

    reads_special_tokens = True
    wraps_classifier = True

    @property
    def plain_classifier(self) -> Any:
        """The one that the exits are on."""
        return self.classifier  # type: ignore[attr-defined]  # the model has it

    @property
    def depth_reader(self) -> Any:
        """Itself."""
        return self

    def policy_space(self) -> PolicySpace:
        """One threshold for all exits."""
        config: Any = self.config  # type: ignore[attr-defined]  # the model has it
        alone = None
        if config.num_exits == 1:
            alone = (
                f"exit_layers ({config.exit_layers}) is the last exit alone, which never halts: "
                "there is nothing to calibrate; train the reader with exits before the last"
            )
        return exit_space(config, closed_because=alone)

    @torch.inference_mode()
    def answers(self, sources: Iterable[Source], *, batch_size: int = 32) -> EveryExit:
        """What all exits say of documents with special tokens; costs grow with their length."""
        model: Any = self
        documents = list(sources)
        texts = [document.read(range(len(document)))[: model.max_tokens] for document in documents]
        order = sorted(range(len(texts)), key=lambda k: len(texts[k]))
        logits, told = [], []
        for start in range(0, len(order), batch_size):
            batch = [texts[k] for k in order[start : start + batch_size]]
            ids_BT = pad_sequence(batch, batch_first=True).to(model.device)
            lengths_B1 = torch.tensor([[len(text)] for text in batch], device=model.device)
            mask_BT = (torch.arange(ids_BT.shape[1], device=model.device) < lengths_B1).long()
            outputs = model(ids_BT, attention_mask=mask_BT)
            logits.append(outputs.exit_logits.float().cpu())
            told.append(outputs.certainties.cpu())
        back = torch.tensor(order).argsort()
        return EveryExit(
            config=model.config,
            logits_NEK=torch.cat(logits)[back],
            sizes_N=torch.tensor([len(text) for text in texts]).double(),
            rows=range(len(texts)),
            told_NE=None if model.config.criterion in CRITERIA else torch.cat(told)[back],
        )
