"""Scores: each class by its index, and by the rules of transformers for every kind of problem."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForVideoClassification,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessorPil,
)

from temporal.data import Item
from temporal.models import FrameExit
from temporal.pipelines import Pipeline, pipeline
from temporal.pipelines.jobs.job import run
from temporal.pipelines.jobs.store.ledger import read_rows
from temporal.pipelines.scores import best_classes, class_numbers_by_name
from temporal.pipelines.tasks.registry import RECORDS

BIASES = [4.0, 2.0, 0.0]
SIZES = {
    **{"image_size": 32, "patch_size": 16, "hidden_size": 32, "num_hidden_layers": 1},
    **{"num_attention_heads": 2, "intermediate_size": 32},
}


def classifier(**config: Any) -> ViTForImageClassification:
    """Whose logits are the biases, whatever it sees."""
    model = ViTForImageClassification(ViTConfig(**SIZES, **config))
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor(BIASES[: model.num_labels]))
    return model


def answers(model: Any, video: Path, **options: Any) -> list[tuple[str, float]]:
    processor = ViTImageProcessorPil(size={"height": 32, "width": 32})
    pipe: Any = pipeline(
        "video-classification", model, device="cpu", top_k=None, image_processor=processor
    )
    return [(p["label"], p["score"]) for p in pipe(video, **options)]


def test_classes_of_one_name_are_all_kept(videos: list[Path]) -> None:
    names = {0: "crane", 1: "dog", 2: "crane"}
    model = classifier(id2label=names, label2id={"crane": 2, "dog": 1})
    want = torch.tensor(BIASES).softmax(-1).tolist()
    found = answers(model, videos[0])
    assert [label for label, _ in found] == ["crane", "dog", "crane"]
    assert [score for _, score in found] == pytest.approx(want, abs=1e-6)
    pipe: Any = pipeline("video-classification", model, device="cpu", top_k=2)
    (reading,) = pipe.read(videos[:1])
    assert reading.classes == (0, 1) and len(reading.predictions) == 2
    assert class_numbers_by_name(model.config) == {"0": 0, "dog": 1, "2": 2}


def test_a_target_is_a_class_and_not_only_its_name(tmp_path: Path, videos: list[Path]) -> None:
    model = classifier(id2label={0: "crane", 1: "dog", 2: "crane"}, label2id={"crane": 2, "dog": 1})
    pipe: Any = pipeline("video-classification", model, device="cpu")
    labels = [0, 2, 1, "crane"]  # class 0 is the answer to all
    items = [
        Item(id=str(k), value=video, extra={"label": label})
        for k, (video, label) in enumerate(zip(videos, labels, strict=False))
    ]
    summary = run(pipe, items, tmp_path / "out", progress=False)
    assert (summary.with_target, summary.correct) == (4, 2)
    rows = {row["id"]: row for row in read_rows(tmp_path / "out")}
    assert [rows[str(k)]["target"] for k in range(4)] == ["crane", "crane (2)", "dog", "crane"]


def test_of_equal_scores_the_first_class_comes_first() -> None:
    assert best_classes([0.1, 0.4, 0.1, 0.4], None) == (1, 3, 0, 2)
    assert best_classes([0.1, 0.4, 0.1, 0.4], 3) == (1, 3, 0)


@pytest.mark.parametrize(
    ("config", "want"),
    [
        ({"num_labels": 3}, [0.8668, 0.1173, 0.0159]),
        ({"num_labels": 3, "problem_type": "multi_label_classification"}, [0.9820, 0.8808, 0.5]),
        ({"num_labels": 3, "problem_type": "regression"}, [4.0, 2.0, 0.0]),
        ({"num_labels": 1}, [0.9820]),
        ({"num_labels": 1, "problem_type": "regression"}, [4.0]),
    ],
)
def test_images_are_scored_by_their_kind_of_problem(
    config: dict[str, Any], want: list[float], videos: list[Path]
) -> None:
    found = answers(classifier(**config), videos[0])
    assert [score for _, score in found] == pytest.approx(want, abs=1e-4)


@pytest.mark.parametrize(("function", "first"), [("none", 4.0), ("sigmoid", 0.9820)])
def test_an_only_frame_is_answered_with_the_classifiers_own_outputs(
    function: str, first: float, encode_video: Any, tmp_path: Path
) -> None:
    video = encode_video(tmp_path / "one.mp4", 1, num_frames=1)
    found = answers(classifier(num_labels=3), video, function_to_apply=function)
    assert found[0][1] == pytest.approx(first, abs=1e-4)


@pytest.mark.parametrize("problem", [None, "regression", "multi_label_classification"])
@pytest.mark.parametrize("num_labels", [1, 3])
def test_clips_are_scored_by_their_kind_of_problem(
    problem: str | None, num_labels: int, video_mae_path: Path, videos: list[Path]
) -> None:
    model = AutoModelForVideoClassification.from_pretrained(video_mae_path)
    model.classifier = torch.nn.Linear(model.config.hidden_size, num_labels)
    model.config.id2label = {k: f"c{k}" for k in range(num_labels)}
    model.config.problem_type = problem
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor(BIASES[:num_labels]))
    logits = torch.tensor(BIASES[:num_labels])
    want = {"regression": logits, "multi_label_classification": logits.sigmoid()}.get(
        problem or "", logits.softmax(-1)
    )
    pipe: Any = pipeline("video-classification", model, device="cpu", top_k=None)
    assert [p["score"] for p in pipe(videos[0])] == pytest.approx(want.tolist(), abs=1e-6)


@pytest.mark.parametrize(("function", "score"), [("softmax", 1.0), ("sigmoid", 0.9820)])
def test_a_reader_says_how_a_single_class_is_scored(
    function: str, score: float, videos: list[Path]
) -> None:
    processor = ViTImageProcessorPil(size={"height": 32, "width": 32})
    reader = FrameExit.from_classifier(classifier(num_labels=1), processor)
    reader.one_label_function = function  # type: ignore[assignment]
    pipe: Any = pipeline("video-classification", reader, device="cpu")
    (found,) = pipe(videos[0])
    assert found["score"] == pytest.approx(score, abs=1e-4)


def test_only_tasks_of_classes_know_the_function() -> None:
    assert "function_to_apply" not in Pipeline.call_options
    assert "function_to_apply" not in inspect.signature(Pipeline).parameters
    for task in ("text", "video"):
        kind: Any = RECORDS[f"{task}-classification"].find("pipeline")
        assert "function_to_apply" in kind.call_options
        assert kind.function_to_apply is None
