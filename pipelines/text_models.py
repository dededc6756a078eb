"""Text models for pipelines: their tokenizer, and a reader around any sequence classifier."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedModel

from temporal.models import ChunkReader
from temporal.models.reader import Reader

from .loaded_model import LoadedModel

_TRAINING_FREE_CHUNK = 128
"""Tokens in a chunk when an ordinary text classifier is read in pieces."""


def load_tokenizer(tokenizer: Any, path: str | None, hub: dict[str, Any]) -> Any:
    """A tokenizer that was given, or the one at its path, or the model's own.

    Raises:
        ValueError: there is neither a tokenizer nor a path.
        OSError: no tokenizer is found at the path.
    """
    if tokenizer is not None and not isinstance(tokenizer, str | Path):
        return tokenizer
    where = str(tokenizer) if tokenizer is not None else path
    if not where:
        raise ValueError("a text model given as an object needs its tokenizer: pass tokenizer=")
    return AutoTokenizer.from_pretrained(where, **hub)


def text_model(
    model: Any, name: str, tokenizer: Any, needs_pieces: bool, chunk_size: int | None
) -> LoadedModel:
    """A text reader as it is, or a `ChunkReader` around a sequence classifier.

    Raises:
        ValueError: the model reads no texts.
    """
    if isinstance(model, Reader) and model.unit == "token":
        reader: Any = model
        config = reader.config
        return LoadedModel(
            reader=reader,
            module=reader,
            name=name,
            tokenizer=tokenizer,
            adds_special_tokens=config.model_type == "early_exit",
            max_tokens=getattr(model, "max_tokens", None) or getattr(config, "max_tokens", None),
        )
    if not isinstance(model, PreTrainedModel) or isinstance(model, Reader):
        raise ValueError(f"model ({name}) must be a text reader or a sequence classifier")
    if needs_pieces and chunk_size is None:
        chunk_size = _TRAINING_FREE_CHUNK
    before, after = special_tokens(tokenizer)
    reader = ChunkReader.from_classifier(model, (before, after), chunk_size=chunk_size)
    return LoadedModel(
        reader=reader,
        module=reader,
        name=name,
        tokenizer=tokenizer,
        max_tokens=None if needs_pieces or chunk_size else reader.chunk_tokens,
        num_added_tokens=len(before) + len(after),
    )


def special_tokens(tokenizer: Any) -> tuple[list[int], list[int]]:
    """What a tokenizer puts before and after a text."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    full = tokenizer("a")["input_ids"]
    for start in range(len(full) - len(bare) + 1):
        if full[start : start + len(bare)] == bare:
            return full[:start], full[start + len(bare) :]
    raise ValueError("the tokenizer changes a text when it adds special tokens")
