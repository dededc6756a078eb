"""Parts of videos: no reader is judged by whole videos in their place, nor answers these."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from temporal.data.labelled.clips import Clip
from temporal.pipelines import pipeline
from temporal.pipelines.batches import read_batch
from temporal.pipelines.benchmark.folds import same_folds
from temporal.pipelines.command.cli import app
from temporal.pipelines.held_out.arguments import HeldOutArguments
from temporal.pipelines.held_out.faulty import TooManyFaulty
from temporal.pipelines.held_out.rows import read_held_out
from temporal.pipelines.jobs.rows import rows as job_rows
from temporal.pipelines.jobs.store.ledger import read_rows
from temporal.pipelines.reading import Reading, ReadingError

from ..conftest import LABELS


def table(folder: Path, videos: list[Path], times: list[str]) -> Path:
    """Rows of videos, each with its times, `start,end`."""
    lines = ["path,label,group,start_seconds,end_seconds"]
    for k, (video, own) in enumerate(zip(videos, times, strict=True)):
        lines.append(f"{video},{LABELS[k % 3]},g{k},{own}")
    path = folder / "clips.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def held_out(file: Path, model: Path, **options: Any) -> Any:
    pipe = SimpleNamespace(model=SimpleNamespace(config=SimpleNamespace(id2label=LABELS)))
    given = HeldOutArguments(model=str(model), data_file=str(file), task="video", **options)
    return read_held_out(given, pipe)


@pytest.mark.parametrize("is_split", [False, True])
def test_a_part_is_left_out_of_rows_to_judge_by(
    is_split: bool, tmp_path: Path, videos: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    file = table(tmp_path, videos, ["0.2,0.5", *[","] * 4, "0,"])
    if is_split:  # all but one are held out, and by one of few seeds the part is among them
        splits = [held_out(file, tmp_path, calibration_share=0.99, seed=k) for k in range(2)]
        found = next(split for split in splits if "faulty" in split.report)
    else:
        found = held_out(file, tmp_path)
    assert len(found.inputs) == (4 if is_split else 5)
    (fault,) = found.report["faulty"]
    assert fault["id"] == f"{videos[0]}#t=0.2,0.5"
    for what in ("start_seconds (0.2) and end_seconds (0.5) must be empty", "cut the part out"):
        assert what in fault["message"]
    assert f"left out {videos[0]}#t=0.2,0.5" in capsys.readouterr().err
    assert str(videos[0]) not in map(str, found.inputs)


@pytest.mark.parametrize("options", [{}, {"calibration_share": 0.5, "seed": 0}])
def test_a_table_of_parts_is_refused(
    options: dict[str, Any], tmp_path: Path, videos: list[Path]
) -> None:
    with pytest.raises(ValueError, match="must be empty: they mean a part of the video"):
        held_out(table(tmp_path, videos, ["0.2,0.5"] * 6), tmp_path, **options)
    with pytest.raises(TooManyFaulty, match=r"The first is .*#t=0\.1,: "):
        held_out(table(tmp_path, videos, ["0.1,"] * 5 + [","]), tmp_path)
    clip = Clip(path="a.mp4", label=0, group="", camera="", end_seconds=2.0)
    with pytest.raises(ValueError, match=r"must list whole videos, and has 1 parts: a.mp4#t=0,2"):
        same_folds([tmp_path], [clip], "clips.csv")


def test_a_run_reads_no_whole_video_for_a_part(
    tmp_path: Path, videos: list[Path], vit_path: Path
) -> None:
    file = table(tmp_path, [videos[0]] * 3 + videos[1:3], ["0,0.5", "0.5,", ",", ",", "0,"])
    words = ["run", "video-classification", str(file), "--model", str(vit_path), "--quiet"]
    words += ["--output", str(tmp_path / "out"), "--deadline-seconds", "0", "--device", "cpu"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 3, result.output
    rows = {row["id"]: row for row in read_rows(tmp_path / "out")}
    first = str(videos[0])
    assert {name: row["error_reason"] for name, row in rows.items()} == {
        f"{first}#t=0,0.5": "unsupported_input",
        f"{first}#t=0.5,": "unsupported_input",
        first: None,
        str(videos[1]): None,
        str(videos[2]): None,
    }
    part = rows[f"{first}#t=0.5,"]
    assert part["label"] is None and "start_seconds (0.5) must be empty" in part["error_message"]
    assert json.loads(part["extra"])["start_seconds"] == "0.5"

    # Nothing but parts is a collection of errors all the same.
    file = table(tmp_path, [videos[0]] * 2, ["0,0.5", "0.5,1"])
    words[words.index(str(tmp_path / "out"))] = str(tmp_path / "others")
    assert CliRunner().invoke(app, words).exit_code == 3
    assert [row["status"] for row in read_rows(tmp_path / "others")] == ["error"] * 2


def test_nor_does_a_pipeline_or_a_batch(videos: list[Path], vit_path: Path) -> None:
    pipe = pipeline("video-classification", vit_path, device="cpu")
    rows = [{"video": str(videos[0]), "start": 0.25}, {"video": str(videos[0]), "start": None}]
    readings = list(pipe.read(rows))
    assert [reading.status for reading in readings] == ["error", "ok"]
    made = read_batch(pipe, pa.Table.from_pylist(rows))
    assert made["error_reason"].to_pylist() == ["unsupported_input", None]
    assert made["start"].to_pylist() == [0.25, None]


@pytest.mark.parametrize("task", ["video-event-detection", "zero-shot-video-classification"])
def test_times_of_events_are_labels_of_their_video(task: str, tmp_path: Path) -> None:
    """Only where events are looked for."""
    rows = [{"video": "a.mp4", "start_seconds": 1.0, "end_seconds": 2.0, "label": "goal"}]
    asked: list[str | None] = []

    def read(items: Any, **_: Any) -> Any:
        for item in items:
            asked.append(item.error.reason if item.error else None)
            error = ReadingError(stage="input", reason="not_found", message="none")
            yield Reading(id=item.id, error=error)

    pipe: Any = SimpleNamespace(task=task, model_name="m", read=read)
    made = list(job_rows(pipe, rows))
    assert asked == [None if task == "video-event-detection" else "unsupported_input"]
    assert made[0]["id"] == ("a.mp4" if asked == [None] else "a.mp4#t=1,2")


@pytest.mark.parametrize("has_classes", [True, False])
def test_files_whose_folder_lists_parts_of_them_are_not_read_whole(
    has_classes: bool, tmp_path: Path, videos: list[Path]
) -> None:
    """A training on the folder takes its table."""
    lines = ["path,label,start_seconds,end_seconds"]
    for k, video in enumerate(videos):
        place = Path(LABELS[k % 3] if has_classes else ".", f"{k}.mp4")
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_bytes(video.read_bytes())
        lines.append(f"{place},{LABELS[k % 3]},{'0,0.5' if k == 4 else ','}")
    (tmp_path / "groups.csv").write_text("\n".join(lines))
    found = held_out(tmp_path, tmp_path)
    (fault,) = found.report["faulty"]
    assert len(found.inputs) == 5 and fault["id"].endswith("4.mp4")
    assert "line 6: start_seconds (0) and end_seconds (0.5) must be empty" in fault["message"]
    assert (found.labels is not None) == has_classes
