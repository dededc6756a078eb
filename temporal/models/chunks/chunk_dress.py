"""What a chunk wears for a classifier: special tokens, and the types of all tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def is_pair(document: Any) -> bool:
    """Whether a document is a pair of texts, read as it is: its special tokens are in it."""
    return bool(getattr(document, "is_pair", False))


def types_of(documents: Sequence[Any], ids: Sequence[Tensor], config: Any) -> list[Tensor] | None:
    """`token_type_ids` of a chunk of each document, int64 `[T]`; None: the encoder's own default.

    Args:
        documents: handles on them; a pair of texts brings its own types.
        ids: of each chunk with its special tokens.
        config: a `ChunkReaderConfig`.
    """
    own = [getattr(document, "token_types", None) for document in documents]
    if config.token_types is None and all(types_T is None for types_T in own):
        return None
    before, inside, after = config.token_types or ([], [0], [])
    return [
        torch.tensor(before + inside * (len(row) - len(before) - len(after)) + after)
        if types_T is None
        else types_T
        for types_T, row in zip(own, ids, strict=True)
    ]
