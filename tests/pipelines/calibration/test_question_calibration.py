"""Readers of questions are calibrated from a table: points, what was wrong with rows, checks."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from temporal.pipelines import pipeline
from temporal.pipelines.command.calibrate import calibrate_command, check_command
from temporal.pipelines.command.cli import app
from temporal.pipelines.held_out.faulty import TooManyFaulty
from temporal.pipelines.held_out.questions import right_option
from temporal.pipelines.held_out.unseen import NotNew
from temporal.training.risk import Change, upper_bound

from ..language_models import noise_clips, save_family

TASK = "video-text-to-text"
QUESTIONS = ("Which?", "What is it?", "Who is there now?", "Where?")
OPTIONS = ("A. a dog", "B. a cat", "C. a car")
LOOKS = {"num_frames": 8, "first_frames": 2}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("asked")
    save_family("InternVL", folder / "model")
    noise_clips(folder / "clips", 5)
    return folder


@pytest.fixture
def model(place: Path, tmp_path: Path) -> Path:
    """A copy that may be calibrated."""
    shutil.copytree(place / "model", tmp_path / "model")
    return tmp_path / "model"


def table(path: Path, rows: Sequence[Sequence[Any]], *, answers: bool = True) -> Path:
    """Rows of video, question, options and answer."""
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["video", "question", "options", *(["answer"] if answers else [])])
        out.writerows(rows)
    return path


def asked(place: Path, clips: Sequence[int]) -> list[list[str]]:
    """Every question about some clips, with its options."""
    return [
        [str(place / f"clips/{clip}.mp4"), question, json.dumps(OPTIONS)]
        for clip in clips
        for question in QUESTIONS
    ]


def words(model: Path, data: Path, **options: Any) -> list[str]:
    named = {"task": TASK, "model": model, "data_file": data, **options}
    return [f"--{name}={value}" for name, value in named.items()]


def readings(model: Path, rows: Sequence[Sequence[str]], **options: Any) -> list[Any]:
    """What a pipeline says of rows."""
    pipe = pipeline(TASK, str(model), **options)
    names = ("video", "question", "options")
    return list(pipe.read([dict(zip(names, row, strict=False)) for row in rows]))


def said(read: Sequence[Any]) -> list[str]:
    return [one.predictions[0]["generated_text"] for one in read]


def test_every_point_is_what_the_pipeline_does_at_it(
    place: Path, model: Path, tmp_path: Path
) -> None:
    rows = asked(place, [0, 1, 2])
    full = said(readings(model, rows, **LOOKS))
    data = table(tmp_path / "asked.csv", rows, answers=False)
    report = calibrate_command(words(model, data, budget=0.3, num_points=6, **LOOKS))
    assert report["chosen"]["risk"] == "disagreement"
    assert report["rows"]["used"] == 12
    assert report["rows"]["videos"] == 3
    assert "faulty" not in report["rows"]
    saved = json.loads((model / "video_language_reader.json").read_text())
    assert (saved["num_frames"], saved["first_frames"]) == (8, 2)
    points = saved["operating_points"]
    assert (points[0]["cost"], points[0]["accuracy"]) == (8, 1)
    assert points[-1]["cost"] == 2
    for point in points[1:]:
        policy = f"confidence:{point['policy']['threshold']}"
        read = readings(model, rows, policy=policy)
        frames = [one.trace.units_read for one in read]
        same = [a == b for a, b in zip(said(read), full, strict=True)]
        assert point["cost"] == pytest.approx(sum(frames) / 12)
        assert point["accuracy"] == pytest.approx(sum(same) / 12)
    assert saved["threshold"] == report["chosen"]["policy"]["threshold"]
    assert [one.trace.units_read for one in readings(model, rows, max_drop=0.0)] == [8] * 12


def test_right_answers_say_what_is_lost(place: Path, model: Path, tmp_path: Path) -> None:
    rows = asked(place, [0, 1])
    full = said(readings(model, rows, **LOOKS))
    wrong = next(one for one in OPTIONS if one != full[0])
    # Of eight the full reading is right about seven; one is named by its letter.
    answers = [wrong, full[1][0], *full[2:]]
    data = table(tmp_path / "a.csv", [[*row, a] for row, a in zip(rows, answers, strict=True)])
    report = calibrate_command(
        words(model, data, max_drop=0.9, risk="lost_answers", criterion="margin", **LOOKS)
    )
    assert report["full"]["accuracy"] == 7 / 8
    chosen = report["chosen"]
    lost = Change(num_lost=round(8 * chosen["drop"]), num_gained=0, num_sources=8)
    assert chosen["drop_bound"] >= upper_bound("lost_answers", lost, 0.05) - 1e-9
    assert chosen["policy"]["criterion"] == "margin"
    assert "8 held-out questions" in report["promise"]
    others = asked(place, [2, 3])
    answers = said(readings(place / "model", others, **LOOKS))
    new = table(tmp_path / "b.csv", [[*row, a] for row, a in zip(others, answers, strict=True)])
    told = check_command(words(model, new))
    assert (told["sources"], told["full_accuracy"]) == (8, 1.0)
    read = said(readings(model, others))
    assert told["lost"] == sum(a != b for a, b in zip(read, answers, strict=True))
    with pytest.raises(NotNew, match="calibrated on"):
        check_command(words(model, data))
    with pytest.raises(ValueError, match="answer_column"):
        check_command(words(model, new, answer_column="right"))


def test_rows_that_cannot_be_used_are_told_and_cost_no_other(
    place: Path, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    rows = [[*row, "B"] for row in asked(place, [0, 1, 2, 3])]
    options = rows[0][2]
    clip = str(place / "clips/4.mp4")
    bad = [
        [clip, "Which?", options, ""],
        [clip, "Which?", options, "a bird"],
        [clip, "", options, "B"],
        [str(tmp_path / "broken.mp4"), "Which?", options, "B"],
        [str(tmp_path / "gone.mp4"), "Which?", options, "B"],
    ]
    data = table(tmp_path / "asked.csv", [*rows[:4], *bad, *rows[4:]])
    report = calibrate_command(words(model, data, budget=1.0, **LOOKS))
    told = {one["id"]: one["message"] for one in report["rows"]["faulty"]}
    assert len(told) == len(report["rows"]["faulty"]) == 5
    assert [
        any(part in message for message in told.values())
        for part in ("no_answer", "unknown_answer: 'a bird'", "nothing was asked", "not_found")
    ] == [True] * 4
    assert sum("broken.mp4" in name for name in told) == 1
    assert report["chosen"]["num_calibration"] == report["rows"]["used"] - 2 == 16
    assert report["rows"]["unread"] == 2
    result = CliRunner().invoke(app, ["calibrate", *words(model, data, budget=1.0)])
    assert result.exit_code == 3
    few = table(tmp_path / "few.csv", [*rows[:4], *bad])
    with pytest.raises(TooManyFaulty):
        calibrate_command(words(model, few, budget=1.0))


def test_points_are_those_of_the_weights_and_looks_that_they_were_measured_on(
    place: Path, model: Path, tmp_path: Path
) -> None:
    data = table(tmp_path / "asked.csv", asked(place, [0, 1]), answers=False)
    out = tmp_path / "out"
    calibrate_command(words(model, data, max_drop=0.5, output_dir=out, **LOOKS))
    assert not (model / "video_language_reader.json").exists()
    assert pipeline(TASK, str(out), max_drop=0.5).reader.config.num_frames == 8
    with pytest.warns(UserWarning, match=r"measured with num_frames \(8\); with 4"):
        pipe = pipeline(TASK, str(out), num_frames=4)
    assert pipe.reader.config.operating_points is None
    file = out / "model.safetensors"
    weights = load_file(file)
    name = next(iter(weights))
    save_file({**weights, name: torch.zeros_like(weights[name])}, file, {"format": "pt"})
    with (
        pytest.warns(UserWarning, match="on other weights"),
        pytest.raises(ValueError, match="on other weights"),
    ):
        pipeline(TASK, str(out), max_drop=0.5)
    with pytest.raises(ValueError, match="output_dir"):
        calibrate_command(words(tmp_path / "none", data, max_drop=0.5))
    with pytest.raises(ValueError, match="give one of"):
        calibrate_command(words(model, data))


@pytest.mark.parametrize(
    ("answer", "options", "wanted"),
    [
        ("a dog", ["a dog", "a cat"], "a dog"),
        (" A Dog", ["a dog", "a cat"], "a dog"),
        ("b", ["(A) a dog", "(B) a cat"], "(B) a cat"),
        ("(B)", ["A. a dog", "B. a cat"], "B. a cat"),
        ("2", ["1", "2"], "2"),
        ("1", ["a dog", "a cat"], None),
        ("a", ["a.m. or so", "p.m."], None),
        ("no", ["No", "NO"], None),
        ("a bird", ["a dog", "a cat"], None),
    ],
)
def test_an_answer_names_an_option_or_none(
    answer: str, options: list[str], wanted: str | None
) -> None:
    assert right_option(answer, options) == wanted
