"""Video models for pipelines: a reader around any video or image classifier, and its pixels."""

from __future__ import annotations

from typing import Any

from transformers.image_processing_base import ImageProcessingMixin

from temporal.models import ClipReader, EfficientNetLite0, FrameExit
from temporal.models.reader import Reader

from .loaded_model import LoadedModel


def video_model(model: Any, name: str, path: str | None, hub: dict[str, Any]) -> LoadedModel:
    """A video reader as it is, or one around a classifier of videos or images.

    Raises:
        ValueError: the model reads no videos.
    """
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
