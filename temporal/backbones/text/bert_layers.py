"""Embedding and layers of BERT, RoBERTa and ELECTRA, computed without the calls of their modules.

A module's call costs about as much as a small product, and a layer makes some twenty of them: of a
short text alone, read on a CPU, they take a fifth of the time. Where nothing is attached to a
module and it is of the class that is expected, its operations are called here directly, in the same
order, to the same bits. Everywhere else the modules compute.

B texts, T tokens, D model width, H heads, d width of a head, F inner width, K classes. What is
said of `[B, T, D]` holds for packed `[1, N, D]`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from .tokens import Tokens

_PLAIN_PACKAGES = ("torch.", "transformers.")


def embed(model: Any, ids_BT: Tensor, tokens: Tokens, types_BT: Tensor | None) -> Tensor:
    """Words, types and places, added up and normed: `[B, T, D]`. Not for RoBERTa's places."""
    embeddings = model.base_model.embeddings
    words, types, places, dropout, norm = _parts(
        embeddings,
        "word_embeddings",
        "token_type_embeddings",
        "position_embeddings",
        "dropout",
        "LayerNorm",
    )
    if types_BT is not None or not (
        _are(nn.Embedding, words, types, places)
        and _are(nn.LayerNorm, norm)
        and _are_plain(embeddings, words, types, places, dropout, norm)
    ):
        kinds = {} if types_BT is None else {"token_type_ids": types_BT}
        return embeddings(input_ids=ids_BT, position_ids=tokens.places, **kinds)
    words_BTD = F.embedding(ids_BT, words.weight) + types.weight[0]
    return _norm(norm, words_BTD + F.embedding(tokens.places, places.weight))


def attend(model: Any, layer: Any, hidden_BTD: Tensor, tokens: Tokens) -> Tensor:
    """A layer up to its feed-forward part: attention, its dense layer, the residual and a norm."""
    (attention,) = _parts(layer, "attention")
    inside, output = _parts(attention, "self", "output")
    query, key, value = _parts(inside, "query", "key", "value")
    dense, dropout, norm = _parts(output, "dense", "dropout", "LayerNorm")
    if not (
        _are(nn.Linear, query, key, value, dense)
        and _are(nn.LayerNorm, norm)
        and _are_plain(attention, inside, output, query, key, value, dense, dropout, norm)
    ):
        return attention(hidden_BTD, None, tokens=tokens)[0]
    shape = (*hidden_BTD.shape[:2], -1, inside.attention_head_size)
    query_BHTd, key_BHTd, value_BHTd = (
        _linear(projection, hidden_BTD).view(shape).transpose(1, 2)
        for projection in (query, key, value)
    )
    seen_BTHd = tokens.attend(query_BHTd, key_BHTd, value_BHTd, scale=inside.scaling)
    seen_BTD = seen_BTHd.reshape(*hidden_BTD.shape[:2], -1)
    return _norm(norm, _linear(dense, seen_BTD) + hidden_BTD)


def feed(layer: Any, hidden_BTD: Tensor) -> Tensor:
    """The feed-forward part of a layer, the residual and a norm."""
    intermediate, output = _parts(layer, "intermediate", "output")
    (inner,) = _parts(intermediate, "dense")
    outer, dropout, norm = _parts(output, "dense", "dropout", "LayerNorm")
    if not (
        _are(nn.Linear, inner, outer)
        and _are(nn.LayerNorm, norm)
        and _are_plain(layer, intermediate, output, inner, outer, dropout, norm)
    ):
        return layer.feed_forward_chunk(hidden_BTD)
    inner_BTF = intermediate.intermediate_act_fn(_linear(inner, hidden_BTD))
    return _norm(norm, _linear(outer, inner_BTF) + hidden_BTD)


def answer(head: dict[str, Any], hidden_BTD: Tensor, tokens: Tokens) -> Tensor:
    """BERT's classifier on its pooler's view of the first token: logits `[B, K]`."""
    pooler, dropout, classifier = head["bert.pooler"], head["dropout"], head["classifier"]
    dense, activation = _parts(pooler, "dense", "activation")
    first_BD = tokens.first(hidden_BTD)
    if _are(nn.Linear, dense, classifier) and _are_plain(pooler, dense, dropout, classifier):
        return _linear(classifier, activation(_linear(dense, first_BD)))
    return classifier(dropout(pooler(first_BD[:, None])))


def _are_plain(*modules: nn.Module) -> bool:
    """Whether calling these modules does no more than their arithmetic.

    Nothing is dropped out, and nobody watches or replaces it: by hooks, by a `forward` of the
    module's own as accelerate sets it, or by a class of theirs as libraries of adapters do.
    """
    for module in modules:
        own = vars(module)
        if own["training"] or own["_forward_hooks"] or own["_forward_pre_hooks"]:
            return False
        if "forward" in own or not type(module).__module__.startswith(_PLAIN_PACKAGES):
            return False
    return True


def _are(kind: type[nn.Module], *modules: nn.Module) -> bool:
    """Whether all are of this very class: adapters and quantised layers have their own."""
    return all(type(module) is kind for module in modules)


def _parts(module: nn.Module, *names: str) -> Iterator[Any]:
    """Some of a module's children; by `getattr` each takes 2 us, as long as an addition."""
    children = vars(module)["_modules"]
    return (children[name] for name in names)


def _linear(module: nn.Module, values: Tensor) -> Tensor:
    own = vars(module)["_parameters"]
    return F.linear(values, own["weight"], own["bias"])


def _norm(module: nn.LayerNorm, values: Tensor) -> Tensor:
    own = vars(module)["_parameters"]
    return F.layer_norm(values, module.normalized_shape, own["weight"], own["bias"], module.eps)
