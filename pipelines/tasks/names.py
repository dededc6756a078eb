"""Names of tasks, and which one a model is for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from temporal.models import READERS
from temporal.models import RECORDS as READER_RECORDS
from temporal.models.reader import Reader
from temporal.models.wrappers import unwrapped
from temporal.source import KIND_OF_UNIT

from ..loading.configurations import open_configuration
from ..loading.model_options import ModelOptions
from ..loading.places import find_place
from .registry import RECORDS, auto_class_endings

TASKS = tuple(RECORDS)
"""The tasks that come with this library; see `temporal.pipelines.tasks.registry` for all."""


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
        aliases = {alias: name for name, record in RECORDS.items() for alias in record.aliases}
        task = aliases.get(task, task)
        if task not in RECORDS:
            hint = "; a model is given as model=" if _names_a_model(task) else ""
            raise ValueError(f"task ({task!r}) must be one of {(*RECORDS, *aliases)}{hint}")
        return task
    if model is None:
        raise ValueError(f"give a task, one of {(*RECORDS,)}, or a model=, or both")
    if isinstance(model, str | Path):
        where = find_place("model", str(model), options.hub)
        config = options.config
        if config is None or isinstance(config, str):
            config = open_configuration(config or where, options.hub)
        reader = READERS.get(config.model_type)
        names = [reader.__name__] if reader else list(config.architectures or ())
    else:
        inner = unwrapped(model)
        reader = inner if isinstance(inner, Reader) else None
        names = [type(inner).__name__]
    found = _task_of_reader(reader) if reader is not None else _task_of_classes(names)
    if found is not None:
        return found
    raise ValueError(
        f"model ({model if isinstance(model, str | Path) else names[0]}) does not say which task "
        f"it is for (its class: {', '.join(names) or 'none'}): give task=, one of {(*RECORDS,)}"
    )


def _task_of_reader(reader: Any) -> str | None:
    """The first task for whose models the reader's Auto class is; else, the first of its kind."""
    config_class = getattr(reader, "config_class", None)
    known = READER_RECORDS.get(str(getattr(config_class, "model_type", None)))
    kind = KIND_OF_UNIT.get(reader.unit)
    tasks = [name for name, record in RECORDS.items() if record.kind == kind]
    if known is not None:
        tasks = [name for name in tasks if known.auto_class in RECORDS[name].auto_classes]
    return next(iter(tasks), None)


def _task_of_classes(names: list[str]) -> str | None:
    """The task whose models have classes of these names."""
    for name in names:
        for task, record in RECORDS.items():
            if any(ending in name for ending in auto_class_endings(record)):
                return task
    return None


def _names_a_model(task: str) -> bool:
    return "/" in task or Path(task).exists()
