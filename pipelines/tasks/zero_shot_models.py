"""Image-text models for pipelines: a reader of frames whose classes are the caller's labels."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from transformers import AutoTokenizer

from temporal.backbones.image import describe
from temporal.backbones.zero_shot import TEMPLATE, ZeroShotClassifier, width_of
from temporal.models import FrameExit
from temporal.models.reader import Reader
from temporal.models.wrappers import unwrapped

from ..loading.loaded_model import LoadedModel
from .image_processors import find_processor
from .video_models import load_video_model

_NO_LABELS = ("", " ")  # stand for those that a call will name; no label may be blank


def load_zero_shot_model(
    model: Any,
    *,
    name: str,
    path: str | None,
    hub: dict[str, Any],
    needs_pieces: bool,
    tokenizer: Any = None,
    image_processor: Any = None,
    processor: Any = None,
    sampling: str | None = None,
    candidate_labels: Sequence[str] | None = None,
    hypothesis_template: str | None = None,
) -> LoadedModel:
    """`load` of zero-shot tasks: `FrameExit` over an image-text model of transformers.

    Args:
        model, name, path, hub, needs_pieces: as of every `load`.
        tokenizer: for the labels; default: the model's own.
        image_processor, processor: for the frames; default: the model's own.
        sampling: the order of frames.
        candidate_labels: what is chosen from; None: each call says it.
        hypothesis_template: what each label is put into; None: a saved reader's own, or `TEMPLATE`.

    Raises:
        ValueError: the model is none of images and texts, or has no processor or tokenizer.
    """
    inner = unwrapped(model)
    if isinstance(inner, Reader):
        options: dict[str, Any] = {"path": path, "hub": hub, "needs_pieces": needs_pieces}
        loaded = load_video_model(inner, name=name, sampling=sampling, **options)
        tokenizer = tokenizer if tokenizer is not None else _tokenizer_beside(path, hub)
        reader: Any = loaded.reader
        if candidate_labels is not None or hypothesis_template is not None:
            labels = list(_labels(reader)) if candidate_labels is None else candidate_labels
            reader = with_labels(reader, tokenizer, labels, hypothesis_template)
        return replace(loaded, reader=reader, module=reader, tokenizer=tokenizer)
    place = path or getattr(inner, "name_or_path", None)
    given = {"image_processor": image_processor, "processor": processor}
    of_images = find_processor(inner, place, hub, given)
    tokenizer = tokenizer or getattr(processor, "tokenizer", None) or place
    for needed, value in {"image_processor": of_images, "tokenizer": tokenizer}.items():
        if not value:
            raise ValueError(f"model ({name}) has no {needed} beside it: pass {needed}=")
    if isinstance(tokenizer, str):
        tokenizer = AutoTokenizer.from_pretrained(tokenizer, **hub)
    nothing = torch.zeros(len(_NO_LABELS), width_of(inner))
    template = TEMPLATE if hypothesis_template is None else hypothesis_template
    classifier = ZeroShotClassifier(inner, _NO_LABELS, nothing, template)
    reader = FrameExit.from_classifier(classifier, of_images, criterion="lead")
    if candidate_labels is not None:
        reader = with_labels(reader, tokenizer, candidate_labels)
    if sampling is not None:
        reader.set_sampling(sampling)
    return LoadedModel(reader=reader, module=reader, name=name, tokenizer=tokenizer)


def _tokenizer_beside(path: str | None, hub: dict[str, Any]) -> Any:
    """A saved reader's tokenizer; None: it has none, and keeps the labels that it was made for."""
    if path is None:
        return None
    try:
        return AutoTokenizer.from_pretrained(path, **hub)
    except (OSError, ValueError, KeyError):
        return None


def has_labels(reader: Any) -> bool:
    """Whether a reader knows what to choose from."""
    return _labels(reader) != _NO_LABELS


def _labels(reader: Any) -> tuple[str, ...]:
    return tuple(reader.config.id2label.values())


def with_labels(
    reader: FrameExit, tokenizer: Any, labels: Sequence[str], template: str | None = None
) -> FrameExit:
    """The same reader, for other labels; the model is shared, and its policy is the same.

    What was certified, was so for the labels of the calibration: others have no operating points.

    Args:
        reader: of `load_zero_shot_model`.
        tokenizer: of its model.
        labels: names to choose from.
        template: what each is put into; None: as before.

    Raises:
        ValueError: labels or template are none, or the reader is no zero-shot one.
    """
    old: Any = reader.backbone.model
    own, is_zero_shot = _labels(reader), isinstance(old, ZeroShotClassifier)
    own_template: str = old.config.hypothesis_template if is_zero_shot else TEMPLATE
    template = own_template if template is None else template
    if (tuple(labels), template) == (own, own_template):
        return reader
    if tokenizer is None or not is_zero_shot:
        raise ValueError(
            f"candidate_labels ({list(labels)}) need a zero-shot reader with its tokenizer "
            "(tokenizer=, or its files in the reader's folder); this one was made for its own: "
            + ", ".join(own)
        )
    classifier = ZeroShotClassifier.from_labels(old.model, tokenizer, labels, template)
    config: Any = copy.deepcopy(reader.config)
    config.id2label, config.label2id = classifier.config.id2label, classifier.config.label2id
    config.problem_type = classifier.config.problem_type
    config.backbone, config.operating_points = describe(classifier), None
    assert reader.pixels is not None
    made = FrameExit(config, classifier, reader.pixels.processor)
    return made.eval()
