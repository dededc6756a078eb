"""Parts of videos: each is read, judged and remembered by its own frames alone."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from temporal.data import Video, VideoPart
from temporal.data.frames import Frames
from temporal.data.labelled.clips import Clip, hold_out_clips
from temporal.data.labelled.digests import digest_file
from temporal.data.labelled.listed_clips import list_clips
from temporal.models.rows_seen import RowsSeen, Shown
from temporal.pipelines import pipeline
from temporal.pipelines.batches import read_batch
from temporal.pipelines.benchmark.folds import same_folds
from temporal.pipelines.command.cli import app
from temporal.pipelines.held_out.arguments import HeldOutArguments
from temporal.pipelines.held_out.faulty import TooManyFaulty
from temporal.pipelines.held_out.rows import read_held_out
from temporal.pipelines.held_out.unseen import digest_input, rows_of, rows_of_inputs
from temporal.pipelines.jobs.store.ledger import read_rows
from temporal.pipelines.jobs.table.rows import rows as job_rows
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


def shown(value: Any) -> Any:
    """A part's file and times; other inputs as they are."""
    return (str(value.source), value.part) if isinstance(value, VideoPart) else str(value)


@pytest.mark.parametrize("is_split", [False, True])
def test_a_part_is_among_the_rows_to_judge_by(
    is_split: bool, tmp_path: Path, videos: list[Path]
) -> None:
    file = table(tmp_path, videos, ["0.2,0.5", *[","] * 4, "0,"])
    if is_split:  # all but one are held out, and by one of few seeds the part is among them
        splits = [held_out(file, tmp_path, calibration_share=0.99, seed=k) for k in range(2)]
        inputs = max((split.inputs for split in splits), key=lambda own: sum(map(is_part, own)))
        assert len(inputs) == 5
    else:
        found = held_out(file, tmp_path)
        inputs = found.inputs
        assert len(inputs) == 6 and found.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert [shown(value) for value in inputs if is_part(value)] == [(str(videos[0]), (0.2, 0.5))]
    assert str(videos[0]) not in map(shown, inputs)


def is_part(value: Any) -> bool:
    return isinstance(value, VideoPart)


def test_a_table_of_wrong_times_is_refused(tmp_path: Path, videos: list[Path]) -> None:
    with pytest.raises(TooManyFaulty, match=r"start_seconds \(0.5\) must be < end_seconds"):
        held_out(table(tmp_path, videos, ["0.5,0.2"] * 5 + [","]), tmp_path)
    clip = Clip(path="a.mp4", label=0, group="", camera="", end_seconds=2.0)
    with pytest.raises(ValueError, match=r"must list whole videos, .* 1 parts: a.mp4#t=0,2"):
        same_folds([tmp_path], [clip], "clips.csv")


WRONG = ["2,1", "-1,", "nan,", "soon,2", "9,12", "0.5,60", "0.51,0.53"]


def test_a_run_reads_parts_and_records_those_that_are_none(
    tmp_path: Path, videos: list[Path], vit_path: Path
) -> None:
    times = ["0,0.5", "0.5,", ",", *WRONG, ",", "0,", "0.5,"]
    named = [videos[0]] * (3 + len(WRONG)) + [*videos[1:3], videos[0]]
    file = table(tmp_path, named, times)
    words = ["run", "video-classification", str(file), "--model", str(vit_path), "--quiet"]
    words += ["--output", str(tmp_path / "out"), "--deadline-seconds", "0", "--device", "cpu"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 3, result.output
    rows = {row["id"]: row for row in read_rows(tmp_path / "out")}
    first = str(videos[0])
    part, whole = rows[f"{first}#t=0.5,"], rows[first]
    assert part["error_reason"] is None and part["label"] in LABELS.values()
    assert part["source"] == f"{first}#t=0.5," and whole["source"] == first
    assert json.loads(part["extra"])["start_seconds"] == "0.5"
    assert (part["trace"]["units_total"], whole["trace"]["units_total"]) == (25, 30)
    assert rows[f"{first}#t=0,0.5"]["trace"]["units_total"] == 5
    assert rows[f"{first}#t=0.5,#2"]["error_reason"] == "duplicate_id"  # the same part twice
    assert rows[str(videos[2])]["error_reason"] is None
    for times, said in (
        ("9,12", "start_seconds (9) and end_seconds (12) must have a frame between them"),
        ("0.5,60", "start_seconds (0.5) and end_seconds (60) must lie in the video"),
        ("0.51,0.53", "must have a frame between them"),
    ):
        row = rows[f"{first}#t={times}"]
        assert row["error_reason"] == "not_found" and said in row["error_message"]
    bad = [row["error_message"] for row in rows.values() if row["error_reason"] == "bad_row"]
    for said in ("(2) must be < end_seconds (1)", "'-1'", "'nan'", "'soon'"):
        assert any(said in message for message in bad)

    words += ["--resume"]  # nothing is left to be read
    assert CliRunner().invoke(app, words).exit_code == 3
    assert len(list(read_rows(tmp_path / "out"))) == len(rows) == len(times_of(file))


def times_of(file: Path) -> list[str]:
    return file.read_text().splitlines()[1:]


@pytest.mark.parametrize("path", ["vit_path", "video_mae_path", "frame_exit_path"])
def test_a_part_is_answered_as_a_video_of_its_frames(
    path: str, videos: list[Path], request: pytest.FixtureRequest
) -> None:
    """By readers of frames and clips; batched and alone, in this process and in workers."""
    model = request.getfixturevalue(path)
    spans = [(0.5, 2.25), (1.15, 1.85), (2.0, None)]
    given = [
        {"video": str(video), "start": start, "end": end}
        for video in videos
        for start, end in spans
    ]
    pipe = pipeline("video-classification", model, device="cpu")
    readings = list(pipe.read(given))
    assert [one.status for one in readings] == ["ok"] * len(given)
    for row, reading in zip(given[:6], readings[:6], strict=True):
        with Video(row["video"]) as video:
            times = video.index.timestamps_seconds
            end = row["end"] or 99
            there = [k for k, time in enumerate(times) if row["start"] <= time + 1e-6 < end]
            held = Frames(video.read(there, size=(32, 32)).numpy(), frames_per_second=10)
            read = [there[k] for k in reading.trace.read]
            cost, most = video.cost(read).frames_decoded, video.index.frame_costs[read].sum()
        (dense,) = pipe.read([held])
        (alone,) = pipe.read([row])
        assert reading.trace.units_total == alone.trace.units_total == len(there)
        for other in (dense, alone):
            got, want = ({p["label"]: p["score"] for p in x.predictions} for x in (reading, other))
            assert got == pytest.approx(want, abs=1e-5)
        assert alone.trace.read == reading.trace.read
        assert cost <= alone.trace.cost.frames_decoded <= most
    isolated = pipeline("video-classification", model, device="cpu", isolate=True)
    for one, other in zip(isolated.read(given[:3]), readings, strict=False):
        assert (one.id, one.classes, one.trace.read) == (other.id, other.classes, other.trace.read)


def test_a_call_takes_parts(videos: list[Path], vit_path: Path) -> None:
    pipe = pipeline("video-classification", vit_path, device="cpu", top_k=1)
    path = str(videos[0])
    rows = [{"video": path, "start": 0.25}, {"video": path, "start": None}]
    assert [reading.id for reading in pipe.read(rows)] == [f"{path}#t=0.25,", path]
    made = read_batch(pipe, pa.Table.from_pylist(rows))
    assert made["error_reason"].to_pylist() == [None, None]
    assert made["start"].to_pylist() == [0.25, None]
    part = VideoPart(path, 0.25)
    answer = pipe(rows[0])
    assert pipe(part) == answer == pipe([part])[0]
    with Video(path) as video:
        assert pipe(VideoPart(video, 0.25)) == answer
        video.read([0])  # it stays open
    (row,) = job_rows(pipe, [part])
    assert row["id"] == row["source"] == f"{os.path.abspath(path)}#t=0.25,"


@pytest.mark.parametrize("task", ["video-event-detection", "zero-shot-video-classification"])
def test_times_of_events_are_labels_of_their_video(task: str, tmp_path: Path) -> None:
    """Only where events are looked for."""
    rows = [{"video": "a.mp4", "start_seconds": 1.0, "end_seconds": 2.0, "label": "goal"}]
    asked: list[Any] = []

    def read(items: Any, **_: Any) -> Any:
        for item in items:
            assert item.error is None
            asked.append(item.value.part if isinstance(item.value, VideoPart) else None)
            error = ReadingError(stage="input", reason="not_found", message="none")
            yield Reading(id=item.id, error=error)

    pipe: Any = SimpleNamespace(task=task, model_name="m", read=read)
    made = list(job_rows(pipe, rows))
    assert asked == [None if task == "video-event-detection" else (1.0, 2.0)]
    assert made[0]["id"] == ("a.mp4" if asked == [None] else "a.mp4#t=1,2")


@pytest.mark.parametrize("has_classes", [True, False])
def test_of_files_whose_folder_lists_parts_these_are_read(
    has_classes: bool, tmp_path: Path, videos: list[Path]
) -> None:
    """A training on the folder takes its table."""
    lines = ["path,label,start_seconds,end_seconds"]
    for k, video in enumerate(videos):
        place = Path(LABELS[k % 3] if has_classes else ".", f"{k}.mp4")
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_bytes(video.read_bytes())
        lines.append(f"{place},{LABELS[k % 3]},{'0,0.5' if k == 4 else ','}")
    lines += [lines[5].replace("0,0.5", "0.5,1"), lines[5].replace("0,0.5", "1,0.5")]
    (tmp_path / "groups.csv").write_text("\n".join(lines))
    found = held_out(tmp_path, tmp_path)
    assert len(found.inputs) == 7
    parts = [value.part for value in found.inputs if is_part(value)]
    assert parts == [(0.0, 0.5), (0.5, 1.0)]
    (fault,) = found.report["faulty"]
    assert "start_seconds (1) must be < end_seconds (0.5)" in fault["message"]
    assert (found.labels is not None) == has_classes
    if has_classes:
        assert found.labels.tolist() == sorted(found.labels.tolist())


def test_parts_of_a_file_are_rows_of_their_own(tmp_path: Path, videos: list[Path]) -> None:
    file, other = str(videos[0]), str(videos[1])
    parts = [VideoPart(file, 0, 1), VideoPart(file, 1, 2), VideoPart(file), VideoPart(other, 0, 1)]
    digests = [digest_input(part, "video") for part in parts]
    assert len({*digests}) == 4 and digests[2] == digest_file(file)
    clips = [
        Clip(path=str(p.source), label=0, group="", camera="", start_seconds=a, end_seconds=b)
        for p in parts
        for a, b in [p.part]
    ]
    assert [clip.digest for clip in clips] == digests
    assert rows_of(clips, "x").rows == rows_of_inputs(parts, "video", "x").rows == digests

    def seen(learned: list[int], judged: list[int]) -> list[int]:
        rows = rows_of([clips[k] for k in learned], "x").shown
        record = RowsSeen(shown={"training": Shown(rows=rows)})
        asked = rows_of_inputs([parts[k] for k in judged], "video", "x")
        return [judged[k] for k in asked.which(record)["training"]]

    everything = [0, 1, 2, 3]
    assert seen([0], everything) == [0, 2]  # itself, and the whole that it is in
    assert seen([2], everything) == [0, 1, 2]  # the whole has all of its parts
    assert seen([3], everything) == [3]
    # But they stay on one side of a split, like copies.
    for seed in range(4):
        rest, held = hold_out_clips(clips, 0.5, seed)
        assert {clip.path for clip in rest}.isdisjoint({clip.path for clip in held})


def test_a_thumbnail_is_of_the_part(tmp_path: Path, videos: list[Path]) -> None:
    from temporal.pipelines.display.picture_video import _thumbnails

    path = str(videos[0])
    (own,), _ = _thumbnails(f"{path}#t=1,2", [3], 400.0)
    (whole,), _ = _thumbnails(path, [13], 400.0)
    assert (own == whole).all()
    odd = tmp_path / "a.mp4#t=1,2"  # a file may be called so
    odd.write_bytes(videos[1].read_bytes())
    (named,), _ = _thumbnails(str(odd), [3], 400.0)
    (there,), _ = _thumbnails(str(videos[1]), [3], 400.0)
    assert (named == there).all()
    assert _thumbnails(f"{tmp_path}/none.mp4#t=1,2", [3], 400.0)[0] == (
        "no thumbnails: none.mp4#t=1,2 is not where it was"
    )


def test_a_training_lists_parts_by_their_names(tmp_path: Path, videos: list[Path]) -> None:
    listed = list_clips(table(tmp_path, videos[:2] * 3, ["0,1", ",", "1,2", ",", "2,1", "2,1"]))
    assert [clip.name.removeprefix(str(videos[0].parent)) for clip in listed.clips] == [
        *("/v0.mp4#t=0,1", "/v1.mp4", "/v0.mp4#t=1,2", "/v1.mp4")
    ]
    assert len(listed.left_out) == 2
    part = listed.clips[0].open()
    assert isinstance(part, VideoPart) and len(part) == 10
    assert shown(listed.clips[2].input()) == (str(videos[0]), (1.0, 2.0))
