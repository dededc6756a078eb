"""Text models for pipelines: their tokenizer, and a reader around any sequence classifier."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedModel
from transformers.tokenization_utils_base import LARGE_INTEGER

from temporal.models.reader import Reader
from temporal.models.wrappers import unwrapped

from ..loading.loaded_model import LoadedModel
from ..loading.places import find_place

_SAVE = "save the tokenizer beside the model (tokenizer.save_pretrained), or pass tokenizer="
_TRAINING_FREE_CHUNK = 128
"""Tokens in a chunk when an ordinary text classifier is read in pieces."""
_LONGEST_TEXT = 1 << 16
"""Tokens that a classifier is given at once where neither it nor its tokenizer has a limit."""


def load_tokenizer(tokenizer: Any, path: str | None, hub: dict[str, Any]) -> Any:
    """A tokenizer that was given, or the one at its path, or the model's own.

    Raises:
        ValueError: there is neither a tokenizer nor a path.
        OSError: no tokenizer is found at the path.
    """
    if tokenizer is not None and not isinstance(tokenizer, str | Path):
        return tokenizer
    if tokenizer is None and not path:
        raise ValueError("a text model given as an object needs its tokenizer: pass tokenizer=")
    option = "model" if tokenizer is None else "tokenizer"
    where = find_place(option, str(path if tokenizer is None else tokenizer), hub)
    _check_names(Path(where, "tokenizer_config.json"))
    try:
        found = AutoTokenizer.from_pretrained(where, **hub)
    except (ValueError, ImportError, TypeError, KeyError, AttributeError) as error:
        if "trust_remote_code" in str(error):
            raise
        raise OSError(
            f"{where} has no tokenizer that can be read here ({error}): {_SAVE}"
        ) from error
    # transformers makes one without words where there is no vocabulary: all would be unknown.
    backend = getattr(found, "backend_tokenizer", None)
    words = found.get_vocab() if backend is None else backend.get_vocab(with_added_tokens=True)
    if words and set(words) <= {*found.all_special_tokens, *found.get_added_vocab()}:
        raise OSError(f"{where} has no vocabulary, and every word would be unknown: {_SAVE}")
    return found


def _check_names(settings: Path) -> None:
    """Raise OSError where the settings of a tokenizer name files outside their folder."""
    if not settings.is_file():
        return
    try:
        named = json.loads(settings.read_bytes()).get("fast_tokenizer_files") or []
    except (ValueError, AttributeError) as error:
        raise OSError(f"{settings} must be JSON, names and values ({error}): {_SAVE}") from error
    for name in named:
        if Path(str(name)).name != name or "\\" in name:
            raise OSError(
                f"{settings}: fast_tokenizer_files ({name!r}) must be files in the folder itself"
            )


def load_text_model(
    model: Any,
    *,
    name: str,
    path: str | None,
    hub: dict[str, Any],
    needs_pieces: bool,
    tokenizer: Any = None,
    chunk_size: int | None = None,
) -> LoadedModel:
    """`load` of tasks that read texts by a text reader or a sequence classifier.

    Args:
        model: see `text_model`.
        name: for messages.
        path: folder or hub id that it came from.
        hub: options of `from_pretrained`.
        needs_pieces: a classifier is read in chunks rather than at once.
        tokenizer: a tokenizer, or its path; default: the model's.
        chunk_size: tokens in a chunk of an ordinary classifier.
    """
    where = path or getattr(unwrapped(model), "name_or_path", None)
    return text_model(model, name, load_tokenizer(tokenizer, where, hub), needs_pieces, chunk_size)


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
        limits = [getattr(model, "max_tokens", None) or getattr(config, "max_tokens", None)]
        if reader.reads_special_tokens:
            limits.append(tokenizer_limit(tokenizer))
        return LoadedModel(
            reader=reader,
            module=reader,
            name=name,
            tokenizer=tokenizer,
            adds_special_tokens=reader.reads_special_tokens,
            max_tokens=min((limit for limit in limits if limit), default=None),
            reads_empty=reader.reads_special_tokens,
        )
    from temporal.models import ChunkReader  # here: other readers do without it

    inner = unwrapped(model)
    if not isinstance(inner, PreTrainedModel) or isinstance(inner, Reader):
        raise ValueError(f"model ({name}) must be a text reader or a sequence classifier")
    whole = not needs_pieces and chunk_size is None
    limit = tokenizer_limit(tokenizer)
    sizes = [chunk_size, limit]
    if chunk_size is None:
        sizes.append(_LONGEST_TEXT if whole else _TRAINING_FREE_CHUNK)
    before, after = special_tokens(tokenizer)
    if limit is not None and limit <= len(before) + len(after):
        raise _no_limit(limit, len(before) + len(after) + 1)
    reader = ChunkReader.from_classifier(
        model,
        (before, after),
        chunk_size=min(size for size in sizes if size),
        token_types=token_types(tokenizer, len(before)),
    )
    return LoadedModel(
        reader=reader,
        module=reader,
        name=name,
        tokenizer=tokenizer,
        max_tokens=reader.chunk_tokens if whole else None,
        num_added_tokens=len(before) + len(after),
        reads_empty=bool(before or after),
        reads_pairs=whole,
    )


def tokenizer_limit(tokenizer: Any) -> int | None:
    """Tokens that a tokenizer says its model takes, special ones included; None: it does not.

    Raises:
        ValueError: it says what is no number of tokens.
    """
    limit = getattr(tokenizer, "model_max_length", None)
    if not limit:
        return None
    if not isinstance(limit, int | float) or limit < 1:
        raise _no_limit(limit, 1)
    return int(limit) if limit < LARGE_INTEGER else None


def _no_limit(limit: Any, least: int) -> ValueError:
    return ValueError(
        f"the tokenizer's model_max_length ({limit!r}) must be a number of at least {least} "
        "tokens, special ones among them: mend tokenizer_config.json, or pass tokenizer="
    )


def token_types(tokenizer: Any, num_before: int) -> list[list[int]] | None:
    """`token_type_ids` of the special tokens before a text, of a token, and of those after it.

    None where the tokenizer gives none, so that its model's default stands.
    """
    types = tokenizer("a").get("token_type_ids")
    if types is None:
        return None
    num_bare = len(tokenizer("a", add_special_tokens=False)["input_ids"])
    stop = num_before + num_bare
    return [types[:num_before], types[num_before : num_before + 1], types[stop:]]


def special_tokens(tokenizer: Any) -> tuple[list[int], list[int]]:
    """What a tokenizer puts before and after a text."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    full = tokenizer("a")["input_ids"]
    for start in range(len(full) - len(bare) + 1):
        if full[start : start + len(bare)] == bare:
            return full[:start], full[start + len(bare) :]
    raise ValueError("the tokenizer changes a text when it adds special tokens")
