"""A task of one's own whose answers are labels is calibrated and measured by its record."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from temporal.pipelines.command.cli import app
from temporal.pipelines.tasks import registry

from ..conftest import LABELS, encode

MODULE = """
from temporal.pipelines.loading.loaded_model import LoadedModel


def load(model, *, name, **_):
    return LoadedModel(reader=model, module=model, name=name)
"""


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`mood-of-clips`, whose answers are labels, and `length-of-clips`, whose are numbers."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mood_of_clips.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path / "mine"))
    common: dict[str, Any] = {"kind": "video", "load": "mood_of_clips:load"}
    common["auto_classes"] = ("AutoModelForVideoClassification",)
    classes = ".classes:class_predictions"
    added = (
        registry.TaskRecord(name="mood-of-clips", predictions=classes, **common),
        registry.TaskRecord(
            name="length-of-clips", predictions=classes, columns={"seconds": float}, **common
        ),
    )
    for record in added:
        monkeypatch.setitem(registry.RECORDS, record.name, record)
    yield
    sys.modules.pop("mood_of_clips", None)


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    for k in range(6):
        folder = tmp_path / "clips" / LABELS[k % 3]
        folder.mkdir(parents=True, exist_ok=True)
        encode(folder / f"{k}.mp4", k)
    (tmp_path / "clips" / "good" / "broken.mp4").write_bytes(b"no video at all" * 20)
    (tmp_path / "clips" / "loose.mp4").write_bytes(b"no video at all" * 20)
    return tmp_path / "clips"


def run(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [*map(str, words)])
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.usefixtures("tasks")
def test_a_task_of_labels_is_known_by_its_record(
    frame_exit_path: Path, clips: Path, tmp_path: Path
) -> None:
    reader = Path(shutil.copytree(frame_exit_path, tmp_path / "reader"))
    given = ("--task", "mood-of-clips", "--model", reader)
    code, out, error = run("calibrate", *given, "--data_file", clips, "--budget", 0.9)
    assert code == 3, error
    report = json.loads(out)
    assert report["chosen"]["risk"] == "accuracy_drop"  # the folders are labels
    assert report["full"]["num_calibration"] == 6
    assert "left out loose.mp4: no_label" in error and "broken.mp4" in error

    table = tmp_path / "new.csv"
    for k in (10, 11):
        encode(tmp_path / f"{k}.mp4", k)
    table.write_text("path,mood\n10.mp4,GOOD\n11.mp4,0\n12.mp4,bad\n11.mp4,0\n10.mp4,élan\n")
    code, out, error = run("check", *given, "--data_file", table, "--label-column", "mood")
    assert code == 3, error
    assert json.loads(out)["sources"] == 2
    assert "12.mp4" in error and "'élan' is none of the reader's" in error

    code, out, error = run(
        *("benchmark", "mood-of-clips", table, "--model", reader, "--label-column", "mood"),
        *("--rounds", 1, "--json"),
    )
    assert code == 3, error
    found = json.loads(out)
    reasons = {one["id"]: one["reason"] for one in found["left_out"]}
    assert reasons == {"12.mp4": "not_found", "11.mp4#2": "copy", "10.mp4#2": "unknown_label"}
    assert found["inputs"] == 2 and "truncated" in found["results"]


@pytest.mark.usefixtures("tasks")
def test_a_task_without_labels_is_refused(frame_exit_path: Path, clips: Path) -> None:
    told = "task (length-of-clips) must answer with a `label`"
    for words in (
        ("calibrate", "--task", "length-of-clips", "--data_file", clips, "--budget", 0.9),
        ("check", "--task", "length-of-clips", "--data_file", clips),
        ("benchmark", "length-of-clips", clips),
    ):
        code, out, error = run(*words, "--model", frame_exit_path)
        assert (code, out) == (2, "") and told in error


def test_a_kind_stands_for_its_first_task_of_labels() -> None:
    assert registry.labelled_task("text").name == "text-classification"
    assert registry.labelled_task("video").name == "video-classification"
    assert registry.labelled_task("sentiment-analysis").name == "text-classification"
    with pytest.raises(ValueError, match=r"task \('movie'\) must be one of \('text', 'video', "):
        registry.labelled_task("movie")
