"""Find the reader for a task: the bundled default, a saved one, or one around any classifier."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from temporal.models.reader import Reader

from .checkpoints import open_checkpoint
from .loaded_model import LoadedModel as LoadedModel
from .loaded_model import with_own_policy as with_own_policy
from .text_models import load_tokenizer, text_model
from .text_models import special_tokens as special_tokens
from .video_models import video_model

DEFAULTS = Path(__file__).parent / "defaults"
_DEFAULT_NAMES = {
    "text-classification": "review-skim-rnn",
    "video-classification": "frames-lite0",
}


def load_model(
    task: str,
    model: Any,
    *,
    needs_pieces: bool = False,
    tokenizer: Any = None,
    trust_remote_code: bool = False,
    revision: str | None = None,
    chunk_size: int | None = None,
    **processors: Any,
) -> LoadedModel:
    """Load what `pipeline()` was given.

    Args:
        task: a pipeline's task.
        model: None, a path or id, a reader, or a classifier of transformers.
        needs_pieces: a budget or policy is asked for, so an ordinary classifier of texts or
            videos is read in chunks or clips rather than at once.
        tokenizer: a tokenizer, or its path; default: the model's.
        trust_remote_code: run code that comes with the model. Never on by itself.
        revision: of a hub id.
        chunk_size: tokens in a chunk for ordinary text classifiers; no other model takes it.
        **processors: what prepares frames for an ordinary classifier, instead of what came with
            it, by one of `PROCESSOR_OPTIONS`.

    Raises:
        ValueError: the model does not fit the task or takes no `chunk_size`.
        OSError: nothing is found at the path or id.
    """
    hub = {"trust_remote_code": trust_remote_code, "revision": revision or "main"}
    name = model if isinstance(model, str | Path) else type(model).__name__
    if model is None:
        name = _DEFAULT_NAMES[task]
        model = DEFAULTS / name
    path = str(model) if isinstance(model, str | Path) else None
    if path is not None:
        model = open_checkpoint(task, path, hub)
    if chunk_size is not None and (isinstance(model, Reader) or task != "text-classification"):
        raise ValueError(
            f"chunk_size ({chunk_size}) is for ordinary text classifiers; "
            f"{type(model).__name__} reads as it was made to"
        )
    if task == "text-classification":
        tokenizer = load_tokenizer(tokenizer, path or getattr(model, "name_or_path", None), hub)
        return text_model(model, str(name), tokenizer, needs_pieces, chunk_size)
    return video_model(model, str(name), path, hub, processors, needs_pieces=needs_pieces)
