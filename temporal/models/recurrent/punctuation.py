"""Where clauses and sentences end, told from token ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CLAUSE_ENDS, SENTENCE_ENDS = ",;:", ".!?"

CLAUSE, SENTENCE = 1, 2
"""Kinds of token; a word is of kind 0. The end of a sentence ends its clause, too."""


def token_ids(tokenizer: Any, symbols: str) -> list[int]:
    """The ids of punctuation marks in a vocabulary; those that it does not have are left out.

    Args:
        tokenizer: a tokenizer of transformers.
        symbols: one mark each, e.g. `SENTENCE_ENDS`.
    """
    ids = tokenizer.convert_tokens_to_ids(list(symbols))
    return [k for k in ids if k is not None and k != tokenizer.unk_token_id]


def token_kinds(
    vocab_size: int, *, clause: Sequence[int] = (), sentence: Sequence[int] = ()
) -> NDArray[np.int8]:
    """The kind of each vocabulary entry, `[V]`, from the ids of the tokens that end something."""
    kinds = np.zeros(vocab_size, np.int8)
    kinds[list(clause)] = CLAUSE
    kinds[list(sentence)] = SENTENCE
    return kinds


def after_next(ends_BT: Tensor, lengths_B: Tensor) -> Tensor:
    """For each token, the place after the next end that follows it: int64 `[B, T]`.

    The text's own length where none follows.

        a b , c .      ->  3 3 5 5 5        (ends are "," and ".")
    """
    num_tokens = ends_BT.shape[1]
    places_T = torch.arange(1, num_tokens + 1, device=ends_BT.device)
    after_BT = torch.where(ends_BT, places_T, num_tokens)
    after_BT = after_BT.flip(1).cummin(1).values.flip(1)
    last_B1 = torch.full_like(lengths_B, num_tokens)[:, None]
    return torch.cat([after_BT[:, 1:], last_B1], 1).minimum(lengths_B[:, None])
