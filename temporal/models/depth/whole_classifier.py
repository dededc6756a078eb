"""Any classifier of transformers in the place of an `EarlyExit`: it has one exit, its own answer.

B sequences, T tokens, K classes.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from ...backbones.text import padding_id
from ...checks import check_finite
from ...stage import Stage
from ..wrappers import unwrapped
from .early_exit import DepthAnswer, EarlyExitOutput

Batching = Literal["padded", "even", "alone"]
"""Sequences of any length together; only those of one length; or one at a time."""

_TOLERANCE = 1e-4
"""By how much of the largest logit, in float32, a sequence's answer may differ in a batch."""


class WholeClassifier(nn.Module):
    """A classifier that answers for sequences of tokens as `EarlyExit.deepen` does.

    Every sequence gets the answer that it gets alone. Many classifiers answer otherwise where there
    is padding in the batch, some where there is company, and those that pool the last token refuse
    a batch without a padding id. So only families that are known to mask it see padding; others
    compute sequences of equal length together, and only after a first trial has shown that it
    changes nothing.

    Args:
        classifier: any `AutoModelForSequenceClassification`, perhaps in a wrapper (compiled, of
            adapters, of several devices). It is used as it is, not copied.
    """

    depth_reader = None

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier
        model = self.model
        takes = inspect.signature(model.forward).parameters
        self._takes_types = "token_type_ids" in takes
        self._options: dict[str, Any] = {"return_dict": True}
        if "use_cache" in takes:  # nothing is generated
            self._options["use_cache"] = False
        self._padding = padding_id(model)
        self._switch, self._kind = _attention_switch(model)
        self.batching: Batching | None = None if self._padding is None else "padded"
        """How sequences are batched; None: that shows in the first batch."""
        self.classify = Stage(self._classify_padded, name="classify", pad=True)
        self.classify_even = Stage(self._classify_even, name="classify")

    @property
    def plain_classifier(self) -> Any:
        """The classifier."""
        return self.classifier

    @property
    def model(self) -> Any:
        """The classifier without its wrappers."""
        return unwrapped(self.classifier)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> EarlyExitOutput:
        """As `EarlyExit.forward` in evaluation; each row is answered as `deepen` answers it."""
        lengths = attention_mask.sum(1).tolist()
        ids = [row_T[:length] for row_T, length in zip(input_ids.cpu(), lengths, strict=True)]
        types = None
        if token_type_ids is not None:
            pairs = zip(token_type_ids.cpu(), lengths, strict=True)
            types = [row_T[:length] for row_T, length in pairs]
        logits: list[Tensor] = [torch.empty(0)] * len(ids)
        for rows, inputs in self._batches(ids, types):
            run = self._classify_padded if self.batching == "padded" else self._classify_even
            for row, logits_K in zip(rows, run(*inputs), strict=True):
                logits[row] = logits_K
        logits_BK = torch.stack(logits)
        nothing = logits_BK.new_zeros(len(logits_BK), 0)
        return EarlyExitOutput(
            logits=logits_BK,
            exit_logits=logits_BK[:, None],
            certainties=nothing,
            exit_states=nothing[:, None],
        )

    def get_input_embeddings(self) -> nn.Module:
        """The classifier's word embeddings."""
        return self.model.get_input_embeddings()

    async def deepen(
        self,
        ids: list[Tensor],
        owners: Sequence[int],
        thresholds: Sequence[float] | None,
        types: Sequence[Tensor] | None = None,
    ) -> list[DepthAnswer]:
        """As `EarlyExit.deepen`; there is no exit before the last, and what it saw is not told.

        Args:
            ids: of each sequence, int64 `[T]`.
            owners: which member of the cohort each belongs to.
            thresholds: not used.
            types: `token_type_ids` of each sequence, int64 `[T]`; None: the model's own default.
        """
        logits: list[Tensor] = [torch.empty(0)] * len(ids)
        for rows, inputs in self._batches(ids, types):
            stage = self.classify if self.batching == "padded" else self.classify_even
            logits_BK = await stage(*inputs, rows=[owners[row] for row in rows])
            for row, logits_K in zip(rows, logits_BK, strict=True):
                logits[row] = logits_K
        layers = getattr(self.model.config, "num_hidden_layers", None) or 1
        return [
            DepthAnswer(check_finite(logits_K), 0, layers * len(row), (), logits_K[:0])
            for logits_K, row in zip(logits, ids, strict=True)
        ]

    def _batches(
        self, ids: list[Tensor], types: Sequence[Tensor] | None
    ) -> Iterator[tuple[list[int], list[Tensor]]]:
        """Rows that are computed together, with their ids, mask and perhaps types, padded."""
        if types is not None and not self._takes_types:
            types = None
        if self.batching is None and len(ids) > 1:
            self.batching = self._try_batching(ids, types)
        for rows in self._groups(ids):
            columns = [ids] if types is None else [ids, types]
            parts = [[column[row] for row in rows] for column in columns]
            padded = [pad_sequence(part, batch_first=True) for part in parts]
            lengths_B1 = torch.tensor([[len(ids[row])] for row in rows])
            mask_BT = (torch.arange(padded[0].shape[1]) < lengths_B1).long()
            yield rows, [padded[0], mask_BT, *padded[1:]]

    def _groups(self, ids: list[Tensor]) -> list[list[int]]:
        """Which sequences are computed together."""
        if self.batching == "padded":
            return [list(range(len(ids)))]
        by_length: dict[int, list[int]] = {}
        for row, sequence in enumerate(ids):
            by_length.setdefault(len(sequence), []).append(row)
        return list(by_length.values())

    def _try_batching(self, ids: list[Tensor], types: Sequence[Tensor] | None) -> Batching:
        """Whether two sequences of one length are answered together as each is alone."""
        row = min(range(len(ids)), key=lambda row: len(ids[row]))
        one_T = ids[row]
        other_T = torch.cat([one_T[:1], one_T[1:-1].flip(0), one_T[1:][-1:]])  # specials stay
        both_2T = torch.stack([one_T, other_T])
        types_2T = None if types is None else torch.stack([types[row]] * 2)
        try:
            together_2K = self._classify(both_2T, torch.ones_like(both_2T), types_2T)
        except Exception:  # it takes no batches, or not this text: alone, it will say so
            return "alone"
        alone_2K = self._classify_one_by_one(both_2T, torch.ones_like(both_2T), types_2T)
        precision = torch.finfo(self.model.dtype).eps / torch.finfo(torch.float32).eps
        limit = _TOLERANCE * precision**0.5 * alone_2K.abs().max().clamp(min=1.0)
        return "even" if bool((together_2K - alone_2K).abs().max() <= limit) else "alone"

    def _classify_padded(
        self, ids_BT: Tensor, mask_BT: Tensor, types_BT: Tensor | None = None
    ) -> Tensor:
        # Stages pad with zeros, which may be a word. Models that pool the last token look for the
        # first that is not padding by its id.
        ids_BT = ids_BT.masked_fill(mask_BT == 0, self._padding or 0)
        return self._classify(ids_BT, mask_BT, types_BT)

    def _classify_even(
        self, ids_BT: Tensor, mask_BT: Tensor, types_BT: Tensor | None = None
    ) -> Tensor:
        run = self._classify if self.batching == "even" else self._classify_one_by_one
        return run(ids_BT, mask_BT, types_BT)

    def _classify_one_by_one(self, *arguments_BT: Tensor | None) -> Tensor:
        rows = range(len(arguments_BT[0]))  # type: ignore[arg-type]  # the ids are a tensor
        return torch.cat(
            [
                self._classify(*(None if x is None else x[row : row + 1] for x in arguments_BT))  # type: ignore[arg-type]
                for row in rows
            ]
        )

    def _classify(self, ids_BT: Tensor, mask_BT: Tensor, types_BT: Tensor | None = None) -> Tensor:
        if self._switch is not None and self._switch.attention_type != self._kind:
            self._switch.set_attention_type(self._kind)  # a short text left it at another
        device = self.model.device
        types = {} if types_BT is None else {"token_type_ids": types_BT.to(device)}
        outputs = self.classifier(
            input_ids=ids_BT.to(device),
            attention_mask=mask_BT.to(device),
            **types,
            **self._options,
        )
        return outputs.logits.float()


def _attention_switch(model: Any) -> tuple[Any, Any]:
    """The part that changes its kind of attention at a short text for good (BigBird), and the kind.

    Longer texts would be answered by what came before them.
    """
    for module in model.modules():
        if hasattr(module, "set_attention_type") and hasattr(module, "attention_type"):
            return module, module.attention_type
    return None, None
