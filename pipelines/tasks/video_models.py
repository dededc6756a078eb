"""Video models for pipelines: a reader around any video or image classifier, and its processor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from temporal.models import ClipReader, EfficientNetLite0, FrameExit
from temporal.models.clips.clip_knobs import token_fields
from temporal.models.reader import Reader
from temporal.models.wrappers import unwrapped

from ..loading.loaded_model import LoadedModel, with_own_policy
from .image_processors import PROCESSOR_OPTIONS, find_processor, is_video_classifier


def load_video_model(
    model: Any,
    *,
    name: str,
    path: str | None,
    hub: dict[str, Any],
    needs_pieces: bool,
    video_processor: Any = None,
    image_processor: Any = None,
    feature_extractor: Any = None,
    processor: Any = None,
    token_reduction: str | None = None,
    sampling: str | None = None,
) -> LoadedModel:
    """`load` of tasks that read videos by a video reader or a classifier: see `video_model`.

    Its options but the last two are `PROCESSOR_OPTIONS`.
    """
    given = (video_processor, image_processor, feature_extractor, processor)
    processors = dict(zip(PROCESSOR_OPTIONS, given, strict=True))
    loaded = video_model(
        unwrapped(model),
        name,
        path,
        hub,
        processors,
        needs_pieces=needs_pieces,
        token_reduction=token_reduction,
    )
    if sampling is not None:  # the caller's reader keeps its own
        loaded = with_own_policy(loaded)
        loaded.reader.set_sampling(sampling)
    return loaded


def video_model(
    model: Any,
    name: str,
    path: str | None,
    hub: dict[str, Any],
    processors: Mapping[str, Any],
    *,
    needs_pieces: bool = False,
    token_reduction: str | None = None,
) -> LoadedModel:
    """A video reader as it is, or one around a classifier of videos or images.

    Args:
        model: a reader, or a classifier of transformers.
        name: for messages.
        path: folder or hub id that it came from.
        hub: options of `from_pretrained`.
        processors: see `find_processor`.
        needs_pieces: a video classifier is read in clips, rather than the one of transformers.
        token_reduction: how clips of a video classifier have fewer tokens, see `token_fields`;
            None: they have all.

    Raises:
        ValueError: the model reads no videos, its processor does not run here, or its clips cannot
            have fewer tokens.
    """
    given = [option for option, value in processors.items() if value is not None]
    if isinstance(model, Reader | EfficientNetLite0) and given:
        raise ValueError(
            f"{given[0]} is for classifiers of transformers; {name} prepares frames itself"
        )
    is_video = is_video_classifier(model)
    if token_reduction is not None and (isinstance(model, Reader) or not is_video):
        reads = "reads as it was made to" if isinstance(model, Reader) else "reads single frames"
        raise ValueError(
            f"token_reduction ({token_reduction!r}) is for video classifiers of transformers; "
            f"{name} {reads}: leave it out"
        )
    if isinstance(model, Reader) and model.unit == "frame":
        return LoadedModel(reader=model, module=model, name=name)
    if isinstance(model, EfficientNetLite0):
        reader = FrameExit.from_classifier(model)
        return LoadedModel(reader=reader, module=reader, name=name)
    if not is_video and "ForImageClassification" not in type(model).__name__:
        raise ValueError(
            f"model ({name}) must be a video reader, or a video or image classifier of transformers"
        )
    if {"image", "text"} <= set(getattr(model, "input_modalities", ())):
        raise ValueError(f"model ({name}) must classify images alone, not images with texts")
    processor = find_processor(model, path or getattr(model, "name_or_path", None), hub, processors)
    if is_video:
        fields: Any = {} if needs_pieces else {"num_clips": None, "sampling_rate": 1}
        if token_reduction is not None:
            fields |= token_fields(token_reduction)
        clips = ClipReader.from_classifier(model, processor, **fields)
        return LoadedModel(reader=clips, module=clips, name=name)
    size = getattr(model.config, "image_size", None) or 224
    reader = FrameExit.from_classifier(model, processor, image_size=size)
    return LoadedModel(reader=reader, module=reader, name=name)
