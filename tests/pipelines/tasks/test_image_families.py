"""Scores of every image and video family are those of transformers, on the same frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor

from temporal.pipelines import pipeline

from .image_families import FRAMES, LABELS, NOT_BUILT, make_model, make_processor, model_classes

ALWAYS = ("timesformer", "vivit", "vjepa2", "vit", "imagegpt", "siglip2")
"""Families of the everyday suite: each prepares frames in a way of its own."""


def families() -> list[Any]:
    return [
        pytest.param(*pair, marks=[] if pair[0] in ALWAYS else pytest.mark.slow, id=pair[1])
        for pair in model_classes()
        if pair[0] not in NOT_BUILT and pair[0] != "pp_lcnet"
    ]


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as video:
        return [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]


@torch.no_grad()
def transformers_scores(model: Any, processor: Any, frames: list[np.ndarray]) -> torch.Tensor:
    """What the pipelines of transformers say of one clip, or of each image, on the average."""
    if "ForVideoClassification" in type(model).__name__:
        (pixels,) = processor(frames, return_tensors="pt").values()
        return model(pixels).logits.flatten().softmax(-1)
    scores = []
    for frame in frames:
        inputs = processor(Image.fromarray(frame), return_tensors="pt")
        scores.append(model(**inputs).logits[0].softmax(-1))
    return torch.stack(scores).mean(0)


def by_label(predictions: Any) -> list[float]:
    found = {p["label"]: p["score"] for p in predictions}
    return [found[name] for name in LABELS.values()]


@pytest.mark.parametrize(("family", "class_name"), families())
def test_a_family_is_answered_as_transformers_answers_it(
    family: str, class_name: str, tmp_path: Path, videos: list[Path]
) -> None:
    model = make_model(family, class_name)
    model.save_pretrained(tmp_path)
    make_processor(family, class_name).save_pretrained(tmp_path)
    pipe: Any = pipeline("video-classification", str(tmp_path), device="cpu", top_k=None)
    (reading,) = pipe.read(videos[:1], on_error="raise")
    frames = [decoded(videos[0])[k] for k in reading.trace.read]
    if "ForVideoClassification" in class_name:
        assert reading.trace.read == tuple(range(FRAMES))
    else:
        assert len(frames) == 10
    want = transformers_scores(model, AutoImageProcessor.from_pretrained(tmp_path), frames)
    assert by_label(reading.predictions) == pytest.approx(want.tolist(), abs=1e-4)


def test_every_family_that_is_left_out_has_its_reason() -> None:
    assert set(NOT_BUILT) <= {family for family, _ in model_classes()}
