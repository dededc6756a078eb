"""Find the processor that came with an image or video classifier, as transformers' pipelines do."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import AutoImageProcessor
from transformers.image_processing_base import ImageProcessingMixin
from transformers.utils import (
    IMAGE_PROCESSOR_NAME,
    PROCESSOR_NAME,
    VIDEO_PROCESSOR_NAME,
    cached_file,
)

from temporal.backbones.processors import load_processor

PROCESSOR_OPTIONS = ("video_processor", "image_processor", "feature_extractor", "processor")
"""Options of `pipeline()` that name a processor, the first that fits is taken."""

_log = logging.getLogger(__name__)


def find_processor(
    classifier: Any, path: str | None, hub: dict[str, Any], given: Mapping[str, Any]
) -> Any:
    """The processor of a classifier: the one that was given, or its checkpoint's.

    A video classifier's is its processor of videos where it has one, else that of images.

    Args:
        classifier: of transformers, for videos or images.
        path: folder or hub id of the checkpoint, where one is known.
        hub: options of `from_pretrained`.
        given: some of `PROCESSOR_OPTIONS`: a processor, or a path or id.

    Returns:
        None where the checkpoint has none, which is said in the log.

    Raises:
        ValueError: the processor cannot be built.
        OSError: a path that was given has none.
    """
    clips = is_video_classifier(classifier)
    for option in PROCESSOR_OPTIONS[0 if clips else 1 :]:
        value = given.get(option)
        if isinstance(value, str | Path):
            processor = _of_checkpoint(classifier, str(value), hub, clips)
            if processor is None:
                raise OSError(f"{option} ({str(value)!r}) must be where a processor is saved")
            return processor
        if value is not None:
            of_videos = getattr(value, "video_processor", None) if clips else None
            return of_videos or getattr(value, "image_processor", None) or value
    if path and not (Path(path).is_absolute() and not Path(path).exists()):
        processor = _of_checkpoint(classifier, path, hub, clips)
        if processor is not None:
            return processor
    _log.warning(
        "%s has no image processor: frames are scaled to its size and normalised by a mean and "
        "deviation of 0.5, which may not be what it was trained with. Pass image_processor=.",
        path or type(classifier).__name__,
    )
    return None


def is_video_classifier(model: Any) -> bool:
    """Whether a model of transformers classifies videos."""
    return "ForVideoClassification" in type(model).__name__


def _of_checkpoint(classifier: Any, path: str, hub: dict[str, Any], clips: bool) -> Any:
    nested = _settings(path, PROCESSOR_NAME, hub) or {}
    if clips:
        settings = nested.get("video_processor") or _settings(path, VIDEO_PROCESSOR_NAME, hub)
        if settings is not None:
            return load_processor(_with_type(settings, classifier))
    if "image_processor" not in nested and _settings(path, IMAGE_PROCESSOR_NAME, hub) is None:
        try:  # a checkpoint of timm has it in its configuration
            return AutoImageProcessor.from_pretrained(path, **hub)
        except (OSError, ValueError):
            return None
    try:
        return AutoImageProcessor.from_pretrained(path, **hub)
    except (ImportError, ValueError):  # written for torchvision, or for no model of this kind
        settings, _ = ImageProcessingMixin.get_image_processor_dict(path, **hub)
        return load_processor(_with_type(settings, classifier))


def _with_type(settings: dict[str, Any], classifier: Any) -> dict[str, Any]:
    """Settings that name no class get that of the model's family."""
    if any(key.endswith(("_processor_type", "_extractor_type")) for key in settings):
        return settings
    family, _, kind = type(classifier).__name__.partition("For")
    kind = "Video" if kind.startswith("Video") else "Image"
    return {**settings, f"{kind.lower()}_processor_type": f"{family}{kind}Processor"}


def _settings(path: str, name: str, hub: dict[str, Any]) -> dict[str, Any] | None:
    """A JSON file of a checkpoint; None where it has none.

    Raises:
        ValueError: it is there and is no JSON object.
    """
    options = {key: value for key, value in hub.items() if key != "trust_remote_code"}
    found = cached_file(
        path,
        name,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
        **options,
    )
    if found is None:
        return None
    try:
        settings = json.loads(Path(found).read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{found} must be JSON: {error}") from None
    if not isinstance(settings, dict):
        raise ValueError(f"{found} must hold a JSON object, not {type(settings).__name__}")
    return settings
