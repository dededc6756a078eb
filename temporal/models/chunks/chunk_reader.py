"""ChunkReader: a document of any length, chunk by chunk, each only as deep as it needs.

Exits over depth inside a chunk and over the chunks of a document, as in "2D Early Exit" (Hula et
al., arXiv 2604.18592, section 3), which reads sentence by sentence; chunks may come in any order
here, and documents that halt leave the batch. Before a chunk is read, the whole document may be
skimmed: a bag of tokens costs next to nothing, answers what is plain, and says where to read first.

B documents, C chunks of the longest, E exits of the encoder, D width of what an exit sees, A
answers (the skim's, and one after each chunk), S size of the pooling's state, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModelForSequenceClassification, PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput

from ...backbones.inside import made_inside
from ...checks import check_range, check_threshold, num_classes
from ...handle import Handle
from ...packed import Packed
from ...policies import read as read_policies
from ...policies.halt import criterion
from ...source import Source
from ...stage import Stage
from ..depth.early_exit import EarlyExit
from ..depth.whole_classifier import WholeClassifier
from ..halting import check_criterion
from ..wrappers import unwrapped
from .bag_of_tokens import BagOfTokens, chunk_sums
from .bag_of_tokens import Skim as Skim
from .chunk_cohort import ChunkCohort
from .chunk_dress import is_pair, types_of
from .chunk_knobs import ChunkKnobs
from .chunk_pooling import Evidence, LearnedPooling, MeanPooling
from .configuration_chunk_reader import ChunkReaderConfig


@dataclass
class ChunkReaderOutput(ModelOutput):
    """What `ChunkReader.forward` returns."""

    loss: Tensor | None = None
    """Mean loss of the answers after each chunk, a scalar; None without labels."""
    logits: Tensor | None = None
    """The last answer's, `[B, K]`."""
    exit_logits: Tensor | None = None
    """All answers', `[B, A, K]`; those after a document's last chunk repeat it."""


class ChunkReader(ChunkKnobs, PreTrainedModel):
    """Any text encoder, read over the chunks of a document with an answer after each.

    "2D Early Exit", Hula et al., arXiv 2604.18592; see the head of this module.

    `ChunkReader.from_classifier(classifier, special_tokens)` needs no training: it averages the
    classifier's probabilities over the chunks read so far. Around an `EarlyExit`, chunks are read
    to different depths, and scripts/finetune_text.py trains a pooling and a skim for it.

    Args:
        config: see `ChunkReaderConfig`.
        encoder: an `EarlyExit` or a `WholeClassifier`, used as it is; default: a new one.
    """

    config_class = ChunkReaderConfig
    base_model_prefix = "chunk_reader"
    main_input_name = "chunk_logits"
    unit = "token"
    reads_cohorts = True
    _supports_sdpa = True

    def __init__(self, config: ChunkReaderConfig, encoder: nn.Module | None = None) -> None:
        super().__init__(config)
        config.check()
        own: Any = config.encoder_config()
        if encoder is not None:
            self.encoder: Any = encoder
        elif own.model_type == "early_exit":
            self.encoder = EarlyExit(own)
        else:
            self.encoder = WholeClassifier(made_inside(AutoModelForSequenceClassification, own))
        labels = num_classes(config)
        if config.pooling == "mean":
            several = config.problem_type == "multi_label_classification"
            self.pooling: Any = MeanPooling(labels, one_answer=labels > 1 and not several)
        else:
            inner = own.encoder_config()
            self.pooling = LearnedPooling(
                config.pooling,
                num_exits=len(own.exit_layers),
                seen_size=inner.hidden_size,
                hidden_size=config.hidden_size,
                num_labels=labels,
                dropout=config.pooling_dropout,
            )
        self.skim = None
        if config.skim_buckets is not None:
            vocab_size = getattr(own, "vocab_size", None) or own.encoder_config().vocab_size
            self.skim = BagOfTokens(vocab_size, config.skim_buckets, labels)
        self.before: list[int]
        self.after: list[int]
        self.before, self.after = config.special_tokens or ([], [])
        self.chunk_tokens = config.num_tokens  # of the document, in one chunk
        self.look = Stage(self._look, name="skim")
        self.pool = Stage(self._pool, name="pool")
        self.post_init()

    @classmethod
    def from_classifier(
        cls,
        classifier: nn.Module,
        special_tokens: tuple[Sequence[int], Sequence[int]] = ((), ()),
        **config: Any,
    ) -> ChunkReader:
        """Read chunks with a classifier, which becomes a part of the reader and is not copied.

        Args:
            classifier: an `EarlyExit`, or any `AutoModelForSequenceClassification`, perhaps in a
                wrapper (compiled, of adapters, of several devices).
            special_tokens: ids that its tokenizer puts before and after a text.
            **config: fields of `ChunkReaderConfig`.
        """
        own: Any = unwrapped(classifier).config
        fields = {**own.to_dict(), "model_type": own.model_type}
        encoder = classifier if isinstance(classifier, EarlyExit) else WholeClassifier(classifier)
        special = [list(ids) for ids in special_tokens]
        return cls(ChunkReaderConfig(encoder=fields, special_tokens=special, **config), encoder)

    def _init_weights(self, module: nn.Module) -> None:
        # The encoder is a model of transformers, which initialises its own.
        if isinstance(module, LearnedPooling):
            module.reset()
        elif isinstance(module, BagOfTokens):
            init.zeros_(module.scores.weight)
            init.zeros_(module.bias)

    def get_input_embeddings(self) -> nn.Module:
        """The encoder's word embeddings."""
        return self.encoder.get_input_embeddings()

    # What is read, in which order --------------------------------------------------------------

    def cut(self, document: Source | Handle) -> list[range]:
        """The chunks of a document, ranges of its tokens in the order of the text.

        Raises:
            ValueError: it is cut between sentences, and the document has no offsets.
        """
        if not len(document) or is_pair(document):
            return [range(len(document))]
        if self.config.split == "sentences":
            text: Any = document
            return read_policies.grouped(text.sentences(), self.chunk_tokens)
        return read_policies.even_pieces(len(document), self.chunk_tokens)

    def dress(self, ids_T: Tensor) -> Tensor:
        """Put the special tokens around the ids of a chunk."""
        return torch.cat([ids_T.new_tensor(self.before), ids_T, ids_T.new_tensor(self.after)])

    def order(self, counts: Sequence[int], skim: Skim | None) -> list[list[int]]:
        """The numbers of the chunks of each document, in the order in which they are read.

        Args:
            counts: chunks of each of the B documents.
            skim: what it found; None: the reader does not skim.
        """
        if self.config.order != "skim":
            order = read_policies.order(self.config.order)
            return [order(count, count) for count in counts]
        assert skim is not None  # the configuration was checked
        answer_B = skim.logits_BK.argmax(-1)
        telling_BC = skim.chunks_BCK[range(len(counts)), :, answer_B] - skim.chunks_BCK.mean(2)
        return [
            row_C[:count].argsort(descending=True, stable=True).tolist()
            for row_C, count in zip(telling_BC, counts, strict=True)
        ]

    def halts(self, past_ABK: Tensor) -> Tensor:
        """Where the newest answer is certain enough, bool `[B]`, given all answers so far."""
        thresholds = self.config.thresholds
        if thresholds is None:
            return torch.zeros(past_ABK.shape[1], dtype=torch.bool)
        rule = criterion(self.config.criterion, **vars(self.config))
        return rule(past_ABK) >= thresholds[min(len(past_ABK), len(thresholds)) - 1]

    def set_budget(self, budget: float) -> dict[str, Any] | None:
        """As `Reader.set_budget`; an uncalibrated reader reads that share of the chunks."""
        if self.config.operating_points:
            return super().set_budget(budget)
        check_range("budget", budget, 0.0, 1.0)
        self.config.max_share = budget
        return None

    def set_policy(self, name: str, threshold: float | None) -> None:
        """Halt by a criterion at one threshold for all answers, instead of the calibrated policy.

        Every chunk that is read then goes through all layers.

        Raises:
            ValueError: the name is not a criterion, or the threshold is not a finite number.
        """
        check_criterion(self.config, name, "policy")
        check_threshold(name, threshold)
        self.config.criterion = name
        self.config.thresholds = None if threshold is None else [float(threshold)]
        self.config.depth_thresholds = None

    # Training, and the dense reference for `read` -----------------------------------------------

    def forward(
        self,
        chunk_logits: Tensor,
        chunk_states: Tensor,
        chunk_mask: Tensor,
        skim_logits: Tensor | None = None,
        skim_scores: Tensor | None = None,
        exits: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> ChunkReaderOutput:
        """Pool what the encoder's exits said of all chunks (`temporal.training.chunk_evidence`).

        All arguments are in the order of the text.

        Args:
            chunk_logits: `[B, C, E, K]`.
            chunk_states: `[B, C, E, D]`, what the exits saw.
            chunk_mask: bool `[B, C]`, true where there is a chunk; the first ones are there.
            skim_logits, skim_scores: `[B, K]` and `[B, C, K]`, of a reader that skims.
            exits: int64 `[B, C]`, the exit that answers for each chunk; default: the last one.
            labels: int64 `[B]`, or probabilities `[B, K]`; floats `[B]` in regression.
        """
        counts = chunk_mask.sum(1).tolist()
        num_documents, longest, num_exits = chunk_logits.shape[:3]
        if exits is None:
            exits = torch.full_like(chunk_mask, num_exits - 1, dtype=torch.long)
        skim = None
        if skim_logits is not None and skim_scores is not None:
            skim = Skim(skim_logits, skim_scores)
        orders = self.order(counts, skim)
        state_BS = self.pooling.start(skim_logits, num_documents).to(self.device)
        answers = [] if skim_logits is None else [skim_logits]
        everyone = torch.arange(num_documents, device=self.device)
        for step in range(longest):
            # A document without a next chunk looks at any, and keeps its state.
            chunk_B = torch.tensor(
                [row[min(step, len(row) - 1)] for row in orders], device=self.device
            )
            exit_B = exits[everyone, chunk_B]
            logits_BK = chunk_logits[everyone, chunk_B, exit_B]
            here_BK = torch.zeros_like(logits_BK)
            if skim is not None:
                here_BK = skim.chunks_BCK[everyone, chunk_B]
            seen_BD = chunk_states[everyone, chunk_B, exit_B].to(logits_BK.dtype)
            new_BS, answer_BK = self.pooling(
                state_BS, Evidence(logits_BK, seen_BD, exit_B, here_BK)
            )
            exists_B1 = chunk_mask[:, step, None]
            state_BS = torch.where(exists_B1, new_BS, state_BS)
            answers.append(torch.where(exists_B1, answer_BK, answers[-1]) if step else answer_BK)
        exit_logits_BAK = torch.stack(answers, 1)
        loss = None
        if labels is not None:
            chunk_answers_BCK = exit_logits_BAK[:, -longest:]
            told = chunk_answers_BCK[chunk_mask]
            labels_M = labels.repeat_interleave(chunk_mask.sum(1), 0)
            loss = (
                F.mse_loss(told.squeeze(-1), labels_M)
                if told.shape[-1] == 1
                else F.cross_entropy(told, labels_M)
            )
        return ChunkReaderOutput(
            loss=loss, logits=exit_logits_BAK[:, -1], exit_logits=exit_logits_BAK
        )

    # Inference -----------------------------------------------------------------------------------

    async def read(self, documents: list[Handle]) -> list[Tensor]:
        """Read a cohort chunk by chunk, each document until its answer is certain.

        Returns:
            Logits `[K]` of the newest answer, for each document.
        """
        chunks = [self.cut(document) for document in documents]
        skim = None if self.skim is None else await self._skim(documents, chunks)
        orders = self.order([len(parts) for parts in chunks], skim)
        cohort = ChunkCohort(
            documents,
            [[parts[c] for c in order] for parts, order in zip(chunks, orders, strict=True)],
            max_share=self.config.max_share,
            skims=skim is not None,
        )
        skim_BK = None if skim is None else skim.logits_BK
        state_RS = self.pooling.start(skim_BK, len(documents)).to(self.device)
        if skim is not None:
            state_RS = state_RS[cohort.settle(skim.logits_BK, self.halts)]
        step = 0
        while cohort.reading:
            now = [documents[k] for k in cohort.reading]
            ids = [
                chunk if is_pair(document) else self.dress(chunk)
                for chunk, document in zip(await cohort.next_chunks(), now, strict=True)
            ]
            types = types_of(now, ids, self.config)
            kinds = {} if types is None else {"types": types}
            said = await self.encoder.deepen(
                ids, cohort.reading, self.config.depth_thresholds, **kinds
            )
            cohort.note_chunks(said, len(self.before))
            logits_RK = torch.stack([answer.logits_K for answer in said]).float()
            skim_RK = torch.zeros_like(logits_RK)
            if skim is not None:
                here = [orders[k][step] for k in cohort.reading]
                skim_RK = skim.chunks_BCK[cohort.reading, here]
            state_RS, answer_RK = await self.pool(
                state_RS,
                logits_RK,
                torch.stack([answer.seen_D for answer in said]).float(),
                torch.tensor([answer.exit for answer in said], device=self.device),
                skim_RK,
                rows=cohort.reading,
            )
            state_RS = state_RS[cohort.settle(answer_RK, self.halts)]
            step += 1
        return cohort.answers

    async def _skim(self, documents: Sequence[Handle], chunks: Sequence[list[range]]) -> Skim:
        ids = [await document.peek(range(len(document))) for document in documents]
        logits_BK, scores = await self.look(Packed.of(ids), rows=range(len(ids)))
        return Skim(logits_BK, chunk_sums(scores, chunks))

    def _look(self, ids: Packed) -> tuple[Tensor, Packed]:
        assert self.skim is not None
        return self.skim(Packed(ids.values.to(self.device), ids.lengths))

    def _pool(self, state_BS: Tensor, *evidence: Tensor) -> tuple[Tensor, Tensor]:
        return self.pooling(state_BS, Evidence(*evidence))
