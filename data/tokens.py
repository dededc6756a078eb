"""Tokenize texts, and of long ones only the part that is kept."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from .exact.exact_tokenizer import ExactTokenizer
from .exact.reference import encode_by_reference

CHARACTERS_PER_TOKEN = 16
"""Characters that are tokenized at first per token that is kept. Tokenizers truncate after the
work: 10 MB of words took one 20 s whatever `max_length` said."""

_GROWTH = 4
"""By how much more is tokenized where that was too little (white space, long words)."""


class Tokens(NamedTuple):
    """A tokenized text."""

    text: str
    """The part that was tokenized: the whole, or more than enough of one end."""
    ids: Any
    """Token ids."""
    spans: Any
    """What the tokens' character spans can be taken from, if anything."""


def tokenize(
    texts: list[str], tokenizer: Any, max_tokens: int | None, add_special_tokens: bool
) -> list[Tokens]:
    """Tokenize texts, of which so many tokens will be kept.

    Of a long text only one end is looked at, that which `tokenizer.truncation_side` keeps. It holds
    more tokens than asked for, and those that are kept are the ones that the whole text has there.

    Args:
        texts: the texts. Lone surrogates, which no tokenizer takes, are replaced.
        tokenizer: of Hugging Face, or an `ExactTokenizer` around it.
        max_tokens: tokens of each that will be kept; None: all.
        add_special_tokens: let the tokenizer add its own.
    """
    if max_tokens is not None and max_tokens < 1:
        raise ValueError(f"max_tokens ({max_tokens}) must be >= 1")
    left = side_cut(tokenizer) == "left"
    if isinstance(tokenizer, ExactTokenizer):
        encode = tokenizer.encode
    else:
        encode = partial(encode_by_reference, tokenizer)
    texts = [_encodable(text) for text in texts]
    results: dict[int, Tokens] = {}
    todo = list(range(len(texts)))
    size = None if max_tokens is None else CHARACTERS_PER_TOKEN * max_tokens
    while todo:
        parts = [_part(texts[k], size, left) for k in todo]
        found = encode(parts, add_special_tokens)
        for k, part, (ids, spans) in zip(todo, parts, found, strict=True):
            if len(part) == len(texts[k]) or _is_enough(part, len(ids), max_tokens or 0, left):
                results[k] = Tokens(part, ids, spans)
        todo = [k for k in todo if k not in results]
        size = None if size is None else _GROWTH * size
    return [results[k] for k in range(len(texts))]


def tokenize_pair(
    pair: Mapping[str, Any], tokenizer: Any, max_tokens: int | None, truncation: Any = True
) -> tuple[Any, Any, bool]:
    """Ids of a pair with all its special tokens, their `token_type_ids` or None, and if it was cut.

    Args:
        pair: `{"text": ..., "text_pair": ...}`.
        tokenizer: as of `tokenize`.
        max_tokens: tokens that are kept, special ones among them; None: all.
        truncation: the tokenizer's own strategy.
    """
    texts = _encodable(pair["text"]), _encodable(pair["text_pair"])
    tokenizer = _plain(tokenizer)
    encoded = tokenizer(*texts, verbose=False)
    cut = max_tokens is not None and len(encoded["input_ids"]) > max_tokens
    if cut:
        encoded = tokenizer(*texts, verbose=False, truncation=truncation, max_length=max_tokens)
    return encoded["input_ids"], encoded.get("token_type_ids"), cut


def side_cut(tokenizer: Any) -> str:
    """At which end a tokenizer cuts long texts: `"right"` or `"left"`."""
    return getattr(_plain(tokenizer), "truncation_side", "right")


def _plain(tokenizer: Any) -> Any:
    """The tokenizer of transformers itself."""
    return tokenizer.reference if isinstance(tokenizer, ExactTokenizer) else tokenizer


def _part(text: str, size: int | None, left: bool) -> str:
    if size is None or len(text) <= size:
        return text
    return text[-size:] if left else text[:size]


def _is_enough(part: str, num_tokens: int, max_tokens: int, left: bool) -> bool:
    """Whether the tokens that are kept do not depend on what was cut off.

    Only the word at the cut may have other tokens than in the whole text, at most one a byte. A
    text without spaces has no words; there, the cut is far away.
    """
    words = part.split(None, 1) if left else part.rsplit(None, 1)
    at_cut = words[0 if left else -1] if words else ""
    return num_tokens >= min(max_tokens + len(at_cut.encode()) + 2, 2 * max_tokens + 2)


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text
