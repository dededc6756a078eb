"""Names of tasks, and which one a model is for."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import AutoConfig

from temporal.models import READERS
from temporal.models.reader import Reader
from temporal.models.wrappers import unwrapped

from ..loading.model_options import ModelOptions
from ..loading.places import find_place

if TYPE_CHECKING:
    from ..base import Pipeline

TASKS = ("text-classification", "video-classification")
_PIPELINES = {
    "text-classification": (".text_classification", "TextClassificationPipeline"),
    "video-classification": (".video_classification", "VideoClassificationPipeline"),
}
_ALIASES = {"sentiment-analysis": "text-classification"}
_OF_UNIT = {"token": "text-classification", "frame": "video-classification"}
_OF_CLASS = {
    "ForSequenceClassification": "text-classification",
    "ForVideoClassification": "video-classification",
    "ForImageClassification": "video-classification",
}


def find_task(task: str | None, model: Any, options: ModelOptions) -> str:
    """The task that was asked for, or that of the model.

    Args:
        task: its name or an older one; None: by the model's class or configuration.
        model: as `pipeline()` takes it.
        options: how it is loaded.

    Raises:
        ValueError: there is no such task, or the model does not tell which one it is for.
        OSError: there is no model at this path or id.
    """
    if task is not None:
        task = _ALIASES.get(task, task)
        if task not in TASKS:
            hint = "; a model is given as model=" if _names_a_model(task) else ""
            raise ValueError(f"task ({task!r}) must be one of {(*TASKS, *_ALIASES)}{hint}")
        return task
    if model is None:
        raise ValueError(f"give a task, one of {TASKS}, or a model=, or both")
    if isinstance(model, str | Path):
        where = find_place("model", str(model), options.hub)
        config = options.config
        if config is None or isinstance(config, str):
            config = AutoConfig.from_pretrained(config or where, **options.hub)
        reader = READERS.get(config.model_type)
        names = [reader.__name__] if reader else list(config.architectures or ())
    else:
        inner = unwrapped(model)
        reader = inner if isinstance(inner, Reader) else None
        names = [type(inner).__name__]
    if reader is not None:
        return _OF_UNIT[reader.unit]
    for name in names:
        for ending, found in _OF_CLASS.items():
            if ending in name:
                return found
    raise ValueError(
        f"model ({model if isinstance(model, str | Path) else names[0]}) does not say which task "
        f"it is for (its class: {', '.join(names) or 'none'}): give task=, one of {TASKS}"
    )


def pipeline_class(task: str) -> type[Pipeline]:
    """The pipeline of a task; the other tasks' are not imported."""
    module, name = _PIPELINES[task]
    return getattr(importlib.import_module(module, __package__), name)


def _names_a_model(task: str) -> bool:
    return "/" in task or Path(task).exists()
