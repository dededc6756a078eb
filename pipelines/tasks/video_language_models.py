"""Video-language models for pipelines: a `VideoLanguageReader` and what its answers are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from temporal.backbones.video_language import load_language_processor
from temporal.models.language.video_language_reader import VideoLanguageReader, settings_of
from temporal.models.wrappers import unwrapped

from ..loading.loaded_model import LoadedModel


def load_video_language_model(
    model: Any,
    *,
    name: str,
    path: str | None,
    hub: dict[str, Any],
    needs_pieces: bool,
    processor: Any = None,
    num_frames: int | None = None,
    first_frames: int | None = None,
    growth: float | None = None,
    sampling: str | None = None,
    scorer: str | None = None,
    max_visual_tokens: int | None = None,
    repeat_threshold: float | None = None,
) -> LoadedModel:
    """`load` of tasks that answer questions about videos.

    Args:
        model, name, path, hub, needs_pieces: as of every `load`.
        processor: of videos and texts; default: the model's own.
        num_frames, first_frames, growth, max_visual_tokens, repeat_threshold: of
            `VideoLanguageConfig`; default: as saved.
        sampling: its `order`.
        scorer: a model of images and texts, for `sampling="query"`.

    Raises:
        ValueError: the model is none that can be read so, or has no processor.
        OSError: there is no processor beside it.
    """
    asked: dict[str, Any] = {
        **{"num_frames": num_frames, "first_frames": first_frames, "growth": growth},
        **{"order": sampling, "scorer": scorer, "max_visual_tokens": max_visual_tokens},
        "repeat_threshold": repeat_threshold,
    }
    settings = {field: value for field, value in asked.items() if value is not None}
    inner = unwrapped(model)
    if isinstance(inner, VideoLanguageReader):
        if processor is not None:
            raise ValueError("processor is for models of transformers; this reader has its own")
        if settings:
            raise ValueError(
                f"{next(iter(settings))} is for models that are made a reader here; this is one "
                "already: set its config"
            )
        return LoadedModel(reader=inner, module=inner, name=name)
    place = path or getattr(inner, "name_or_path", None)
    if processor is None and not place:
        raise ValueError(f"model ({name}) has no processor beside it: pass processor=")
    if processor is None or isinstance(processor, str | Path):
        processor = load_language_processor(str(processor or place), **hub)
    if path:
        settings = settings_of(path, settings)
    reader = VideoLanguageReader(inner, processor, **settings)
    if path:
        reader.note_foreign_points(path)
    return LoadedModel(reader=reader, module=reader, name=name, tokenizer=processor.tokenizer)


def answer_predictions(pipe: Any, value: Any, top_k: int | None) -> tuple[Any, Any]:
    """`predictions` of tasks that answer questions: one, and no classes."""
    answer = {
        "question": value.question.text,
        "generated_text": value.text,
        "certainty": value.certainty,
        "looks": len(value.looks),
        "frames": list(value.frames),
        "visual_tokens": value.visual_tokens,
    }
    return [answer], ()
