"""EarlyExit: a text encoder that answers as soon as a layer is certain, in dense batches.

Exits at chosen layers, after DeeBERT (Xin et al., ACL 2020), FastBERT (Liu et al., ACL 2020) and
PABEE (Zhou et al., NeurIPS 2020); `temporal.models.regimes` has their ways of training, and more.
What those papers' code does at batch size 1 is done here for any batch: sources that halt leave
it, and the survivors go on without them. What is read is packed: no padding is computed.

B sources, T tokens, N tokens of all sources, D model width, E exits, K classes.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel
from transformers.utils import ModelOutput

from ..handle import Handle
from ..packed import Packed
from ..stage import Stage
from .checks import check_finite, num_classes
from .configuration_early_exit import EarlyExitConfig
from .encoders import PackedTokens, PaddedTokens, Tokens, family_of, max_positions, own_attention
from .halting import halting_criterion, threshold_of
from .learned_criteria import LEARNED_CRITERIA
from .reader import Reader
from .regimes import REGIMES, Regime, answers, exit_loss


@dataclass
class EarlyExitOutput(ModelOutput):
    """What `EarlyExit.forward` returns."""

    loss: Tensor | None = None
    """The loss of the configuration's regime, a scalar; None without labels."""
    logits: Tensor | None = None
    """The last exit's, `[B, K]`."""
    exit_logits: Tensor | None = None
    """All exits', `[B, E, K]`."""
    certainties: Tensor | None = None
    """How certain the configuration's criterion calls each exit but the last: `[B, E - 1]`, what
    thresholds are compared with; None in training."""


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

    def forward(self, hidden_BTD: Tensor, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Returns logits `[B, K]`, and `[B, D]` what they were made from."""
        head = dict(zip(self.names, self.parts, strict=True))
        if self.pooling == "mean":  # the heads look at a first token: give them one
            hidden_BTD = tokens.mean(hidden_BTD)[:, None]
            tokens = PaddedTokens(hidden_BTD.new_ones(len(hidden_BTD), 1))
        return self.family.answer(head, hidden_BTD, tokens), tokens.first(hidden_BTD)


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
        self.learned = nn.ModuleDict(
            {
                name: LEARNED_CRITERIA[name](
                    len(config.exit_layers),
                    self.classifier.config.hidden_size,
                    num_classes(config),
                )
                for name in config.learned_criteria or []
            }
        )
        self.training_step = 0  # the optimizer's; `temporal.training.steps.TellStep` sets it
        own_attention(self.classifier)
        pads = family_of(self.classifier).pads
        self.embed = Stage(self._embed, name="embed")
        self.segments = [
            Stage(self._segment(k), name=f"segment{k}", pad=pads)
            for k in range(len(config.exit_layers))
        ]
        self.post_init()
        self.train(self.training)

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

    @property
    def regime(self) -> Regime:
        """How it is trained."""
        return REGIMES[self.config.regime]

    def train(self, mode: bool = True) -> EarlyExit:
        """As `nn.Module.train`; what the regime does not train is frozen, and without dropout.

        Loading replaces parameters by such as want gradients; `from_pretrained` calls this last.
        """
        super().train(mode)
        parts = {"classifier": self.classifier, "exits": self.exits, **self.learned}
        for name, part in parts.items():
            if name not in self.regime.trains:
                part.requires_grad_(False).eval()
        return self

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
            labels: int64 `[B]`; floats in regression. Training needs none where the last exit is
                frozen: its answers then stand in for them.
        """
        mask_BT = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        family = family_of(self.classifier)
        tokens = PaddedTokens(mask_BT)
        hidden_BTD = family.embed(self.classifier, input_ids, tokens, token_type_ids)
        logits, seen = [], []
        for k in range(len(self.segments)):
            hidden_BTD, logits_BK, seen_BD = self._run_segment(k, hidden_BTD, tokens)
            logits.append(logits_BK)
            seen.append(seen_BD)
            if self.regime.separates:
                hidden_BTD = hidden_BTD.detach()
        logits_EBK = torch.stack(logits)
        if labels is None and self.training and "classifier" not in self.regime.trains:
            labels = answers(logits[-1])
        return EarlyExitOutput(
            loss=None if labels is None else self._loss(logits_EBK, seen, labels),
            logits=logits[-1],
            exit_logits=logits_EBK.transpose(0, 1),
            certainties=None if self.training else self._certainties(logits_EBK, seen),
        )

    def _loss(self, logits_EBK: Tensor, seen: list[Tensor], labels_B: Tensor) -> Tensor:
        """The regime's loss, a scalar."""
        regime, num_exits = self.regime, len(logits_EBK)
        step = self.training_step if self.training else 1  # evaluation is the same at every step
        weights = regime.weights(num_exits, step)
        terms = []
        for k, weight in enumerate(weights):
            if not weight:
                continue
            if regime.trains & {"classifier", "exits"}:
                loss = exit_loss(regime, logits_EBK[k], logits_EBK[-1], labels_B)
                terms.append(weight * loss)
            for name, learned in self.learned.items():
                if name in regime.trains and k < num_exits - 1:
                    said_B = learned(logits_EBK[: k + 1], seen[k])
                    loss = learned.loss(said_B, logits_EBK[k], logits_EBK[-1], labels_B)
                    terms.append(weight * loss)
        return torch.stack(terms).sum()

    def _certainties(self, logits_EBK: Tensor, seen: list[Tensor]) -> Tensor:
        columns = [self.certainty(logits_EBK[: k + 1], seen[k]) for k in range(len(seen) - 1)]
        return torch.stack(columns, 1) if columns else logits_EBK.new_zeros(len(seen[0]), 0)

    def certainty(self, logits_EBK: Tensor, seen_BD: Tensor) -> Tensor:
        """How certain the newest exit is, by the configuration's criterion: `[B]`.

        Args:
            logits_EBK: of the exits so far, the newest of which is not the last one.
            seen_BD: what the newest exit saw.
        """
        if self.config.criterion in self.learned:
            return self.learned[self.config.criterion](logits_EBK, seen_BD).float().sigmoid()
        return halting_criterion(self.config)(logits_EBK.float())

    def _run_segment(
        self, k: int, hidden_BTD: Tensor, tokens: Tokens
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The layers up to exit k, and its answer.

        Returns:
            Hidden states `[B, T, D]`, logits `[B, K]`, and what the exit saw `[B, D]`.
        """
        family = family_of(self.classifier)
        ends = [0, *self.config.exit_layers]
        hidden_BTD = family.run(self.classifier, range(ends[k], ends[k + 1]), hidden_BTD, tokens)
        if k < len(self.exits):
            return hidden_BTD, *self.exits[k](hidden_BTD, tokens)
        head = {name: self.classifier.get_submodule(name) for name in family.head}
        return hidden_BTD, family.answer(head, hidden_BTD, tokens), tokens.first(hidden_BTD)

    # Inference -----------------------------------------------------------------------------------

    def _embed(self, ids: Packed) -> Packed:
        tokens = PackedTokens(ids.lengths, ids.values.device)
        embed = family_of(self.classifier).embed
        return Packed(embed(self.classifier, ids.values[None], tokens, None)[0], ids.lengths)

    def _segment(self, k: int) -> Any:
        def segment(hidden: Packed) -> tuple[Packed, Tensor, Tensor]:
            tokens = PackedTokens(hidden.lengths, hidden.values.device)
            hidden_1ND, *said = self._run_segment(k, hidden.values[None], tokens)
            return Packed(hidden_1ND[0], hidden.lengths), *said

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
        # Sorted by length, so that texts of equal length lie side by side.
        alive = sorted(range(len(ids)), key=lambda k: -len(ids[k]))
        tokens = Packed.of([ids[k] for k in alive])
        tokens = Packed(tokens.values.to(self.device), tokens.lengths)
        hidden = await self.embed(tokens, rows=[owners[k] for k in alive])
        past_EBK = torch.empty(0, len(alive), num_classes(self.config), device=self.device)
        answers: list[Any] = [None] * len(ids)
        last = len(self.segments) - 1
        for k, segment in enumerate(self.segments):
            rows = [owners[source] for source in alive]
            hidden, logits_BK, seen_BD = await segment(hidden, rows=rows)
            past_EBK = torch.cat([past_EBK, logits_BK[None].float()])
            halts = [True] * len(alive)
            if k < last:
                certainty_B = self.certainty(past_EBK, seen_BD)
                halts = (certainty_B >= threshold_of(self.config, k)).tolist()
            for row, source in enumerate(alive):
                if halts[row]:
                    answers[source] = DepthAnswer(check_finite(logits_BK[row]), k)
            keep = [row for row, halt in enumerate(halts) if not halt]
            if not keep:
                break
            if len(keep) < len(alive):
                alive = [alive[row] for row in keep]
                hidden, past_EBK = hidden.select(keep), past_EBK[:, keep]
        return answers
