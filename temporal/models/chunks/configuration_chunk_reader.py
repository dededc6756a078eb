"""Configuration of a `ChunkReader`: the encoder of its chunks, their order, and when it answers."""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig, PreTrainedConfig

from ...backbones.text import max_positions
from ...checks import check_count, check_in, check_range, num_classes
from ...policies.read import ORDERS
from ..halting import check_criterion
from .chunk_pooling import POOLINGS

_LONGEST_CHUNK = 512
"""Tokens in a chunk where neither the configuration nor the encoder's positions limit them."""


class ChunkReaderConfig(PreTrainedConfig):
    """The encoder's own configuration, how a document is cut and pooled, and when it may answer."""

    model_type = "chunk_reader"
    policy_fields = ("criterion", "thresholds", "depth_thresholds", "max_share")
    # A Trainer that evaluates would join these, and batches differ in how many answers they have.
    keys_to_ignore_at_inference = ["exit_logits"]

    encoder: dict | None = None
    """Configuration of what reads a chunk, with its `model_type`: an `EarlyExit`, or any sequence
    classifier of transformers. The encoder's own thresholds are for whole texts and not used."""
    special_tokens: list[list[int]] | None = None
    """Ids before and after each chunk, e.g. `[[101], [102]]`. Default: none."""
    token_types: list[list[int]] | None = None
    """`token_type_ids` of the special tokens before a chunk, of a token, and of the special ones
    after it, as the tokenizer gives them, e.g. `[[], [0], [0, 2]]` (XLNet). None: the classifier's
    own default. Only for sequence classifiers of transformers."""
    chunk_size: int | None = 256
    """Tokens in a chunk at most, special tokens included; None, or more than the encoder has
    positions for: as many as those. A document is cut into as few chunks as possible, evenly."""
    split: str = "tokens"
    """Where a document may be cut: `"tokens"`, anywhere, or only between `"sentences"`."""
    order: str = "sequential"
    """Which chunk comes next: one of `temporal.policies.read.ORDERS`; or `"skim"`, first the chunk
    that skimming found to say most for its answer."""
    skim_buckets: int | None = None
    """Skim every document first (`temporal.models.chunks.bag_of_tokens`), and answer at once
    where that tells; buckets for pairs of tokens, 0 for tokens alone. None: do not skim."""
    pooling: str = "mean"
    """How chunks become one answer: `"mean"`, of probabilities, or learned: `"recurrent"` or
    `"attention"` (`temporal.models.chunks.chunk_pooling`)."""
    hidden_size: int = 32
    """Width of a learned pooling's memory."""
    pooling_dropout: float = 0.3
    """Dropout of a learned pooling, in training."""
    criterion: str | None = None
    """One of `temporal.policies.halt.CRITERIA`, asked of the answers so far: the skim's, if it
    skims, and one after each chunk. Default: `"confidence"`, or `"window"` in regression."""
    window_size: int = 3
    """Answers that the criterion `"window"` looks back on."""
    tolerance: float = 0.0
    """Regression with the criterion `"patience"`: outputs that differ by less than this agree."""
    thresholds: list[float] | None = None
    """Certainty at which each answer halts the reading; later ones share the last. None: none."""
    depth_thresholds: list[float] | None = None
    """Certainty, by the encoder's criterion, at which each of its exits but the last answers for a
    chunk; None: every chunk goes through all layers."""
    max_share: float = 1.0
    """Share of a document's chunks that may be read, at least one."""
    operating_points: list[dict] | None = None
    """Calibrated ways to run; see `temporal.models.halting`."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        if self.encoder is None:
            return  # transformers builds an empty configuration to compare with
        encoder = self.encoder_config()
        self.id2label, self.label2id = encoder.id2label, encoder.label2id
        self.problem_type = encoder.problem_type
        self.check()

    def check(self) -> None:
        """Raise ValueError unless the fields fit each other; the model asks too."""
        encoder = self.encoder_config()
        self.criterion = self.criterion or ("confidence" if num_classes(self) > 1 else "window")
        check_in("split", self.split, ("tokens", "sentences"))
        check_in("order", self.order, [*ORDERS, "skim"])
        check_in("pooling", self.pooling, POOLINGS)
        check_range("max_share", self.max_share, 0.0, 1.0)
        if self.skim_buckets is not None:
            check_count("skim_buckets", self.skim_buckets, 0)
        if self.order == "skim" and (self.skim_buckets is None or num_classes(self) == 1):
            raise ValueError("order ('skim') needs classes, and a reader that skims: skim_buckets")
        if self.num_tokens < 1:
            raise ValueError(
                f"chunk_size ({self.chunk_size}) must leave room for at least one token beside the "
                f"special ones ({self.special_tokens})"
            )
        if self.pooling != "mean" and encoder.model_type != "early_exit":
            raise ValueError(
                f"pooling ({self.pooling!r}) needs an encoder that tells what its exits saw: wrap "
                f"the {encoder.model_type} classifier by EarlyExit.from_classifier"
            )
        check_criterion(self, self.criterion)
        if self.thresholds is not None and not self.thresholds:
            raise ValueError("thresholds ([]) must hold at least one number, or be None")
        exits = len(getattr(encoder, "exit_layers", None) or [0])
        if self.depth_thresholds is not None and len(self.depth_thresholds) != exits - 1:
            raise ValueError(
                f"depth_thresholds ({self.depth_thresholds}) must hold one number for each of the "
                f"encoder's {exits - 1} exits before the last"
            )

    def encoder_config(self) -> PreTrainedConfig:
        """The encoder's configuration as an object."""
        fields = dict(self.encoder or {})
        return AutoConfig.for_model(fields.pop("model_type"), **fields)

    @property
    def num_tokens(self) -> int:
        """A document's tokens in a chunk, at most."""
        encoder: Any = self.encoder_config()
        if encoder.model_type == "early_exit":
            encoder = encoder.encoder_config()
        limit = max_positions(encoder)
        size = self.chunk_size or limit or _LONGEST_CHUNK
        if limit is not None:
            size = min(size, limit)
        return size - sum(map(len, self.special_tokens or []))
