"""EarlyExit: a text encoder that answers as soon as a layer is certain, in dense batches.

Exits at chosen layers, after DeeBERT (Xin et al., ACL 2020), FastBERT (Liu et al., ACL 2020) and
PABEE (Zhou et al., NeurIPS 2020); `regimes` has their ways of training, and more. What those
papers' code does at batch size 1 is done here for any batch, packed: sources that halt leave it.

B sources, T tokens, N tokens of all sources, D model width, E exits, K classes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel
from transformers.utils import ModelOutput

from ...backbones.inside import made_inside
from ...backbones.text import PackedTokens, PaddedTokens, Tokens
from ...backbones.text.families import family_of, max_positions, own_attention
from ...checks import check_finite, num_classes
from ...handle import Handle
from ...packed import Packed
from ...stage import Stage
from ..halting import certainty_rule, threshold_of
from .configuration_early_exit import EarlyExitConfig
from .depth_exit import DepthExit
from .depth_knobs import DepthKnobs
from .learned_criteria import LEARNED_CRITERIA, LearnedCriterion
from .pruned_layers import PrunedLayers
from .regimes import REGIMES, Regime, answers, exit_loss
from .token_pruning import PRUNERS, init_pruner_weights
from .whole_layers import WholeLayers


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
    exit_states: Tensor | None = None
    """What each exit saw, `[B, E, D]`; None in training."""


class DepthAnswer(NamedTuple):
    """What the exit said that answered for a sequence of tokens."""

    logits_K: Tensor
    """Its logits, `[K]`."""
    exit: int
    """Its number, from 0."""
    token_layers: int
    """Tokens that layers computed, added up over the layers."""
    skimmed: tuple[int, ...]
    """Places of tokens that no layer computed: a pruner saw their embeddings, and dropped them."""
    seen_D: Tensor
    """What it saw, `[D]`."""


class EarlyExit(DepthKnobs, PreTrainedModel):
    """Exits around any BERT-type `AutoModelForSequenceClassification`.

    `EarlyExit.from_classifier(classifier, exit_layers=[2, 4, 6])` wraps one; the exits start as
    copies of its head (or anew, with `exit_head="linear"`). With nothing halted it answers.
    """

    config_class = EarlyExitConfig
    base_model_prefix = "early_exit"
    unit = "token"
    reads_cohorts = True
    _supports_sdpa = True

    def __init__(self, config: EarlyExitConfig) -> None:
        super().__init__(config)
        config.check()
        self.classifier = made_inside(AutoModelForSequenceClassification, config.encoder_config())
        assert config.exit_layers is not None  # __post_init__ filled it
        ends = [0, *config.exit_layers]
        self.layers_between = [range(start, end) for start, end in itertools.pairwise(ends)]
        # The last exit is the classifier's own head, so it is no copy.
        self.exits = nn.ModuleList(
            DepthExit(self.classifier, config.exit_pooling, config.exit_head)
            for _ in config.exit_layers[:-1]
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
        self.family = family_of(self.classifier)
        self.pruner = None
        self.layers: WholeLayers | PrunedLayers = WholeLayers(self.classifier)
        if config.pruning is not None:
            encoder = self.classifier.config
            make = PRUNERS[config.pruning]
            self.pruner = make(config, encoder.hidden_size, encoder.num_hidden_layers)
            self.layers = PrunedLayers(self.classifier, self.pruner, config.pruning_loss_weight)
        self.training_step = 0  # the optimizer's; `temporal.training.steps.TrainingStep` sets it
        own_attention(self.classifier)
        stage = partial(Stage, pad=self.layers.pads, counts_macs=self.layers.counts_macs)
        self.embed = stage(partial(self.layers.start, self._embed), name="embed")
        self.segments = [
            stage(partial(self._segment, k), name=f"segment{k}")
            for k in range(len(config.exit_layers))
        ]
        self.post_init()
        self.train(self.training)

    @classmethod
    def from_classifier(
        cls, classifier: PreTrainedModel, exit_layers: Sequence[int] | None = None, **config: Any
    ) -> EarlyExit:
        """Wrap a classifier: its weights are copied, and exits may start as copies of its head."""
        fields = {**classifier.config.to_dict(), "model_type": classifier.config.model_type}
        model = cls(
            EarlyExitConfig(
                encoder=fields, exit_layers=list(exit_layers) if exit_layers else None, **config
            )
        )
        model.classifier.load_state_dict(classifier.state_dict())
        if model.config.exit_head == "copy":
            start = DepthExit(classifier, model.config.exit_pooling, "copy").state_dict()
            for branch in model.exits:
                branch.load_state_dict(start)
        return model

    def _init_weights(self, module: nn.Module) -> None:
        # The parts are the encoder's own kinds of modules, so the encoder knows how they start.
        self.classifier._init_weights(module)
        init_pruner_weights(module)

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
        if self.pruner is not None:
            learns = "classifier" in self.regime.trains
            self.pruner.train(mode and learns).requires_grad_(learns and self.pruner.is_soft)
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
        tokens = PaddedTokens(mask_BT)
        hidden_BTD = self.family.embed(self.classifier, input_ids, tokens, token_type_ids)
        encoder = self.layers.padded(tokens)
        logits, seen = [], []
        for k in range(len(self.segments)):
            hidden_BTD, seen_tokens = encoder.run(self.layers_between[k], hidden_BTD)
            logits_BK, seen_BD = self._answer(k, hidden_BTD, seen_tokens)
            logits.append(logits_BK)
            seen.append(seen_BD)
            if self.regime.separates:
                hidden_BTD = hidden_BTD.detach()
        if labels is None and self.training and "classifier" not in self.regime.trains:
            labels = answers(logits[-1])
        loss = None if labels is None else self._loss(logits, seen, labels)
        if loss is not None and encoder.penalty is not None:
            loss = loss + encoder.penalty
        return EarlyExitOutput(
            loss=loss,
            logits=logits[-1],
            exit_logits=torch.stack(logits, 1),
            certainties=None if self.training else self._certainties(torch.stack(logits), seen),
            exit_states=None if self.training else torch.stack(seen, 1),
        )

    def _loss(self, logits: list[Tensor], seen: list[Tensor], labels_B: Tensor) -> Tensor:
        """The regime's loss, a scalar, of the exits' logits `[B, K]` and what they saw."""
        regime, last = self.regime, len(logits) - 1
        step = self.training_step if self.training else 1  # evaluation is the same at every step
        terms = []
        for k, weight in enumerate(regime.weights(len(logits), step)):
            if not weight:
                continue  # 0 times a loss has gradients, by which an optimizer decays weights
            if regime.trains & {"classifier", "exits"}:
                terms.append(weight * exit_loss(regime, logits[k], logits[-1], labels_B))
            for name, module in self.learned.items():
                learned = cast(LearnedCriterion, module)
                if name in regime.trains and k < last:
                    said_B = learned(torch.stack(logits[: k + 1]), seen[k])
                    terms.append(weight * learned.loss(said_B, logits[k], logits[-1], labels_B))
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
        return self._certainty_rule()(logits_EBK, seen_BD)

    def _certainty_rule(self) -> Callable[[Tensor, Tensor], Tensor]:
        """`certainty` by the configuration as it is: looked up once, asked at every exit."""
        if self.config.criterion in self.learned:
            learned = self.learned[self.config.criterion]
            return lambda logits, seen: learned(logits.to(seen.dtype), seen).float().sigmoid()
        rule = certainty_rule(self.config)
        return lambda logits, seen: rule(logits.float())

    def _answer(self, k: int, hidden_BTD: Tensor, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """What exit k says, logits `[B, K]`, and what it saw, `[B, D]`."""
        if k < len(self.exits):
            return self.exits[k](hidden_BTD, tokens)
        head = {name: self.classifier.get_submodule(name) for name in self.family.head}
        return self.family.answer(head, hidden_BTD, tokens), tokens.first(hidden_BTD)

    # Inference -----------------------------------------------------------------------------------

    def _embed(self, ids: Packed) -> Packed:
        tokens = PackedTokens(ids.lengths, ids.values.device)
        hidden_1ND = self.family.embed(self.classifier, ids.values[None], tokens, None)
        return Packed(hidden_1ND[0], ids.lengths)

    def _segment(self, k: int, *state: Any) -> tuple[Any, ...]:
        """Returns logits `[B, K]`, what the exit saw, and the state for the next segment."""
        return self.layers.segment(self.layers_between[k], partial(self._answer, k), *state)

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
        spans = [range(min(len(doc), self.max_tokens or len(doc))) for doc in documents]
        ids = [await doc.peek(span) for doc, span in zip(documents, spans, strict=True)]
        answers = await self.deepen(ids, range(len(ids)), self.config.thresholds)
        for doc, span, answer in zip(documents, spans, answers, strict=True):
            doc.note(exit=answer.exit, num_exits=len(self.segments))
            doc.note(token_layers=answer.token_layers)
            if answer.skimmed:
                left_out = set(answer.skimmed)
                doc.note(read=[k for k in span if k not in left_out], skimmed=answer.skimmed)
            else:
                doc.note(read=span)
            if len(span) < len(doc):
                doc.note(truncated=True)
        return [answer.logits_K for answer in answers]

    async def deepen(
        self, ids: list[Tensor], owners: Sequence[int], thresholds: Sequence[float] | None
    ) -> list[DepthAnswer]:
        """Run some sequences of tokens layer by layer, each until an exit is certain.

        Args:
            ids: int64 `[T]` each, special tokens included.
            owners: which member of the reader's cohort each sequence belongs to.
            thresholds: certainty at which each exit but the last answers; None: none does.

        Returns:
            What the exit that answered said, for each sequence.
        """
        # Sorted by length, so that texts of equal length lie side by side.
        lengths = [row.shape[0] for row in ids]
        alive = sorted(range(len(ids)), key=lambda k: -lengths[k])
        tokens = Packed.of([ids[k] for k in alive])
        tokens = Packed(tokens.values.to(device := self.device), tokens.lengths)
        state = await self.embed(tokens, rows=[owners[k] for k in alive])
        skimmed = dict(zip(alive, self.layers.skimmed(tokens.lengths, state), strict=True))
        past_EBK = torch.empty(0, len(alive), num_classes(self.config), device=device)
        answers: list[Any] = [None] * len(ids)
        certainty_of, last = self._certainty_rule(), len(self.segments) - 1
        for k, segment in enumerate(self.segments):
            rows = [owners[source] for source in alive]
            logits_BK, seen_BD, *state = await segment(*state, rows=rows)
            halts = [True] * len(alive)
            if k < last:
                past_EBK = torch.cat([past_EBK, logits_BK[None].float()])
                certainty_B = certainty_of(past_EBK, seen_BD)
                halts = (certainty_B >= threshold_of(thresholds, k)).tolist()
            keep = [row for row, halt in enumerate(halts) if not halt]
            if len(keep) == len(alive):
                continue
            check_finite(logits_BK[halts] if keep else logits_BK)
            computed = self.layers.token_layers(
                [lengths[source] for source in alive], self.layers_between[k].stop, state
            )
            for source, halt, logits_K, seen_D, tokens_computed in zip(
                alive, halts, logits_BK.unbind(), seen_BD.unbind(), computed, strict=True
            ):
                if halt:
                    answer = DepthAnswer(logits_K, k, tokens_computed, skimmed[source], seen_D)
                    answers[source] = answer
            if not keep:
                break
            alive = [alive[row] for row in keep]
            state = [_select(part, keep) for part in state]
            past_EBK = past_EBK[:, keep]
        return answers


def _select(part: Packed | Tensor, rows: list[int]) -> Packed | Tensor:
    return part.select(rows) if isinstance(part, Packed) else part[rows]
