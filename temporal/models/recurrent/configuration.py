"""The fields that the configurations of all recurrent readers share."""

from __future__ import annotations

from typing import Any, ClassVar

from transformers import PreTrainedConfig

from ...checks import check_in, check_range
from ...kernels import NUM_GATES

POOLINGS = ("last", "max", "mean")


class RecurrentConfig(PreTrainedConfig):
    """Sizes of a recurrent reader of tokens; each reader adds its policy's fields."""

    policy_fields: ClassVar[tuple[str, ...]] = ()
    """Fields that say what is read, which a calibration sets; a `..._threshold` is in [0, 1]."""

    vocab_size: int = 30522
    """Entries of the embedding table."""
    embedding_size: int = 100
    """D."""
    cell: str = "lstm"
    """`"lstm"` or `"gru"` (whose hidden bias is left out)."""
    hidden_size: int = 100
    """H, the state that reading updates."""
    pooling: str = "last"
    """What the classifier sees: the last state (the papers), or the max or mean over all states."""
    operating_points: list[dict] | None = None
    """Calibrated ways to run; see `temporal.models.operating_points`."""
    dropout: float = 0.0
    """On embeddings and on the pooled state, in training."""
    max_tokens: int = 4096
    """Longer documents are cut here."""
    pad_token_id: int = 0
    """The token that fills batches; its embedding is never used."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        check_in("cell", self.cell, NUM_GATES)
        check_in("pooling", self.pooling, POOLINGS)
        for name in self.policy_fields:
            if name.endswith("_threshold"):
                check_range(name, getattr(self, name), 0.0, 1.0)
