"""Find the reader for a task: the bundled default, a saved one, or one around any classifier."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    AutoModelForVideoClassification,
    AutoTokenizer,
    PreTrainedModel,
)
from transformers.image_processing_base import ImageProcessingMixin

from temporal.models import (
    READERS,
    ChunkReader,
    ClipReader,
    EfficientNetLite0,
    FrameExit,
    FrameExitConfig,
)
from temporal.models.efficientnet_lite import load_imagenet_weights
from temporal.models.reader import Reader

DEFAULTS = Path(__file__).parent / "defaults"
_DEFAULT_NAMES = {
    "text-classification": "review-skim-rnn",
    "video-classification": "frames-lite0",
}
_TRAINING_FREE_CHUNK = 128
"""Tokens in a chunk when an ordinary text classifier is read in pieces."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedModel:
    """A reader and what its pipeline needs beside it."""

    reader: Any
    """The reader."""
    module: Any
    """The torch module inside it, with `.config`, to move between devices."""
    name: str
    """Path, id or class, for manifests and messages."""
    tokenizer: Any = None
    """For texts."""
    adds_special_tokens: bool = False
    """Whether documents carry the tokenizer's special tokens."""
    max_tokens: int | None = None
    """Tokens that the reader takes of a document."""
    num_added_tokens: int = 0
    """Special tokens that the reader itself puts around what it takes."""


def load_model(
    task: str,
    model: Any,
    *,
    needs_pieces: bool = False,
    tokenizer: Any = None,
    trust_remote_code: bool = False,
    revision: str | None = None,
    chunk_size: int | None = None,
) -> LoadedModel:
    """Load what `pipeline()` was given.

    Args:
        task: a pipeline's task.
        model: None, a path or id, a reader, or a classifier of transformers.
        needs_pieces: a budget or policy is asked for, so an ordinary text classifier is read in
            chunks rather than at once.
        tokenizer: a tokenizer, or its path; default: the model's.
        trust_remote_code: run code that comes with the model. Never on by itself.
        revision: of a hub id.
        chunk_size: tokens in a chunk for ordinary text classifiers; no other model takes it.

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
        model = _from_path(task, path, hub)
    if chunk_size is not None and (isinstance(model, Reader) or task != "text-classification"):
        raise ValueError(
            f"chunk_size ({chunk_size}) is for ordinary text classifiers; "
            f"{type(model).__name__} reads as it was made to"
        )
    if task == "text-classification":
        tokenizer = _tokenizer(tokenizer, path or getattr(model, "name_or_path", None), hub)
        return _text_model(model, str(name), tokenizer, needs_pieces, chunk_size)
    return _video_model(model, str(name), path, hub)


def _from_path(task: str, path: str, hub: dict[str, Any]) -> Any:
    looks_local = path.startswith((".", "~", "/")) or path.count("/") > 1
    if looks_local and not Path(path).expanduser().exists():
        raise OSError(f"model ({path!r}) must be a folder with a saved model, or a hub id")
    config = AutoConfig.from_pretrained(path, **hub)
    # safetensors only: a pickle may run code when it is opened.
    weights = {**hub, "use_safetensors": True, "dtype": torch.float32}
    if config.model_type in READERS:
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
    if architecture.endswith("ForVideoClassification"):
        return AutoModelForVideoClassification.from_pretrained(path, **weights)
    return AutoModelForImageClassification.from_pretrained(path, **weights)


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


def _tokenizer(tokenizer: Any, path: str | None, hub: dict[str, Any]) -> Any:
    if tokenizer is not None and not isinstance(tokenizer, str | Path):
        return tokenizer
    where = str(tokenizer) if tokenizer is not None else path
    if not where:
        raise ValueError("a text model given as an object needs its tokenizer: pass tokenizer=")
    return AutoTokenizer.from_pretrained(where, **hub)


def _text_model(
    model: Any, name: str, tokenizer: Any, needs_pieces: bool, chunk_size: int | None
) -> LoadedModel:
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


def with_own_policy(loaded: LoadedModel) -> LoadedModel:
    """The same reader with a policy and configuration of its own; weights are shared."""
    module = loaded.module
    tensors = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    reader, copied = copy.deepcopy((loaded.reader, module), memo=tensors)
    return replace(loaded, reader=reader, module=copied)


def special_tokens(tokenizer: Any) -> tuple[list[int], list[int]]:
    """What a tokenizer puts before and after a text."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    full = tokenizer("a")["input_ids"]
    for start in range(len(full) - len(bare) + 1):
        if full[start : start + len(bare)] == bare:
            return full[:start], full[start + len(bare) :]
    raise ValueError("the tokenizer changes a text when it adds special tokens")


def _video_model(model: Any, name: str, path: str | None, hub: dict[str, Any]) -> LoadedModel:
    if isinstance(model, Reader) and model.unit == "frame":
        module: Any = model.classifier if isinstance(model, ClipReader) else model
        return LoadedModel(reader=model, module=module, name=name)
    pixels = _pixels(path or getattr(model, "name_or_path", None) or None, hub)
    if isinstance(model, EfficientNetLite0):
        reader = FrameExit.from_classifier(model)
        return LoadedModel(reader=reader, module=reader, name=name)
    kind = type(model).__name__
    if kind.endswith("ForVideoClassification"):
        return LoadedModel(reader=ClipReader(model, **pixels), module=model, name=name)
    if kind.endswith("ForImageClassification"):
        fields = {key: list(value) for key, value in pixels.items()}
        reader = FrameExit.from_classifier(
            model, image_size=getattr(model.config, "image_size", None) or 224, **fields
        )
        return LoadedModel(reader=reader, module=reader, name=name)
    raise ValueError(
        f"model ({name}) must be a video reader, or a video or image classifier of transformers"
    )


def _pixels(path: str | None, hub: dict[str, Any]) -> dict[str, Any]:
    """Pixel normalisation from a checkpoint's image processor, where it has one."""
    if path is None:
        return {}
    try:
        settings, _ = ImageProcessingMixin.get_image_processor_dict(path, **hub)
    except OSError:  # it has none: the reader's own default stands
        return {}
    scale = settings.get("rescale_factor") or 1 / 255
    if "image_mean" not in settings or "image_std" not in settings:
        return {}
    return {
        "pixel_mean": [value / scale for value in settings["image_mean"]],
        "pixel_std": [value / scale for value in settings["image_std"]],
    }
