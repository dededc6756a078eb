"""Open what lies at a path or a hub id: a saved reader, or a classifier of transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    AutoModelForVideoClassification,
)
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, cached_file

from temporal.models import READERS, FrameExit, FrameExitConfig
from temporal.models.efficientnet_lite import load_imagenet_weights
from temporal.models.stored_points import check_points
from temporal.models.weights import check_checkpoint, shard_names


def open_checkpoint(task: str, path: str, hub: dict[str, Any]) -> Any:
    """The model at a path or hub id.

    Args:
        task: a pipeline's task.
        path: a folder with a saved model, or a hub id.
        hub: `trust_remote_code` and `revision`.

    Raises:
        OSError: nothing is found there.
        ValueError: the weights are not those of the model.
    """
    looks_local = path.startswith((".", "~", "/")) or path.count("/") > 1
    if looks_local and not Path(path).expanduser().exists():
        raise OSError(f"model ({path!r}) must be a folder with a saved model, or a hub id")
    folder = Path(path).expanduser()
    if folder.is_dir():
        check_checkpoint(folder)  # before a configuration is built that may be of any size
    config = AutoConfig.from_pretrained(path, **hub)
    if not folder.is_dir():
        _check_index(path, hub)
    # safetensors only: a pickle may run code when it is opened.
    weights = {**hub, "use_safetensors": True, "dtype": torch.float32}
    if config.model_type in READERS:
        check_points(config)
        reader_class: Any = READERS[config.model_type]
        if _carries_no_weights(path, config):
            reader = FrameExit(config)
            load_imagenet_weights(reader.backbone.model)
            return reader
        reader, report = reader_class.from_pretrained(path, output_loading_info=True, **weights)
        if report["missing_keys"]:
            raise ValueError(
                f"{path} lacks weights of the reader: {sorted(report['missing_keys'])[:5]}"
            )
        return reader
    architecture = (config.architectures or [""])[0]
    if task == "text-classification":
        return AutoModelForSequenceClassification.from_pretrained(path, **weights)
    if "ForVideoClassification" in architecture:
        return AutoModelForVideoClassification.from_pretrained(path, **weights)
    return AutoModelForImageClassification.from_pretrained(path, **weights)


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


def _carries_no_weights(path: str, config: Any) -> bool:
    """The bundled frame reader is a configuration alone; a package carries its weights."""
    folder = Path(path)
    return (
        isinstance(config, FrameExitConfig)
        and config.head == "classifier"
        and config.backbone == {"model_type": "efficientnet_lite0"}
        and folder.is_dir()
        and not (folder / "model.safetensors").exists()
    )
