"""Find the reader for a task: the bundled default, a saved one, or one around any classifier."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from temporal.models.reader import Reader
from temporal.models.wrappers import unwrapped

from ..tasks.text_models import load_tokenizer, text_model
from ..tasks.text_models import special_tokens as special_tokens
from .checkpoints import open_checkpoint
from .loaded_model import LoadedModel as LoadedModel
from .loaded_model import with_own_policy as with_own_policy
from .model_options import MODEL_OPTIONS, ModelOptions, model_options
from .places import find_place

DEFAULTS = Path(__file__).parent.parent / "defaults"
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
    chunk_size: int | None = None,
    options: ModelOptions | None = None,
    **others: Any,
) -> LoadedModel:
    """Load what `pipeline()` was given.

    Args:
        task: a pipeline's task.
        model: None, a path or id, a reader, or a classifier of transformers, perhaps in a wrapper
            (compiled, of adapters, of several devices).
        needs_pieces: a budget or policy is asked for, so an ordinary classifier of texts or
            videos is read in chunks or clips rather than at once.
        tokenizer: a tokenizer, or its path; default: the model's.
        chunk_size: tokens in a chunk for ordinary text classifiers; no other model takes it.
        options: how the model is loaded; default: by those of `others` that say it.
        **others: what prepares frames for an ordinary classifier, instead of what came with it, by
            one of `PROCESSOR_OPTIONS`; and `MODEL_OPTIONS`.

    Raises:
        ValueError: the model does not fit the task or takes no `chunk_size`.
        OSError: nothing is found at the path or id.
    """
    if options is None:
        options = model_options(**{n: others.pop(n) for n in MODEL_OPTIONS if n in others})
    name = model if isinstance(model, str | Path) else type(model).__name__
    if model is None:
        name = _DEFAULT_NAMES[task]
        model = DEFAULTS / name
    path = None
    if isinstance(model, str | Path):
        path = find_place("model", str(model), options.hub)
        model = open_checkpoint(task, path, options)
    elif options.asked or options.config is not None:
        asked = options.asked[0] if options.asked else "config"
        raise ValueError(
            f"{asked} is for models that are loaded here; {name} is one already: set it up before"
        )
    inner = unwrapped(model)
    if chunk_size is not None and (isinstance(inner, Reader) or task != "text-classification"):
        raise ValueError(
            f"chunk_size ({chunk_size}) is for ordinary text classifiers; "
            f"{type(inner).__name__} reads as it was made to"
        )
    if task == "text-classification":
        where = path or getattr(inner, "name_or_path", None)
        tokenizer = load_tokenizer(tokenizer, where, options.hub)
        loaded = text_model(model, str(name), tokenizer, needs_pieces, chunk_size)
    else:
        from ..tasks.video_models import video_model  # here: it imports readers

        loaded = video_model(inner, str(name), path, options.hub, others, needs_pieces=needs_pieces)
    return replace(loaded, is_placed=bool(getattr(inner, "hf_device_map", None)))
