"""What a tokenizer is set to: whether another library can stand in for it, and still can."""

from __future__ import annotations

from typing import Any

_CALLED = (
    "__call__",
    "encode_plus",
    "batch_encode_plus",
    "_encode_plus",
    "_batch_encode_plus",
    "_call_one",
    "_convert_encoding",
    "set_truncation_and_padding",
)
"""What a call of a tokenizer goes through before the backend that libraries imitate."""

_PROBES = 16


def why_unsupported(tokenizer: Any) -> str | None:
    """Why only the reference can tokenize as this tokenizer does; None: another library may.

    Args:
        tokenizer: of transformers.
    """
    from transformers import PreTrainedTokenizerFast

    kind = type(tokenizer)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        return f"{kind.__name__} is not a fast tokenizer"
    for name in _CALLED:
        own = getattr(kind, name, None) is not getattr(PreTrainedTokenizerFast, name, None)
        if own or name in vars(tokenizer):
            return f"{kind.__name__} has its own {name}"
    if tokenizer.split_special_tokens or tokenizer.backend_tokenizer.encode_special_tokens:
        return "it splits special tokens (split_special_tokens)"
    return None


def settings_of(tokenizer: Any) -> tuple[Any, ...]:
    """What changes when a fast tokenizer is changed; told in 10 us, without its vocabulary.

    Two models of one size and with the same settings that differ in some words are told apart by a
    few of their words only: texts that are compared have to find that.
    """
    backend = tokenizer.backend_tokenizer
    model = backend.model
    size = backend.get_vocab_size(with_added_tokens=True)
    step = max(size // _PROBES, 1)
    return (
        id(backend),
        type(model).__name__,
        tuple(
            getattr(model, name, None)
            for name in ("unk_token", "continuing_subword_prefix", "max_input_chars_per_word")
        ),
        size,
        tuple(backend.id_to_token(k) for k in range(0, size, step)),
        repr(backend.get_added_tokens_decoder()),
        *(
            None if part is None else part.__getstate__()
            for part in (backend.normalizer, backend.pre_tokenizer, backend.post_processor)
        ),
        tokenizer.split_special_tokens,
        *(name for name in _CALLED if name in vars(tokenizer)),
    )
