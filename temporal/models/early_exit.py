"""EarlyExit: a text encoder that answers as soon as a layer is certain, in dense batches.

Exits at chosen layers, after DeeBERT (Xin et al., ACL 2020), FastBERT (Liu et al., ACL 2020) and
PABEE (Zhou et al., NeurIPS 2020); the joint training with depth-weighted losses is PABEE's
(section 3.3). What those papers' code does at batch size 1 is done here for any batch: sources
that halt leave it, and the survivors go on without them and without their padding.

B sources, T tokens, D model width, E exits, K classes.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.utils import ModelOutput

from ..handle import Handle
from ..stage import Stage
from .checks import check_finite, check_in, num_classes
from .encoders import family_of, max_positions
from .halting import certainty_reached, check_halting
from .reader import Reader


class EarlyExitConfig(PreTrainedConfig):
    """The encoder's own configuration, where its exits are, and when they may answer."""

    model_type = "early_exit"

    encoder: dict | None = None
    """Configuration of the wrapped classifier, with its `model_type`."""
    exit_layers: list[int] | None = None
    """Layers after which there is an exit, counted from 1; the last layer is always one.
    Default: every layer."""
    exit_pooling: str = "mean"
    """What an exit before the last sees: the mean over tokens, or the first token. Early layers
    have not gathered much in the first token yet. The last exit is the classifier's own."""
    criterion: str = "confidence"
    """One of `temporal.policies.halt.CRITERIA`."""
    thresholds: list[float] | None = None
    """Certainty at which each exit but the last answers; None: nothing halts."""
    temperatures: list[float] | None = None
    """What the logits of each exit but the last are divided by before the criterion sees them;
    None: all are 1. Scores are not scaled."""
    operating_points: list[dict] | None = None
    """Calibrated ways to run; see `temporal.models.operating_points`."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        if self.encoder is None:
            return  # transformers builds an empty configuration to compare with
        encoder = self.encoder_config()
        self.id2label, self.label2id = encoder.id2label, encoder.label2id
        num_layers = int(encoder.num_hidden_layers)
        layers = sorted({*(self.exit_layers or range(1, num_layers + 1)), num_layers})
        if layers[0] < 1 or layers[-1] > num_layers:
            raise ValueError(
                f"exit_layers ({self.exit_layers}) must lie between 1 and the encoder's "
                f"{num_layers} layers"
            )
        self.exit_layers = layers
        check_in("exit_pooling", self.exit_pooling, ("mean", "first"))
        check_halting(self, len(layers))

    def encoder_config(self) -> PreTrainedConfig:
        """The wrapped classifier's configuration as an object."""
        fields = dict(self.encoder or {})
        return AutoConfig.for_model(fields.pop("model_type"), **fields)


@dataclass
class EarlyExitOutput(ModelOutput):
    """What `EarlyExit.forward` returns."""

    loss: Tensor | None = None
    """The depth-weighted mean of the exits' cross-entropies, a scalar; None without labels."""
    logits: Tensor | None = None
    """The last exit's, `[B, K]`."""
    exit_logits: Tensor | None = None
    """All exits', `[B, E, K]`."""


class DepthAnswer(NamedTuple):
    """What the exit said that answered for a sequence of tokens."""

    logits_K: Tensor
    """Its logits, `[K]`."""
    exit: int
    """Its number, from 0."""


class _Exit(nn.Module):
    """An exit's own copy of the classifier's head."""

    def __init__(self, classifier: PreTrainedModel, pooling: str) -> None:
        super().__init__()
        self.pooling = pooling
        self.family = family_of(classifier)
        self.names = self.family.head
        self.parts = nn.ModuleList(
            copy.deepcopy(classifier.get_submodule(name)) for name in self.names
        )

    def forward(self, hidden_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        head = dict(zip(self.names, self.parts, strict=True))
        if self.pooling == "mean":  # the heads look at a first token: give them one
            mask_B1T = mask_BT[:, None].to(hidden_BTD.dtype)
            hidden_BTD = (mask_B1T / mask_B1T.sum(-1, keepdim=True)) @ hidden_BTD
            mask_BT = mask_BT[:, :1]
        return self.family.answer(head, hidden_BTD, mask_BT)


class EarlyExit(Reader, PreTrainedModel):
    """Exits around any BERT-type `AutoModelForSequenceClassification`.

    `EarlyExit.from_classifier(classifier, exit_layers=[2, 4, 6])` wraps one; the exits start as
    copies of its head. With nothing halted the answer is the classifier's own.
    """

    config_class = EarlyExitConfig
    base_model_prefix = "early_exit"
    unit = "token"
    reads_cohorts = True
    _supports_sdpa = True

    def __init__(self, config: EarlyExitConfig) -> None:
        super().__init__(config)
        self.classifier = AutoModelForSequenceClassification.from_config(config.encoder_config())
        assert config.exit_layers is not None  # __post_init__ filled it
        # The last exit is the classifier's own head, so it is no copy.
        self.exits = nn.ModuleList(
            _Exit(self.classifier, config.exit_pooling) for _ in config.exit_layers[:-1]
        )
        self.embed = Stage(self._embed, name="embed", pad=True)
        self.segments = [
            Stage(self._segment(k), name=f"segment{k}", pad=True)
            for k in range(len(config.exit_layers))
        ]
        self.post_init()

    @classmethod
    def from_classifier(
        cls, classifier: PreTrainedModel, exit_layers: Sequence[int] | None = None, **config: Any
    ) -> EarlyExit:
        """Wrap a classifier: its weights are copied, and each exit starts as a copy of its head."""
        fields = {**classifier.config.to_dict(), "model_type": classifier.config.model_type}
        model = cls(
            EarlyExitConfig(
                encoder=fields, exit_layers=list(exit_layers) if exit_layers else None, **config
            )
        )
        model.classifier.load_state_dict(classifier.state_dict())
        for branch in model.exits:
            branch.load_state_dict(_Exit(classifier, model.config.exit_pooling).state_dict())
        return model

    def _init_weights(self, module: nn.Module) -> None:
        # The parts are the encoder's own kinds of modules, so the encoder knows how they start.
        self.classifier._init_weights(module)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> EarlyExitOutput:
        """Run all layers and all exits (training, and the dense reference for `read`).

        Args:
            input_ids: int64 `[B, T]` with the tokenizer's special tokens, padded at the end.
            attention_mask: `[B, T]`, 1 where a token exists; default: all exist.
            token_type_ids: `[B, T]`, for encoders that have them.
            labels: int64 `[B]`.
        """
        mask_BT = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        family = family_of(self.classifier)
        hidden_BTD = family.embed(self.classifier, input_ids, mask_BT, token_type_ids)
        logits = []
        for k in range(len(self.segments)):
            hidden_BTD, logits_BK = self._run_segment(k, hidden_BTD, mask_BT)
            logits.append(logits_BK)
        loss = None
        if labels is not None:
            weights = [k + 1 for k in range(len(logits))]  # PABEE, equation 5
            losses = torch.stack([F.cross_entropy(logits_BK, labels) for logits_BK in logits])
            loss = (losses * losses.new_tensor(weights)).sum() / sum(weights)
        return EarlyExitOutput(loss=loss, logits=logits[-1], exit_logits=torch.stack(logits, 1))

    def _run_segment(self, k: int, hidden_BTD: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
        """The layers up to exit k, and its answer: hidden states and logits `[B, K]`."""
        family = family_of(self.classifier)
        ends = [0, *self.config.exit_layers]
        hidden_BTD = family.run(self.classifier, range(ends[k], ends[k + 1]), hidden_BTD, mask_BT)
        if k < len(self.exits):
            return hidden_BTD, self.exits[k](hidden_BTD, mask_BT)
        head = {name: self.classifier.get_submodule(name) for name in family.head}
        return hidden_BTD, family.answer(head, hidden_BTD, mask_BT)

    # Inference -----------------------------------------------------------------------------------

    def _embed(self, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        return family_of(self.classifier).embed(self.classifier, ids_BT, mask_BT, None)

    def _segment(self, k: int) -> Any:
        def segment(hidden_BTD: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
            return self._run_segment(k, hidden_BTD, mask_BT)

        return segment

    def get_input_embeddings(self) -> nn.Module:
        """The encoder's word embeddings."""
        return self.classifier.get_input_embeddings()

    @property
    def max_tokens(self) -> int | None:
        """Tokens that the encoder has positions for, special tokens included."""
        return max_positions(self.classifier.config)

    async def read(self, documents: list[Handle]) -> list[Tensor]:
        """Read a cohort of documents, deeper only where they are not certain yet.

        Returns:
            Logits `[K]` of the exit that answered, for each document.
        """
        ids = [
            await doc.read(range(min(len(doc), self.max_tokens or len(doc)))) for doc in documents
        ]
        answers = await self.deepen(ids, range(len(ids)))
        for row, (doc, answer) in enumerate(zip(documents, answers, strict=True)):
            doc.note(exit=answer.exit, num_exits=len(self.segments))
            if len(ids[row]) < len(doc):
                doc.note(truncated=True)
        return [answer.logits_K for answer in answers]

    async def deepen(self, ids: list[Tensor], owners: Sequence[int]) -> list[DepthAnswer]:
        """Run some sequences of tokens layer by layer, each until an exit is certain.

        Args:
            ids: int64 `[T]` each, special tokens included.
            owners: which member of the reader's cohort each sequence belongs to.

        Returns:
            What the exit that answered said, for each sequence.
        """
        alive = sorted(range(len(ids)), key=lambda k: -len(ids[k]))
        ids_BT = nn.utils.rnn.pad_sequence([ids[k] for k in alive], batch_first=True)
        lengths_B = torch.tensor([len(ids[k]) for k in alive])
        mask_BT = (torch.arange(ids_BT.shape[1]) < lengths_B[:, None]).long().to(self.device)

        rows = [owners[k] for k in alive]
        hidden_BTD = await self.embed(ids_BT.to(self.device), mask_BT, rows=rows)
        past_EBK = torch.empty(0, len(alive), num_classes(self.config), device=self.device)
        answers: list[Any] = [None] * len(ids)
        last = len(self.segments) - 1
        for k, segment in enumerate(self.segments):
            rows = [owners[source] for source in alive]
            hidden_BTD, logits_BK = await segment(hidden_BTD, mask_BT, rows=rows)
            past_EBK = torch.cat([past_EBK, logits_BK[None].float()])
            halts = [True] * len(alive)
            if k < last:
                halts = certainty_reached(self.config, past_EBK).tolist()
            for row, source in enumerate(alive):
                if halts[row]:
                    answers[source] = DepthAnswer(check_finite(logits_BK[row]), k)
            keep = [row for row, halt in enumerate(halts) if not halt]
            if not keep:
                break
            if len(keep) < len(alive):
                alive = [alive[row] for row in keep]
                # Longest first, so the first survivor says how much padding is still needed.
                longest = len(ids[alive[0]])
                hidden_BTD, mask_BT = hidden_BTD[keep, :longest], mask_BT[keep, :longest]
                past_EBK = past_EBK[:, keep]
        return answers
