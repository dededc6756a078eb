"""Fewer tokens and frames by motion, in one call of `pipeline()` and by the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForVideoClassification
from typer.testing import CliRunner

import temporal
from temporal.data import Video
from temporal.models import ClipReader
from temporal.pipelines import pipeline
from temporal.pipelines.command.cli import app

from ..fake_cli import BUILT

TASK = "video-classification"


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ("merge", {"keep_share": 0.5}),
        ("merge:0.7", {"keep_share": 0.7}),
        ("run_length", {"token_threshold": 0.1}),
        ("run_length:0.5", {"token_threshold": 0.5}),
    ],
)
@pytest.mark.parametrize("budget", [None, 0.5])
def test_a_video_transformer_has_fewer_tokens_in_one_call(
    given: str, fields: dict[str, float], budget: float | None, video_mae_path: Path, videos: Any
) -> None:
    how: dict[str, Any] = {"budget": budget, "device": "cpu"}
    pipe = pipeline(TASK, str(video_mae_path), token_reduction=given, **how)
    (reading,) = pipe.read([videos[0]])
    classifier = AutoModelForVideoClassification.from_pretrained(video_mae_path)
    clips: dict[str, Any] = {} if budget else {"num_clips": None, "sampling_rate": 1}
    reader = ClipReader(classifier, token_reduction=given.partition(":")[0], **fields, **clips)
    reader.set_budget(budget or 1.0)
    with Video(videos[0]) as video:
        outcome = reader(video)
    assert reading.status == "ok" and reading.trace is not None
    assert reading.trace.token_layers == outcome.trace.token_layers > 0
    assert reading.trace.read == outcome.trace.read
    best = int(outcome.value.argmax())
    assert reading.predictions[0]["label"] == reader.config.id2label[best]
    (whole,) = pipeline(TASK, str(video_mae_path), **how).read([videos[0]])
    assert whole.trace.read == reading.trace.read
    if "merge" in given:  # blobs that move change all patches
        assert reading.trace.cost.macs < whole.trace.cost.macs


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("hope", r"token_reduction \('hope'\) must be one of"),
        ("merge:", r"token_reduction \('merge:'\) must be 'merge', or 'merge:' and a number"),
        ("run_length:x", r"token_reduction \('run_length:x'\) must be .* its token_threshold"),
        ("merge:7", r"keep_share \(7.0\) must be between 0"),
        ("merge:nan", r"keep_share \(nan\) must be between 0"),
    ],
)
def test_a_wrong_reduction_is_refused(given: str, told: str, video_mae_path: Path) -> None:
    with pytest.raises(ValueError, match=told):
        pipeline(TASK, str(video_mae_path), token_reduction=given)


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("vit_path", "is for video classifiers of transformers; .* reads single frames"),
        ("frame_exit_path", "is for video classifiers of transformers; .* as it was made to"),
    ],
)
def test_models_without_tokens_of_clips_are_refused(
    model: str, told: str, request: pytest.FixtureRequest
) -> None:
    path = str(request.getfixturevalue(model))
    with pytest.raises(ValueError, match=rf"token_reduction \('merge'\) {told}"):
        pipeline(TASK, path, token_reduction="merge")


@pytest.mark.parametrize("option", ["token_reduction", "sampling"])
def test_texts_have_no_such_option(option: str, bert_path: Path) -> None:
    with pytest.raises(TypeError, match=f"option '{option}' of text-classification"):
        pipeline("text-classification", str(bert_path), **{option: "motion"})


@pytest.mark.parametrize(("model", "count"), [("video_mae_path", 4), ("vit_path", 10)])
def test_a_classifier_reads_where_the_video_moves(
    model: str, count: int, request: pytest.FixtureRequest, videos: list[Path]
) -> None:
    path = str(request.getfixturevalue(model))
    (reading,) = pipeline(TASK, path, sampling="motion", device="cpu").read([videos[0]])
    chosen = temporal.select(Video(videos[0]), count, by="motion", read=False).frames
    assert reading.status == "ok" and sorted(reading.trace.read) == chosen
    with_budget = pipeline(TASK, path, sampling="motion", budget=0.5, device="cpu")
    (some,) = with_budget.read([videos[0]])
    half = {4: 2 * 4, 10: 5}[count]  # two of four clips, five of ten frames
    assert with_budget.model.config.order == "motion" and some.trace.units_read == half
    with pytest.raises(ValueError, match=r"sampling \('hope'\) must be one of"):
        pipeline(TASK, path, sampling="hope")


def test_a_reader_that_is_not_trained_is_copied_and_a_trained_one_refused(
    video_mae_path: Path, frame_exit_path: Path, videos: list[Path]
) -> None:
    classifier = AutoModelForVideoClassification.from_pretrained(video_mae_path)
    reader = ClipReader(classifier, num_clips=2)
    pipe = pipeline(TASK, reader, sampling="uniform", device="cpu")
    (reading,) = pipe.read([videos[0]])
    assert reader.config.order == "coarse_to_fine" and pipe.model.config.order == "uniform"
    assert list(reading.trace.read) == [*reader.clip(7, 30), *reader.clip(22, 30)]
    with pytest.raises(ValueError, match=r"sampling \('motion'\) is for classifiers"):
        pipeline(TASK, str(frame_exit_path), sampling="motion")


def test_the_command_line_passes_it_and_writes_it_down(fake_pipeline: None, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    (tmp_path / "a.txt").write_text("word")

    def run(task: str, file: str, *more: str) -> Any:
        command = ["run", task, str(tmp_path / file), "--quiet", *more]
        return CliRunner().invoke(app, [*command, "--output", str(tmp_path / "out")])

    given = ("--token-reduction", "merge:0.7", "--sampling", "motion")
    assert run(TASK, "a.mp4", *given).exit_code == 0
    assert (BUILT[-1]["token_reduction"], BUILT[-1]["sampling"]) == ("merge:0.7", "motion")
    resumed = run(TASK, "a.mp4", "--resume")
    assert resumed.exit_code == 2 and "sampling" in resumed.output
    assert "token_reduction" in resumed.output
    refused = CliRunner().invoke(
        app,
        ["run", "text-classification", str(tmp_path / "a.txt"), "--token-reduction", "merge"]
        + ["--output", str(tmp_path / "texts")],
    )
    assert refused.exit_code == 2 and "for videos" in refused.output
