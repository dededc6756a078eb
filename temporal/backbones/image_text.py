"""Vectors of images and of texts in one space, by a model that was trained to match the two.

`image_vectors` and `text_vectors` are an image's and a text's side of CLIP, SigLIP and their like
(any model of transformers with `get_image_features` and `get_text_features`); an image fits a text
as well as their vectors' inner product, which is their cosine, says.

B images, K texts, D width of the common space.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

_SIGLIP_TOKENS = 64  # that its texts are padded to, in training and in transformers' pipeline


def check_image_text(model: Any) -> None:
    """Raise ValueError unless a model gives vectors of images and of texts."""
    if not hasattr(model, "get_image_features") or not hasattr(model, "get_text_features"):
        raise ValueError(
            f"model ({type(model).__name__}) must give a vector for an image and one for a "
            "text (get_image_features, get_text_features), as CLIP and SigLIP do"
        )


def image_vectors(model: Any, pixel_values: Tensor, **patches: Tensor | None) -> Tensor:
    """An image's side of the model.

    Args:
        model: of transformers, see `check_image_text`.
        pixel_values: as the model's processor makes them, on the model's device.
        **patches: what else the processor makes, of models that take patches (SigLIP 2:
            `pixel_attention_mask`, `spatial_shapes`); None: not given.

    Returns:
        Vectors `[B, D]` of length 1, on the model's device and of its dtype.
    """
    given = {name: value for name, value in patches.items() if value is not None}
    return _unit(_pooled(model.get_image_features(pixel_values, **given)))


def text_vectors(model: Any, tokenizer: Any, texts: Sequence[str]) -> Tensor:
    """A text's side of the model, without gradients.

    Args:
        model: of transformers, see `check_image_text`.
        tokenizer: the one that came with it.
        texts: whole, as in "This is a photo of a cat.".

    Returns:
        Vectors `[K, D]` of length 1, on the model's device and of its dtype.
    """
    tokens = tokens_of(model.config, tokenizer, texts)
    taken = inspect.signature(model.get_text_features).parameters
    given = {name: value.to(model.device) for name, value in tokens.items() if name in taken}
    with torch.inference_mode():
        vectors_KD = _unit(_pooled(model.get_text_features(**given)))
    return vectors_KD.clone()  # an ordinary tensor


def says_each_alone(config: Any) -> bool:
    """Whether a family says of each label whether it fits, rather than which of them fits best."""
    return "siglip" in config.model_type


def tokens_of(config: Any, tokenizer: Any, texts: Sequence[str]) -> dict[str, Tensor]:
    """Texts as an image-text model takes them."""
    padding: dict[str, Any] = {"padding": True}
    if says_each_alone(config):
        padding = {"padding": "max_length", "max_length": _SIGLIP_TOKENS, "truncation": True}
    return dict(tokenizer(list(texts), return_tensors="pt", **padding))


def _pooled(output: Any) -> Tensor:
    """Vectors, of what `get_image_features` and `get_text_features` return."""
    return getattr(output, "pooler_output", output)


def _unit(vectors_BD: Tensor) -> Tensor:
    return vectors_BD / vectors_BD.norm(dim=-1, keepdim=True)
