"""What any image model of transformers makes of images without classes: a vector, or all tokens.

A model of images and texts gives what it compares with texts (`get_image_features`); a model of
images its pooled output, or what its tokens say.

B images, T tokens, D width.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor


def image_features(model: Any, pool: bool | None, **inputs: Tensor) -> Tensor:
    """Features `[B, D]` of images; of `pool=False` all tokens, `[B, T, D]` (or a map `[B, ...]`).

    Args:
        model: of transformers; without a head, or with one that is not asked.
        pool: as of transformers' pipeline: True takes the model's pooled output, False the last
            hidden state. None: what the model offers: the vector that it compares with texts, its
            pooled output, or else the mean of the last hidden state.
        **inputs: what the model's processor made.

    Raises:
        ValueError: the model has no such output.
    """
    kind = type(model).__name__
    if hasattr(model, "get_image_features"):
        if pool is False:
            raise ValueError(
                f"pool (False) is for models of images: {kind} compares images with texts, and "
                "gives one vector for each"
            )
        vectors = model.get_image_features(**inputs)
        return getattr(vectors, "pooler_output", vectors)
    output = getattr(model, "base_model", model)(**inputs, return_dict=True)
    pooled = getattr(output, "pooler_output", None)
    if pool is None:
        if pooled is not None:
            return pooled.flatten(1)
        hidden = output.last_hidden_state  # [B, D, H, W] of a CNN, [B, T, D] of a transformer
        return hidden.flatten(2).mean(2) if hidden.dim() == 4 else hidden.mean(1)
    if not pool:
        return output.last_hidden_state
    if pooled is None:
        raise ValueError(f"pool (True) needs a pooled output, and {kind} has none: leave it out")
    return pooled.flatten(1)
