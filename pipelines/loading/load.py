"""Find the reader for a task: the bundled default, a saved one, or one around any classifier."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from temporal.lazy import exports
from temporal.models.reader import Reader
from temporal.models.wrappers import unwrapped

from ..tasks.registry import RECORDS, TaskRecord
from .checkpoints import open_checkpoint
from .loaded_model import LoadedModel as LoadedModel
from .loaded_model import with_own_policy as with_own_policy
from .model_options import MODEL_OPTIONS, ModelOptions, model_options
from .places import find_place

if TYPE_CHECKING:
    from ..tasks.text_models import special_tokens as special_tokens

__getattr__ = exports(__name__, {"special_tokens": "..tasks.text_models"})

DEFAULTS = Path(__file__).parent.parent / "defaults"


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
        **others: the other options of the task's `load` (of videos: `PROCESSOR_OPTIONS`, what
            prepares frames for an ordinary classifier instead of what came with it); and
            `MODEL_OPTIONS`.

    Raises:
        ValueError: the model does not fit the task or takes no `chunk_size`.
        OSError: nothing is found at the path or id.
    """
    if options is None:
        options = model_options(**{n: others.pop(n) for n in MODEL_OPTIONS if n in others})
    record = RECORDS[task]
    name = model if isinstance(model, str | Path) else type(model).__name__
    if model is None:
        if record.default is None:
            raise ValueError(f"task {task} has no model of its own: give one by model=")
        name = record.default
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
    taken = loading_options(record)
    if chunk_size is not None and (isinstance(inner, Reader) or "chunk_size" not in taken):
        raise ValueError(
            f"chunk_size ({chunk_size}) is for ordinary text classifiers; "
            f"{type(inner).__name__} reads as it was made to"
        )
    for option in ("token_reduction", "sampling"):
        value = others.get(option)
        if value is not None and option not in taken:
            raise ValueError(f"{option} ({value!r}) is for video classifiers; not for {task}")
    for option in ("candidate_labels", "hypothesis_template"):
        value = others.get(option)
        if value is not None and option not in taken:
            raise ValueError(f"{option} ({value!r}) is for zero-shot tasks; not for {task}")
    others |= {"tokenizer": tokenizer, "chunk_size": chunk_size}
    loaded = record.find("load")(
        model,
        name=str(name),
        path=path,
        hub=options.hub,
        needs_pieces=needs_pieces,
        **{option: value for option, value in others.items() if option in taken},
    )
    is_placed = bool(getattr(inner, "hf_device_map", None))
    return replace(loaded, task=task, is_placed=is_placed)


def loading_options(record: TaskRecord) -> list[str]:
    """Options of `pipeline()` that say how a task's model becomes a reader."""
    parameters = inspect.signature(record.find("load")).parameters.values()
    return [one.name for one in parameters if one.default is not one.empty]
