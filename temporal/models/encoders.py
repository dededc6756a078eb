"""Take transformers' text encoders apart into embedding, layers and answer.

An early-exit reader stops between layers, which the encoders' own `forward` cannot do. Each family
of `AutoModelForSequenceClassification` is described here by four small functions; composed, they
compute exactly what the family's `forward` does.

B sources, T tokens, D model width, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.masking_utils import (
    create_bidirectional_mask,
    create_bidirectional_sliding_window_mask,
)

Model = Any  # a transformers *ForSequenceClassification; its attributes differ by family


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """How one family of encoders computes."""

    layers: Callable[[Model], Sequence[nn.Module]]
    """The model's layers, in order; some may be the same module."""

    embed: Callable[[Model, Tensor, Tensor, Tensor | None], Tensor]
    """`(model, ids_BT, mask_BT, types_BT) -> hidden_BTD`, the input of the first layer."""

    run: Callable[[Model, range, Tensor, Tensor], Tensor]
    """`(model, layers, hidden_BTD, mask_BT) -> hidden_BTD`, through some consecutive layers."""

    head: tuple[str, ...]
    """The modules that only the answer uses; an exit gets its own copy of each."""

    answer: Callable[[dict[str, Any], Tensor, Tensor], Tensor]
    """`(head, hidden_BTD, mask_BT) -> logits_BK`, with the modules of `head` by name."""


def _embed(model: Model, ids_BT: Tensor, mask_BT: Tensor, types_BT: Tensor | None) -> Tensor:
    base = model.base_model
    kinds = {} if types_BT is None else {"token_type_ids": types_BT}
    hidden_BTD = base.embeddings(input_ids=ids_BT, **kinds)
    project = getattr(base, "embeddings_project", None)  # ELECTRA's small embeddings
    return hidden_BTD if project is None else project(hidden_BTD)


def _layers_albert(model: Model) -> list[nn.Module]:
    """Layers of one group share their weights: the group runs once for each of them."""
    groups = model.albert.encoder.albert_layer_groups
    num_layers = model.config.num_hidden_layers
    return [groups[int(k / (num_layers / len(groups)))] for k in range(num_layers)]


def _embed_albert(model: Model, ids_BT: Tensor, mask_BT: Tensor, types_BT: Tensor | None) -> Tensor:
    hidden_BTD = _embed(model, ids_BT, mask_BT, types_BT)
    return model.albert.encoder.embedding_hidden_mapping_in(hidden_BTD)


def _run(
    model: Model,
    layers: range,
    hidden_BTD: Tensor,
    mask_BT: Tensor,
) -> Tensor:
    modules = family_of(model).layers(model)
    mask = create_bidirectional_mask(
        config=model.config, inputs_embeds=hidden_BTD, attention_mask=mask_BT
    )
    for k in layers:
        hidden_BTD = _tensor(modules[k](hidden_BTD, mask))
    return hidden_BTD


def _run_deberta(model: Model, layers: range, hidden_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    encoder = model.deberta.encoder
    mask = encoder.get_attention_mask(mask_BT)
    relative_pos = encoder.get_rel_pos(hidden_BTD)
    rel_embeddings = encoder.get_rel_embedding()
    for k in layers:
        output_BTD = _tensor(
            encoder.layer[k](
                hidden_BTD, mask, relative_pos=relative_pos, rel_embeddings=rel_embeddings
            )
        )
        if k == 0 and encoder.conv is not None:
            output_BTD = encoder.conv(hidden_BTD, output_BTD, mask_BT)
        hidden_BTD = output_BTD
    return hidden_BTD


def _run_modernbert(model: Model, layers: range, hidden_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    base = model.model
    inputs = {"config": model.config, "inputs_embeds": hidden_BTD, "attention_mask": mask_BT}
    masks = {
        "full_attention": create_bidirectional_mask(**inputs),
        "sliding_attention": create_bidirectional_sliding_window_mask(**inputs),
    }
    positions_1T = torch.arange(hidden_BTD.shape[1], device=hidden_BTD.device)[None]
    for k in layers:
        layer = base.layers[k]
        kind = layer.attention_type
        hidden_BTD = _tensor(
            layer(
                hidden_BTD,
                attention_mask=masks[kind],
                position_embeddings=base.rotary_emb(hidden_BTD, positions_1T, kind),
            )
        )
    return hidden_BTD


def _answer_pooled(head: dict[str, Any], hidden_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    pooler = head.get("bert.pooler") or head["pooler"]
    return head["classifier"](head["dropout"](pooler(hidden_BTD)))


def _answer_albert(head: dict[str, Any], hidden_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    pooled_BD = head["albert.pooler"](hidden_BTD[:, 0]).tanh()
    return head["classifier"](head["dropout"](pooled_BD))


def _answer_sequence(head: dict[str, Any], hidden_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    return head["classifier"](hidden_BTD)


def _answer_distilbert(head: dict[str, Any], hidden_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    first_BD = head["pre_classifier"](hidden_BTD[:, 0]).relu()
    return head["classifier"](head["dropout"](first_BD))


def _answer_modernbert(head: dict[str, Any], hidden_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    hidden_BTD = head["model.final_norm"](hidden_BTD)
    if head["head"].config.classifier_pooling == "cls":
        pooled_BD = hidden_BTD[:, 0]
    else:
        pooled_BD = (hidden_BTD * mask_BT[..., None]).sum(1) / mask_BT.sum(1, keepdim=True)
    return head["classifier"](head["drop"](head["head"](pooled_BD)))


def _tensor(output: Any) -> Tensor:
    """Some layers return their hidden states alone, others as the first of several."""
    return output if isinstance(output, Tensor) else output[0]


_BERT_LIKE: dict[str, Any] = {
    "layers": lambda model: model.base_model.encoder.layer,
    "embed": _embed,
    "run": _run,
}
FAMILIES: dict[str, Family] = {
    "bert": Family(
        **_BERT_LIKE,
        head=("bert.pooler", "dropout", "classifier"),
        answer=_answer_pooled,
    ),
    "roberta": Family(**_BERT_LIKE, head=("classifier",), answer=_answer_sequence),
    "electra": Family(**_BERT_LIKE, head=("classifier",), answer=_answer_sequence),
    "albert": Family(
        layers=_layers_albert,
        embed=_embed_albert,
        run=_run,
        head=("albert.pooler", "dropout", "classifier"),
        answer=_answer_albert,
    ),
    "distilbert": Family(
        layers=lambda model: model.distilbert.transformer.layer,
        embed=lambda model, ids_BT, mask_BT, types_BT: model.distilbert.embeddings(ids_BT),
        run=_run,
        head=("pre_classifier", "dropout", "classifier"),
        answer=_answer_distilbert,
    ),
    "deberta-v2": Family(
        layers=lambda model: model.deberta.encoder.layer,
        embed=lambda model, ids_BT, mask_BT, types_BT: model.deberta.embeddings(
            input_ids=ids_BT,
            token_type_ids=torch.zeros_like(ids_BT) if types_BT is None else types_BT,
            mask=mask_BT,
        ),
        run=_run_deberta,
        head=("pooler", "dropout", "classifier"),
        answer=_answer_pooled,
    ),
    "modernbert": Family(
        layers=lambda model: model.model.layers,
        embed=lambda model, ids_BT, mask_BT, types_BT: model.model.embeddings(input_ids=ids_BT),
        run=_run_modernbert,
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
            "add its family to temporal/models/encoders.py"
        )
    return FAMILIES[model_type]


def max_positions(config: Any) -> int | None:
    """Tokens that a text model has positions for, special tokens included; None without a limit."""
    limit = getattr(config, "max_position_embeddings", None)
    if limit is not None and limit <= 0:
        return None  # XLNet says -1
    if limit is not None and config.model_type in ("roberta", "xlm-roberta", "camembert"):
        limit -= (config.pad_token_id or 0) + 1  # their positions start after the padding's
    return limit
