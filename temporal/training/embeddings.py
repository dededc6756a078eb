"""Start a small reader's word embeddings from a large encoder's."""

from __future__ import annotations

import torch
from torch import Tensor


def reduce_embeddings(table_VD: Tensor, size: int, *, std: float = 0.1) -> Tensor:
    """Project an embedding table to its `size` principal directions.

    Args:
        table_VD: float `[V, D]`, D >= size.
        size: columns to keep.
        std: standard deviation of the result's entries.

    Returns:
        float32 `[V, size]`, centred.

    Raises:
        ValueError: the table is narrower than `size`.
    """
    if size > table_VD.shape[1]:
        raise ValueError(f"size ({size}) must be <= the table's width ({table_VD.shape[1]})")
    centred_VD = table_VD.float() - table_VD.float().mean(0)
    _, vectors_DD = torch.linalg.eigh(centred_VD.T @ centred_VD)
    reduced = centred_VD @ vectors_DD[:, -size:].flip(1)
    return reduced * (std / reduced.std())
