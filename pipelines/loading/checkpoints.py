"""Open what lies at a path or a hub id: a saved reader, or a classifier of transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, cached_file

from temporal.models import READERS
from temporal.models.stored_points import check_points
from temporal.models.weights import check_checkpoint, shard_names

from ..tasks.registry import RECORDS, TaskRecord
from .configurations import built_from, check_types, is_reader, open_configuration
from .dtypes import default_dtype
from .loaded_weights import check_loaded
from .model_options import ModelOptions


def open_checkpoint(task: str, place: str, options: ModelOptions) -> Any:
    """The model in a folder or at a hub id.

    Args:
        task: a pipeline's task.
        place: a folder with a saved model, or a hub id; of `find_place`.
        options: how it is loaded.

    Raises:
        OSError: nothing is found there.
        ValueError: the weights are not those of the model, or an option is not for it.
    """
    hub, config = options.hub, options.config
    folder = Path(place)
    if folder.is_dir():
        check_checkpoint(folder)  # before a configuration is built that may be of any size
    if config is None or isinstance(config, str):
        config = open_configuration(config or place, hub)
    if not folder.is_dir():
        _check_index(place, hub)
    if is_reader(config):
        return _open_reader(place, config, options)
    architecture = (config.architectures or [""])[0]
    kind = _auto_class(RECORDS[task], architecture)
    if kind is None or type(config) not in kind._model_mapping and not hasattr(config, "auto_map"):
        raise ValueError(
            f"{place} holds {architecture or config.model_type}, which is no model for {task}"
        )
    # safetensors only: a pickle may run code when it is opened.
    with built_from(place):
        model, report = kind.from_pretrained(
            place,
            config=config,
            dtype=options.dtype,
            use_safetensors=True,
            output_loading_info=True,
            **hub,
            **{"ignore_mismatched_sizes": True, **options.weights},  # the report names them
        )
    check_loaded(place, model, report)
    return model


def _auto_class(record: TaskRecord, architecture: str) -> Any:
    """The class of transformers that loads a task's models; None where it has none."""
    for name in record.auto_classes:
        if name.removeprefix("AutoModel") in architecture:
            break
    else:
        name = record.auto_classes[-1] if record.auto_classes else ""
    return getattr(transformers, name) if name else None


def _open_reader(place: str, config: Any, options: ModelOptions) -> Any:
    """A reader of `temporal.models`."""
    refused = [name for name in options.asked if name not in ("dtype", "attn_implementation")]
    if refused:
        raise ValueError(
            f"{refused[0]} ({options.weights.get(refused[0])!r}) is for classifiers of "
            f"transformers; {place} is a {config.model_type}: pass device="
        )
    with built_from(place):
        check_types(config)
        check_points(config)
        dtype = options.dtype if "dtype" in options.asked else default_dtype(config)
    dtype = torch.float32 if dtype == "auto" else dtype
    reader_class: Any = READERS[config.model_type]
    folder = Path(place)
    if folder.is_dir() and not any(folder.glob("*.safetensors")):
        installed = reader_class.from_installed_weights(config)
        if installed is not None:
            return installed.to(dtype)
    with built_from(place):
        reader, report = reader_class.from_pretrained(
            place,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            output_loading_info=True,
            **options.hub,
            **options.weights,
        )
    check_loaded(place, reader, report)
    return reader


def _check_index(path: str, hub: dict[str, Any]) -> None:
    """Refuse a hub's model whose weights are named in an index, and are no safetensors files."""
    try:
        index = cached_file(
            path,
            SAFE_WEIGHTS_INDEX_NAME,
            revision=hub.get("revision"),
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
    except OSError:  # whoever loads the weights says it better
        return
    if index is not None:
        shard_names(Path(index))
