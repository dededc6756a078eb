"""Image models for feature extraction: a reader of frames as vectors, and its answers."""

from __future__ import annotations

import math
from typing import Any

from temporal.checks import check_count, check_in
from temporal.models.reader import Reader
from temporal.models.vectors.frame_vectors import FrameVectors, VectorsRead
from temporal.models.wrappers import unwrapped
from temporal.policies.vectors import farthest_first

from ..loading.loaded_model import LoadedModel
from .image_processors import find_processor, is_video_classifier

KINDS = ("mean", "few")


def load_feature_model(
    model: Any,
    *,
    name: str,
    path: str | None,
    hub: dict[str, Any],
    needs_pieces: bool,
    image_processor: Any = None,
    feature_extractor: Any = None,
    processor: Any = None,
    num_frames: int = 16,
    every_seconds: float | None = None,
    similarity: float | None = None,
    pool: bool | None = None,
    normalize: bool = False,
    sampling: str = "coarse_to_fine",
    snap_share: float = 0.0,
) -> LoadedModel:
    """`load` of the task: `FrameVectors` over an image model, or one of images and texts.

    Args:
        model, name, path, hub, needs_pieces: as of every `load`.
        image_processor, feature_extractor, processor: for the frames; default: the model's own.
        num_frames, every_seconds, similarity, pool, normalize, snap_share: see `FrameVectors`.
        sampling: its `order`.

    Raises:
        ValueError: the model is none of images, or has no processor.
    """
    inner = unwrapped(model)
    if isinstance(inner, Reader) or not hasattr(inner, "config") or is_video_classifier(inner):
        raise ValueError(
            f"model ({name}) must be a model of transformers for images, or for images and texts: "
            "its vectors of single frames are what a video's is made of"
        )
    given = {
        "image_processor": image_processor,
        "feature_extractor": feature_extractor,
        "processor": processor,
    }
    found = find_processor(inner, path or getattr(inner, "name_or_path", None), hub, given)
    if found is None:
        raise ValueError(f"model ({name}) has no image_processor beside it: pass image_processor=")
    reader = FrameVectors(
        inner,
        found,
        num_frames=num_frames,
        every_seconds=every_seconds,
        similarity=similarity,
        pool=pool,
        normalize=normalize,
        order=sampling,
        snap_share=snap_share,
    )
    return LoadedModel(reader=reader, module=reader, name=name)


def feature_predictions(
    pipe: Any, value: VectorsRead, top_k: int | None
) -> tuple[tuple[dict[str, Any], ...], tuple[int, ...]]:
    """`predictions` of the task: one, of the mean of all frames' vectors, and perhaps of a few.

    Args:
        pipe: with its `embedding` and `num_embeddings`.
        value: what the reader returned.
        top_k: of no effect: there is one prediction.
    """
    mean = value.vectors.mean(0)
    found: dict[str, Any] = {"embedding": mean.tolist()}
    if pipe.embedding == "few":
        flat = value.vectors.flatten(1)
        # A long video has more frames than `num_frames`, and more vectors in proportion.
        share = max(1.0, len(flat) / pipe.reader.num_frames)
        chosen = farthest_first(flat, math.ceil(share * pipe.num_embeddings))
        taken = sorted(chosen, key=lambda k: value.seconds[k])
        found["embeddings"] = value.vectors[taken].tolist()
        found["seconds"] = [value.seconds[k] for k in taken]
    return (found,), ()


def check_kind(embedding: str, num_embeddings: int) -> None:
    """Raise ValueError unless these say which vectors stand for a video."""
    check_in("embedding", embedding, KINDS)
    check_count("num_embeddings", num_embeddings, 1)
