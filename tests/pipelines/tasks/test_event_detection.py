"""Events in videos, whole: from a table to a reader, to rows, to a certified share of misses."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas
import pytest
import torch
from transformers import ResNetConfig

from temporal.data import Video, VideoPart, collect
from temporal.data.labelled.events import has_events, read_event_table
from temporal.models import EventReader
from temporal.pipelines import pipeline, rows
from temporal.pipelines.calibration.events import calibrate_events
from temporal.pipelines.command.calibrate import calibrate_command
from temporal.pipelines.tasks.events.event_detection import event_rows
from temporal.pipelines.training.events import train_events
from temporal.pipelines.training.events.judge import judge_events

FPS, SECONDS, GOP = 5, 40, 20  # a keyframe every 4 seconds
EVENTS: dict[str, list[tuple[float, float]]] = {
    f"{split}{k}": [] if k % 2 else [(4.0 * (1 + k % 5), 4.0 * (1 + k % 5) + 12.0)]
    for split in ("train", "test")
    for k in range(8)
}


def film(path: Path, events: list[tuple[float, float]], seed: int) -> None:
    """Grey noise; while an event goes on, noise that is red."""
    random = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size = GOP
        stream.options = {"sc_threshold": "1000000000"}
        for number in range(FPS * SECONDS):
            image = random.integers(60, 120, (48, 64, 3))
            if any(start <= number / FPS < end for start, end in events):
                image[..., 0] += 120
            frame = av.VideoFrame.from_ndarray(image.astype(np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("events")
    for number, (name, events) in enumerate(EVENTS.items()):
        film(place / f"{name}.avi", events, number)
    with open(place / "events.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["video", "start_seconds", "end_seconds", "label"])
        for name, events in EVENTS.items():
            writer.writerows([f"{name}.avi", start, end, "red"] for start, end in events)
    with open(place / "videos.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "split"])
        writer.writerows([f"{name}.avi", name.rstrip("0123456789")] for name in EVENTS)
    config = ResNetConfig(
        num_channels=3, embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"
    )
    config.save_pretrained(place / "backbone")
    return place


@pytest.fixture(scope="module")
def trained(folder: Path) -> Path:
    torch.manual_seed(0)
    out = folder / "reader"
    options = {"image_size": 48, "small_size": 32, "border_seconds": 1.0}
    result = train_events(
        folder, out, split="train", backbone=str(folder / "backbone"), reader_options=options
    )
    assert (result["videos"], result["events"], result["left_out"]) == (8, 4, {})
    return out


def test_what_was_trained_finds_events_and_when(folder: Path, trained: Path) -> None:
    pipe = pipeline("video-event-detection", trained)
    for k in range(8):
        found = pipe(str(folder / f"test{k}.avi"))
        assert len(found) == len(EVENTS[f"test{k}"])
        for event, (start, end) in zip(found, EVENTS[f"test{k}"], strict=True):
            assert event["label"] == "red" and 0 <= event["score"] <= 1
            assert abs(event["start_seconds"] - start) <= 1.0
            assert abs(event["end_seconds"] - end) <= 1.0
    told = judge_events(pipe, read_event_table(folder).of_split("test").videos)
    assert told["balanced_accuracy"] == told["events_found"] == 1.0
    assert told["start_within_2_seconds"] == told["end_within_2_seconds"] == 1.0
    assert told["false_alarms_per_hour"] == 0 and told["unread"] == 0


def test_the_model_says_which_task_it_is_for(trained: Path) -> None:
    assert pipeline(model=str(trained)).task == "video-event-detection"
    with pytest.raises(ValueError, match="reader of events"):
        pipeline("video-event-detection", torch.nn.Linear(1, 1))


def test_settings_of_a_pipeline_leave_the_reader_alone(folder: Path, trained: Path) -> None:
    reader = EventReader.from_pretrained(trained).eval()
    own = reader.config.event_threshold
    all_of_it = pipeline("video-event-detection", reader, event_threshold=0.0, border_seconds=None)
    (event,) = all_of_it(str(folder / "test1.avi"))
    last = (FPS * SECONDS - 1) / FPS
    assert (event["start_seconds"], event["end_seconds"]) == (0, pytest.approx(last))
    assert reader.config.event_threshold == own and reader.config.border_seconds == 1.0
    with pytest.raises(ValueError, match="halt"):
        pipeline("video-event-detection", reader, halt="soon")


def test_times_in_a_table_are_labels_and_a_part_is_what_is_meant(
    folder: Path, trained: Path
) -> None:
    pipe = pipeline("video-event-detection", trained)
    path = str(folder / "test4.avi")
    (whole,) = pipe.read([path])
    rows_given = [{"video": path, "start": 0.0, "end": 1.0}]
    (labelled,) = pipe.read(rows_given)
    assert labelled.predictions == whole.predictions and labelled.id == path
    (collected,) = pipe.read(collect(rows_given, kind="video"))
    assert collected.error is not None and collected.error.reason == "unsupported_input"
    (part,) = pipe.read([VideoPart(path, 4.0)])  # who says so, is given it
    assert part.status == "ok" and part.trace is not None and part.trace.units_total == 36 * FPS


def test_rows_lose_nothing(folder: Path, trained: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video at all")
    pipe = pipeline("video-event-detection", trained)
    paths = [folder / "test0.avi", broken, folder / "test1.avi"]
    made = list(rows(pipe, collect([str(path) for path in paths], kind="video")))
    assert [row["status"] for row in made] == ["ok", "error", "ok"]
    assert made[0]["label"] == "red" and made[0]["predictions"][0]["start_seconds"] is not None
    quiet = made[2]
    assert quiet["label"] is None and quiet["start_seconds"] is None and 0 <= quiet["score"] <= 1
    told = list(event_rows(made))
    assert [row["id"] for row in told] == [row["id"] for row in made]
    assert [row["label"] for row in told] == ["red", None, None]
    assert told[1]["error_reason"] and told[2]["status"] == "ok"


def test_what_is_skipped_is_not_decoded(folder: Path, trained: Path) -> None:
    reader = EventReader.from_pretrained(trained).eval()
    reader.config.packets_margin, reader.config.border_seconds = -50.0, None
    with Video(folder / "test1.avi") as video:
        outcome = reader(video)
        assert video.spent.frames_decoded == outcome.trace.cost.frames_decoded == 0
    assert outcome.trace.cost.macs == 0 and outcome.value.events == ()
    assert outcome.value.counts == {"places": 10, "packets": 10, "small": 0, "full": 0}


def test_a_certified_share_of_misses_is_stored(folder: Path, trained: Path) -> None:
    with pytest.raises(ValueError, match="trained on"):
        calibrate_command(words(trained, folder / "events.csv", "train", 0.5), "temporal calibrate")
    report = calibrate_command(words(trained, folder, "test", 0.6), "temporal calibrate")
    chosen = report["chosen"]
    # Of 4 events none is missed: 0.527 is where that has a chance of 5 %.
    assert chosen["risk"] == "missed_events" and chosen["num_calibration"] == 4
    assert chosen["drop_bound"] == pytest.approx(1 - 0.05 ** (1 / 4), abs=2e-4)
    assert "at most 60.0 % of events are missed" in report["promise"]
    assert report["false_alarms_per_hour"] == 0
    pipe = pipeline("video-event-detection", trained, max_drop=0.6)
    assert pipe.operating_point["policy"] == chosen["policy"]
    full = pipeline("video-event-detection", trained, max_drop=0.1)  # no other is certified for it
    assert full.operating_point["policy"] == {"event_threshold": 0.0}


def test_copies_of_a_recording_count_once(
    folder: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.mkv"
    with av.open(str(folder / "test2.avi")) as given, av.open(str(copy), "w") as out:
        stream = out.add_stream_from_template(given.streams.video[0])
        for number, packet in enumerate(p for p in given.demux(video=0) if p.size):
            packet.stream, packet.pts, packet.dts = stream, number, number
            packet.time_base = Fraction(1, FPS)
            out.mux(packet)
    videos = [one for one in read_event_table(folder).of_split("test").videos if one.events]
    again = replace(videos[1], path=str(copy))
    assert str(videos[1].path).endswith("test2.avi")
    pipe = pipeline("video-event-detection", trained)
    alone, _ = calibrate_events(pipe, videos, max_missed=0.9)
    found, _ = calibrate_events(pipe, [*videos, again], max_missed=0.9)
    assert "1 of 5 events are copies" in capsys.readouterr().err
    assert found.chosen.num_calibration == alone.chosen.num_calibration == 4
    assert found.chosen.drop_bound == alone.chosen.drop_bound


def words(model: Path, data: Path, split: str, most: float) -> list[str]:
    """A command line of `temporal calibrate`."""
    named = {"task": "video-event-detection", "model": model, "data_file": data, "split": split}
    options = [f"--{name}={value}" for name, value in named.items()]
    return [*options, f"--max_drop={most}"]


def test_a_table_says_what_cannot_be_used(tmp_path: Path, folder: Path) -> None:
    video = str(folder / "test0.avi")
    table = tmp_path / "mine.csv"
    lines = [
        "video,start_seconds,end_seconds,label",
        f"{video},1,2,a",
        f"{video},3,2,a",
        f"{video},x,2,a",
        f"{video},4,5,",
        f"{folder / 'test1.avi'},,,",
    ]
    table.write_text("\n".join(lines))
    found = read_event_table(table)
    assert [len(one.events) for one in found.videos] == [1, 0] and found.names == ["a"]
    said = list(found.left_out.values())
    assert len(said) == 3 and "end_seconds (2.0)" in said[0] and "'x'" in said[1]
    assert "label" in said[2]
    assert has_events(table) and not has_events(folder / "videos.csv")


@pytest.mark.parametrize("columns", [("start_seconds", "end_seconds"), ("start", "end")])
@pytest.mark.parametrize("name", ["mine.csv", "mine.tsv", "mine.jsonl", "mine.parquet"])
def test_a_table_may_begin_with_videos_in_which_nothing_happens(
    tmp_path: Path, columns: tuple[str, str], name: str
) -> None:
    times = [(None, None), (None, None), (1.5, 4.0)]
    rows = [
        {"video": f"{k}.avi", columns[0]: start, columns[1]: end, "label": end and "a"}
        for k, (start, end) in enumerate(times)
    ]
    table, frame = tmp_path / name, pandas.DataFrame(rows)
    if table.suffix == ".parquet":
        frame.to_parquet(table)
    elif table.suffix == ".jsonl":  # a cell that is empty is not there at all
        lines = ({key: cell for key, cell in row.items() if cell is not None} for row in rows)
        table.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    else:
        frame.to_csv(table, index=False, sep="\t" if table.suffix == ".tsv" else ",")
    assert has_events(table)
    found = [
        [(one.start_seconds, one.end_seconds) for one in video.events]
        for video in read_event_table(table).videos
    ]
    assert found == [[], [], [(1.5, 4.0)]]


def test_the_script_trains_on_a_table(folder: Path, trained: Path, tmp_path: Path) -> None:
    from temporal.pipelines.training.events.run import run_on_events

    options: dict[str, Any] = {"image_size": 48, "small_size": None, "profile_bins": 0}
    command = ["--data_dir", str(folder), "--output_dir", str(tmp_path)]
    command += ["--backbone", str(folder / "backbone"), "--reader_options", json.dumps(options)]
    report = run_on_events(command)
    assert report is not None and report["test"]["videos"] == 8
    assert EventReader.from_pretrained(tmp_path / "final").levels == ("full",)
    assert run_on_events(["--data_dir", str(folder / "videos.csv")]) is None


def test_a_stream_is_watched_as_its_file_is_read(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "SECONDS", 160)  # it takes a minute to know it
    source, events = tmp_path / "long.avi", [(24.0, 32.0), (104.0, 116.0)]
    film(source, events, 99)
    options = {"border_seconds": None, "event_threshold": 0.5}
    pipe = pipeline("video-event-detection", str(trained), **options)
    pipe.model.config.packets_margin = None  # so few videos say little of what packets tell
    (read,) = pipe.read(source)
    wanted = sorted(read.predictions, key=lambda event: event["start_seconds"])
    told = list(pipe.watch(source, window_seconds=7.0))
    assert [one["label"] for one in told] == [one["label"] for one in wanted]
    late, expected = told[-1], wanted[-1]
    assert expected["start_seconds"] == pytest.approx(104, abs=4.1)
    assert late["start_seconds"] == pytest.approx(expected["start_seconds"], abs=4.1)
    assert late["end_seconds"] == pytest.approx(expected["end_seconds"], abs=4.1)
    assert late["told_seconds"] >= late["end_seconds"]
    assert late["delay_seconds"] == late["told_seconds"] - late["start_seconds"]
    # What the picture draws: a score for each place, high where it happens.
    assert read.trace is not None
    trace = read.trace
    assert len(trace.places) == len(trace.place_scores) > 20
    seconds = [place / FPS for place in trace.places]
    inside = [s for t, s in zip(seconds, trace.place_scores, strict=True) if 104 <= t < 114]
    assert min(inside) >= pipe.model.config.event_threshold > trace.place_scores[0]
