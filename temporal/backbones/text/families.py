"""Take transformers' text encoders apart into embedding, layers and answer.

An early-exit reader stops between layers, and token pruning in the middle of one; the encoders' own
`forward` can do neither. Each family of `AutoModelForSequenceClassification` is described here by a
few small functions; composed, they compute exactly what the family's `forward` does.

The library's own modules compute, or `bert_layers` with their weights. Which tokens see each other
is decided by `Tokens`, which travels through them as an argument to the attention function that is
registered here. So hidden states may be padded `[B, T, D]` or, to the same modules, packed
`[1, N, D]`.

B sources, T tokens, D model width, K classes. What is said of `[B, T, D]` holds for `[1, N, D]`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from . import bert_layers
from .tokens import Tokens

Model = Any  # a transformers *ForSequenceClassification; its attributes differ by family


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """How one family of encoders computes."""

    layers: Callable[[Model], Sequence[nn.Module]]
    """The model's layers, in order; some may be the same module."""

    embed: Callable[[Model, Tensor, Tokens, Tensor | None], Tensor]
    """`(model, ids_BT, tokens, types_BT) -> hidden_BTD`, the input of the first layer."""

    attend: Callable[[Model, nn.Module, Tensor, Tokens], Tensor] | None = None
    """`(model, layer, hidden_BTD, tokens) -> hidden_BTD`: a layer up to its feed-forward part.
    None: the layers cannot be taken apart further."""

    feed: Callable[[Any, Tensor], Tensor] | None = None
    """`(layer, hidden_BTD) -> hidden_BTD`: the rest of the layer, token by token."""

    run: Callable[[Model, range, Tensor, Tokens], tuple[Tensor, Tokens]]
    """`(model, layers, hidden_BTD, tokens) -> hidden_BTD, tokens`, through some consecutive layers.
    After the last layer there are only the tokens that the answer looks at."""

    pads: bool = False
    """Whether `run` pads packed tokens to compute."""

    answers_by_first: Callable[[Any], bool] = lambda config: True
    """Whether the answer looks at the first token alone, by the model's configuration."""

    head: tuple[str, ...]
    """The modules that only the answer uses; an exit gets its own copy of each."""

    answer: Callable[[dict[str, Any], Tensor, Tokens], Tensor]
    """`(head, hidden_BTD, tokens) -> logits_BK`, with the modules of `head` by name."""


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    tokens: Tokens | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """What the library's layers call as their attention; without `tokens` it is the library's."""
    if tokens is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    window = None if sliding_window is None else sliding_window - 1  # theirs excludes its end
    return tokens.attend(query, key, value, scale=scale, dropout=dropout, window=window), None


_ATTENTION = "temporal_tokens"
AttentionInterface.register(_ATTENTION, _attention)
AttentionMaskInterface.register(_ATTENTION, sdpa_mask)


def own_attention(model: Model) -> None:
    """Let a model's layers take `tokens=`; its own `forward` computes as before."""
    if family_of(model).attend is not None:
        model.set_attn_implementation(_ATTENTION)


def _embed_roberta(model: Model, ids_BT: Tensor, tokens: Tokens, types_BT: Tensor | None) -> Tensor:
    embeddings = model.base_model.embeddings
    places_BT = embeddings.create_position_ids_from_input_ids(
        tokens.pad(ids_BT), embeddings.padding_idx
    )
    kinds = {} if types_BT is None else {"token_type_ids": types_BT}
    return embeddings(input_ids=ids_BT, position_ids=tokens.pack(places_BT), **kinds)


def _embed_electra(model: Model, ids_BT: Tensor, tokens: Tokens, types_BT: Tensor | None) -> Tensor:
    hidden_BTD = bert_layers.embed(model, ids_BT, tokens, types_BT)
    project = getattr(model.electra, "embeddings_project", None)  # small embeddings
    return hidden_BTD if project is None else project(hidden_BTD)


def _layers_albert(model: Model) -> list[nn.Module]:
    """Layers of one group share their weights: the group runs once for each of them."""
    groups = model.albert.encoder.albert_layer_groups
    num_layers = model.config.num_hidden_layers
    return [groups[int(k / (num_layers / len(groups)))] for k in range(num_layers)]


def _embed_albert(model: Model, ids_BT: Tensor, tokens: Tokens, types_BT: Tensor | None) -> Tensor:
    hidden_BTD = bert_layers.embed(model, ids_BT, tokens, types_BT)
    return model.albert.encoder.embedding_hidden_mapping_in(hidden_BTD)


def _run(model: Model, layers: range, hidden_BTD: Tensor, tokens: Tokens) -> tuple[Tensor, Tokens]:
    family = family_of(model)
    assert family.attend is not None and family.feed is not None
    modules = family.layers(model)
    for k in layers:
        hidden_BTD = family.attend(model, modules[k], hidden_BTD, tokens)
        if k == len(modules) - 1 and family.answers_by_first(model.config):
            hidden_BTD, tokens = tokens.firsts(hidden_BTD)
        hidden_BTD = family.feed(modules[k], hidden_BTD)
    return hidden_BTD, tokens


def _attend_albert(model: Model, group: Any, hidden_BTD: Tensor, tokens: Tokens) -> Tensor:
    *others, last = group.albert_layers
    for layer in others:
        hidden_BTD = layer(hidden_BTD, None, tokens=tokens)
    return last.attention(hidden_BTD, None, tokens=tokens)[0]


def _feed_albert(group: Any, hidden_BTD: Tensor) -> Tensor:
    last = group.albert_layers[-1]
    return last.full_layer_layer_norm(last.ff_chunk(hidden_BTD) + hidden_BTD)


def _attend_distilbert(model: Model, layer: Any, hidden_BTD: Tensor, tokens: Tokens) -> Tensor:
    return layer.sa_layer_norm(layer.attention(hidden_BTD, tokens=tokens)[0] + hidden_BTD)


def _feed_distilbert(layer: Any, hidden_BTD: Tensor) -> Tensor:
    return layer.output_layer_norm(layer.ffn(hidden_BTD) + hidden_BTD)


def _attend_modernbert(model: Model, layer: Any, hidden_BTD: Tensor, tokens: Tokens) -> Tensor:
    rotary = model.model.rotary_emb(hidden_BTD, tokens.places, layer.attention_type)
    normed_BTD = layer.attn_norm(hidden_BTD)
    return hidden_BTD + layer.attn(normed_BTD, position_embeddings=rotary, tokens=tokens)[0]


def _feed_modernbert(layer: Any, hidden_BTD: Tensor) -> Tensor:
    return hidden_BTD + layer.mlp(layer.mlp_norm(hidden_BTD))


def _embed_deberta(model: Model, ids_BT: Tensor, tokens: Tokens, types_BT: Tensor | None) -> Tensor:
    return model.deberta.embeddings(
        input_ids=ids_BT,
        token_type_ids=torch.zeros_like(ids_BT) if types_BT is None else types_BT,
        position_ids=tokens.places,
        mask=tokens.mask_BT,
    )


def _run_deberta(
    model: Model, layers: range, hidden_BTD: Tensor, tokens: Tokens
) -> tuple[Tensor, Tokens]:
    """Always padded: its attention is no function that could be replaced."""
    encoder = model.deberta.encoder
    mask_BT = tokens.padded().mask_BT.long()
    mask = encoder.get_attention_mask(mask_BT)
    hidden_BTD = tokens.pad(hidden_BTD)
    relative_pos = encoder.get_rel_pos(hidden_BTD)
    rel_embeddings = encoder.get_rel_embedding()
    for k in layers:
        output_BTD = encoder.layer[k](
            hidden_BTD, mask, relative_pos=relative_pos, rel_embeddings=rel_embeddings
        )[0]
        if k == 0 and encoder.conv is not None:
            output_BTD = encoder.conv(hidden_BTD, output_BTD, mask_BT)
        hidden_BTD = output_BTD
    return tokens.pack(hidden_BTD), tokens


def _answer_pooled(head: dict[str, Any], hidden_BTD: Tensor, tokens: Tokens) -> Tensor:
    pooled_BD = head["pooler"](tokens.first(hidden_BTD)[:, None])
    return head["classifier"](head["dropout"](pooled_BD))


def _answer_albert(head: dict[str, Any], hidden_BTD: Tensor, tokens: Tokens) -> Tensor:
    pooled_BD = head["albert.pooler"](tokens.first(hidden_BTD)).tanh()
    return head["classifier"](head["dropout"](pooled_BD))


def _answer_sequence(head: dict[str, Any], hidden_BTD: Tensor, tokens: Tokens) -> Tensor:
    return head["classifier"](tokens.first(hidden_BTD)[:, None])


def _answer_distilbert(head: dict[str, Any], hidden_BTD: Tensor, tokens: Tokens) -> Tensor:
    first_BD = head["pre_classifier"](tokens.first(hidden_BTD)).relu()
    return head["classifier"](head["dropout"](first_BD))


def _answer_modernbert(head: dict[str, Any], hidden_BTD: Tensor, tokens: Tokens) -> Tensor:
    hidden_BTD = head["model.final_norm"](hidden_BTD)
    first = head["head"].config.classifier_pooling == "cls"
    pooled_BD = tokens.first(hidden_BTD) if first else tokens.mean(hidden_BTD)
    return head["classifier"](head["drop"](head["head"](pooled_BD)))


_BERT_LIKE: dict[str, Any] = {
    "layers": lambda model: model.base_model.encoder.layer,
    "embed": bert_layers.embed,
    "attend": bert_layers.attend,
    "feed": bert_layers.feed,
    "run": _run,
}
FAMILIES: dict[str, Family] = {
    "bert": Family(
        **_BERT_LIKE,
        head=("bert.pooler", "dropout", "classifier"),
        answer=bert_layers.answer,
    ),
    "roberta": Family(
        **{**_BERT_LIKE, "embed": _embed_roberta}, head=("classifier",), answer=_answer_sequence
    ),
    "electra": Family(
        **{**_BERT_LIKE, "embed": _embed_electra}, head=("classifier",), answer=_answer_sequence
    ),
    "albert": Family(
        layers=_layers_albert,
        embed=_embed_albert,
        attend=_attend_albert,
        feed=_feed_albert,
        run=_run,
        head=("albert.pooler", "dropout", "classifier"),
        answer=_answer_albert,
    ),
    "distilbert": Family(
        layers=lambda model: model.distilbert.transformer.layer,
        embed=lambda model, ids_BT, tokens, types_BT: model.distilbert.embeddings(
            ids_BT, position_ids=tokens.places
        ),
        attend=_attend_distilbert,
        feed=_feed_distilbert,
        run=_run,
        head=("pre_classifier", "dropout", "classifier"),
        answer=_answer_distilbert,
    ),
    "deberta-v2": Family(
        layers=lambda model: model.deberta.encoder.layer,
        embed=_embed_deberta,
        run=_run_deberta,
        pads=True,
        head=("pooler", "dropout", "classifier"),
        answer=_answer_pooled,
    ),
    "modernbert": Family(
        layers=lambda model: model.model.layers,
        embed=lambda model, ids_BT, tokens, types_BT: model.model.embeddings(input_ids=ids_BT),
        attend=_attend_modernbert,
        feed=_feed_modernbert,
        run=_run,
        answers_by_first=lambda config: config.classifier_pooling == "cls",
        head=("model.final_norm", "head", "drop", "classifier"),
        answer=_answer_modernbert,
    ),
}


def family_of(model: Model) -> Family:
    """The family that a model or its configuration belongs to.

    Raises:
        ValueError: the family is not described here.
    """
    config: Any = getattr(model, "config", model)
    model_type = config.model_type
    if model_type not in FAMILIES:
        raise ValueError(
            f"model_type ({model_type!r}) must be one of {sorted(FAMILIES)}: "
            "add its family to temporal/backbones/text/families.py"
        )
    return FAMILIES[model_type]


_PLACES_AFTER_PADDING = frozenset(
    """
    camembert data2vec-text esm ibert layoutlmv3 lilt longformer luke markuplm mpnet roberta
    roberta-prelayernorm xlm-roberta xlm-roberta-xl xmod
    """.split()  # noqa: SIM905
)
"""Families whose places are counted from the padding's id on."""


def max_positions(config: Any) -> int | None:
    """Tokens that a text model has positions for, special tokens included; None without a limit."""
    limit = getattr(config, "max_position_embeddings", None)
    if limit is not None and limit <= 0:
        return None  # XLNet says -1
    if limit is not None and config.model_type in _PLACES_AFTER_PADDING:
        padding = 1 if config.model_type == "mpnet" else config.pad_token_id or 0  # its own
        limit -= padding + 1
    return limit
