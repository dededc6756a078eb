"""Small random encoders of every family, readers around them, and what halting should do."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AlbertConfig,
    AutoModelForSequenceClassification,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    PreTrainedConfig,
    RobertaConfig,
)

from temporal.engine import Outcome
from temporal.models import EarlyExit

LENGTHS = (2, 31, 9, 17, 17, 5, 40, 12)
_SIZES = {
    "vocab_size": 100,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "num_labels": 3,
    "pad_token_id": 0,
}
FAMILIES: dict[str, tuple[type[PreTrainedConfig], dict[str, Any]]] = {
    "bert": (BertConfig, {}),
    "roberta": (RobertaConfig, {}),
    "electra": (ElectraConfig, {"embedding_size": 16}),
    "albert": (
        AlbertConfig,
        {
            "embedding_size": 16,
            "num_hidden_groups": 2,
            "inner_group_num": 2,
            "classifier_dropout_prob": 0.0,
        },
    ),
    "distilbert": (DistilBertConfig, {}),
    "deberta-v2": (
        DebertaV2Config,
        {
            "relative_attention": True,
            "position_buckets": 8,
            "pos_att_type": ["p2c", "c2p"],
            "conv_kernel_size": 3,
        },
    ),
    "modernbert": (
        ModernBertConfig,
        {
            "global_attn_every_n_layers": 2,
            "local_attention": 8,
            "cls_token_id": 1,
            "sep_token_id": 2,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
    ),
}
"""Each family's configuration, and what it has beside the sizes."""
_DISTILBERT_NAMES = {
    "hidden_size": "dim",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "intermediate_size": "hidden_dim",
}


def random_fields(family: str, random: Random) -> dict[str, Any]:
    """A random small shape, and whatever else the family can do differently."""
    heads = random.choice([1, 2, 4])
    own = {
        "albert": {
            "num_hidden_groups": random.choice([1, 2]),
            "inner_group_num": random.choice([1, 2]),
            "embedding_size": random.choice([8, 24]),
        },
        "bert": {"hidden_act": random.choice(["gelu", "relu"])},
        "electra": {"embedding_size": random.choice([8, 16])},
        "deberta-v2": {
            "conv_kernel_size": random.choice([0, 3]),
            "share_att_key": random.choice([True, False]),
            "position_biased_input": random.choice([True, False]),
            "norm_rel_ebd": random.choice(["none", "layer_norm"]),
        },
        "modernbert": {
            "classifier_pooling": random.choice(["cls", "mean"]),
            "local_attention": random.choice([4, 16]),
            "global_attn_every_n_layers": random.choice([1, 3]),
        },
    }
    return {
        "hidden_size": 8 * heads * random.choice([1, 2]),
        "num_attention_heads": heads,
        "num_hidden_layers": random.randint(2, 5),
        "num_labels": random.randint(1, 4),
        **own.get(family, {}),
    }


def family_config(family: str = "bert", **changed: Any) -> PreTrainedConfig:
    """A small configuration of a family, with some fields changed."""
    config_class, own = FAMILIES[family]
    fields = {**_SIZES, **own, **changed}
    if family == "distilbert":
        fields = {_DISTILBERT_NAMES.get(name, name): value for name, value in fields.items()}
    return config_class(**fields)


@torch.no_grad()
def make_classifier(family: str = "bert", **fields: Any) -> torch.nn.Module:
    """A random classifier whose answers differ between inputs."""
    torch.manual_seed(0)
    classifier = AutoModelForSequenceClassification.from_config(family_config(family, **fields))
    for parameter in classifier.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.1)
    return classifier.eval()


@torch.no_grad()
def make(
    family: str = "bert", exit_layers: Sequence[int] = (1, 2, 3), num_labels: int = 3, **config: Any
) -> EarlyExit:
    """A reader whose exits all answer differently, and whose learned criteria do."""
    classifier = make_classifier(family, num_labels=num_labels)
    reader = EarlyExit.from_classifier(classifier, exit_layers, **config).eval()
    for parameter in (*reader.exits.parameters(), *reader.learned.parameters()):
        parameter.add_(torch.randn_like(parameter) * 0.1)
    return reader


def values(outcomes: list[Outcome]) -> Tensor:
    return torch.stack([outcome.value for outcome in outcomes])


def thresholds_between(certainties: Tensor) -> list[float]:
    """Thresholds `[E - 1]` at which about half of the sources `[B, E - 1]` halt at each exit.

    A little below a value that occurs: rounding then decides nothing.
    """
    return [value - 1e-4 for value in certainties.median(0).values.tolist()]


def exits_taken(certainties: Tensor, thresholds: list[float]) -> list[int]:
    """The first exit that is certain enough, else the last, for each row `[E - 1]`."""
    last = len(thresholds)
    return [
        next((k for k, value in enumerate(row) if value >= thresholds[k]), last)
        for row in certainties.tolist()
    ]
