"""Ids by a tokenizer of transformers itself: what all others are compared with."""

from __future__ import annotations

from typing import Any


def encode_by_reference(
    tokenizer: Any, texts: list[str], add_special_tokens: bool
) -> list[tuple[Any, Any]]:
    """Token ids of each text, and its encoding, which tells the spans; None of a slow tokenizer.

    Args:
        tokenizer: of transformers.
        texts: at least one, without lone surrogates.
        add_special_tokens: let the tokenizer add its own.
    """
    fast = bool(getattr(tokenizer, "is_fast", False))
    encoded = tokenizer(
        texts,
        add_special_tokens=add_special_tokens,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    spans = encoded.encodings if fast else [None] * len(texts)
    return list(zip(encoded["input_ids"], spans, strict=True))
