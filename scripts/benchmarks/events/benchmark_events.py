"""Events in long videos: a reader of events beside the same backbone on dense and uniform frames.

    python scripts/benchmarks/make_long_videos.py CLIPS --event train_in_out --output_dir out/long
    python scripts/finetune_video.py --data_dir out/long --split train --output_dir out/reader
    python scripts/benchmarks/events/benchmark_events.py out/long out/longer \\
        --model_dir out/reader --cache_dir out/dense --output_dir out/events

The first folder also holds the videos that the linear head on frames is trained on (its split
`train`); the split `test` of every folder is judged. `dense` reads --fps frames a second,
`uniform_K` so many frames; of both the head says whether the event is there and from when (see
dense_events.py). The reader answers through the pipeline, one video at a time.

All test videos are judged (of --only_timed, by the reader alone); --max_timed of each folder, with
and without the event by turns, are timed from the file to the answer, contestants interleaved video
by video. Of uniform frames, those that are judged are the dense ones nearest to them. Prints JSON;
--output_dir also takes it, and a picture of time against length.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dense_events import (
    FrameHead,
    Scanned,
    balanced_accuracy,
    scan,
    scan_all,
    thinned,
    train_head,
)
from tqdm import tqdm

from temporal.data import Video
from temporal.data.labelled.events import EventTable, LabelledVideo, read_event_table
from temporal.pipelines import pipeline
from temporal.pipelines.benchmark.interleaved import machine
from temporal.pipelines.training.events.judge import NEAR_SECONDS

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Said:
    """An answer about one video."""

    span: Span | None
    frames: int
    """That were decoded."""
    seconds: float = 0.0


def main() -> None:
    """Train the head, judge all, time some, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data_dirs", nargs="+", type=Path, help="of make_long_videos.py")
    parser.add_argument("--model_dir", required=True, help="the trained reader of events")
    parser.add_argument("--cache_dir", type=Path, required=True, help="for features of frames")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--fps", type=float, default=2.0, help="of the dense baseline")
    parser.add_argument("--train_fps", type=float, default=1.0, help="that its head learns from")
    parser.add_argument("--uniform", type=int, nargs="*", default=[4, 8, 16, 32, 64, 128])
    parser.add_argument(
        "--only_timed",
        nargs="*",
        default=[],
        help="names of folders whose dense frames are timed but not judged: that takes its time",
    )
    parser.add_argument("--max_timed", type=int, default=10, help="videos of each folder")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    pipe = pipeline("video-event-detection", args.model_dir, batch_size=16)
    reader, size = pipe.reader, pipe.reader.size_at("full")

    def features(pixels: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            rows: torch.Tensor = reader.training_features(pixels)
            return rows.float()

    tables = [read_event_table(folder) for folder in args.data_dirs]
    key = json.dumps(reader.config.backbone, sort_keys=True)
    how = {"size": size, "fps": args.fps}
    train = tables[0].of_split("train")
    seen = {**how, "fps": args.train_fps}
    scanned = scan_all(paths_of(train), features, args.cache_dir, key=key, **seen)
    events = spans_of(train.videos)
    heads: dict[str, tuple[FrameHead, int | None]] = {"dense": (train_head(scanned, events), None)}
    for count in args.uniform:
        few = [thinned(one, count) for one in scanned]
        heads[f"uniform_{count}"] = train_head(few, events), count
    report: dict[str, Any] = {"threads": args.threads, "fps": args.fps, **machine(), "folders": {}}
    for folder, table in zip(args.data_dirs, tables, strict=True):
        test = table.of_split("test")
        judged, scans = {}, []
        if folder.name not in args.only_timed:
            judged = heads
            scans = scan_all(paths_of(test), features, args.cache_dir, key=key, **how)
        report["folders"][folder.name] = {
            "videos": len(test.videos),
            "with_events": sum(bool(video.events) for video in test.videos),
            "judged": judge(pipe, test, scans, judged),
            "timed": measure(pipe, test, heads, features, args, how),
        }
    args.output_dir.mkdir(parents=True, exist_ok=True)
    (args.output_dir / "results.json").write_text(json.dumps(report, indent=2))
    draw(report, args.output_dir / "results.png")
    print(json.dumps(report, indent=2))


def paths_of(table: EventTable) -> list[Path]:
    """Where the videos lie."""
    return [Path(video.path) for video in table.videos]


def spans_of(videos: Sequence[LabelledVideo]) -> list[list[Span]]:
    """Start and end of each video's events."""
    return [[(one.start_seconds, one.end_seconds) for one in video.events] for video in videos]


def read(pipe: Any, path: Path) -> Said:
    """The reader's surest event."""
    (reading,) = pipe.read(str(path), on_error="raise")
    best = reading.predictions[0]
    frames = reading.trace.cost.frames_decoded
    if best["label"] is None:
        return Said(None, frames)
    return Said((best["start_seconds"], best["end_seconds"]), frames)


def judge(
    pipe: Any,
    test: EventTable,
    scans: Sequence[Scanned],
    heads: dict[str, tuple[FrameHead, int | None]],
) -> dict[str, Any]:
    """How right each is on all videos."""
    truth = spans_of(test.videos)
    said = {"reader": [read(pipe, path) for path in tqdm(paths_of(test), desc="reader")]}
    for name, (head, count) in heads.items():
        few = scans if count is None else [thinned(one, count) for one in scans]
        said[name] = [Said(head.event(one), len(one.times)) for one in few]
    return {name: rated(answers, truth) for name, answers in said.items()}


def rated(said: Sequence[Said], truth: Sequence[Sequence[Span]]) -> dict[str, float]:
    """Found or not, and when, beside the truth."""
    has = np.array([len(own) > 0 for own in truth])
    found = np.array([one.span is not None for one in said])
    late, early, overlaps = [], [], []
    for one, own in zip(said, truth, strict=True):
        if one.span is None or not own:
            continue
        start, end = one.span
        nearest = min(own, key=lambda span: abs(span[0] - start))
        overlaps.append(start < nearest[1] and end > nearest[0])
        late.append(abs(start - nearest[0]))
        early.append(abs(end - nearest[1]))
    starts, ends, hits = np.array(late), np.array(early), np.array(overlaps, dtype=bool)
    count = max(int(hits.sum()), 1)
    return {
        "balanced_accuracy": balanced_accuracy(found, has),
        "events_missed": float(1 - found[has].mean()),
        "false_alarms": float(found[~has].mean()),
        "found_at_the_right_place": float(hits.mean()) if len(hits) else 0.0,
        f"start_within_{NEAR_SECONDS:g}_s": float((starts[hits] <= NEAR_SECONDS).sum() / count),
        f"end_within_{NEAR_SECONDS:g}_s": float((ends[hits] <= NEAR_SECONDS).sum() / count),
        "frames": statistics.fmean(one.frames for one in said),
    }


def measure(
    pipe: Any,
    test: EventTable,
    heads: dict[str, tuple[FrameHead, int | None]],
    features: Any,
    args: argparse.Namespace,
    how: dict[str, Any],
) -> dict[str, Any]:
    """Seconds from the file to the answer, of a part of the videos."""
    ways: dict[str, Callable[[Path], Any]] = {"reader": lambda path: read(pipe, path)}
    for name, (head, count) in heads.items():
        own = how if count is None else {"size": how["size"], "count": count}

        def look(path: Path, head: FrameHead = head, own: dict[str, Any] = own) -> Said:
            scanned = scan(path, features, **own)
            return Said(head.event(scanned), len(scanned.times))

        ways[name] = look
    with_events = [video for video in test.videos if video.events]
    without = [video for video in test.videos if not video.events]
    turns = [video for pair in zip(with_events, without, strict=False) for video in pair]
    part = [Path(video.path) for video in turns[: args.max_timed]]
    if not part:
        return {"videos": []}
    videos = []
    for path in tqdm(part, desc="timed"):
        with Video(path) as video:
            length = float(video.index.timestamps_seconds[-1])
        spent: dict[str, list[float]] = {name: [] for name in ways}
        names = list(ways)
        for number in range(args.rounds):
            turn = number % len(names)
            for name in (*names[turn:], *names[:turn]):
                start = time.perf_counter()
                ways[name](path)
                spent[name].append(time.perf_counter() - start)
        medians = {name: statistics.median(values) for name, values in spent.items()}
        videos.append({"seconds_long": length, "seconds": medians})
    totals = {name: sum(one["seconds"][name] for one in videos) for name in ways}
    return {
        "videos": videos,
        "mean_seconds": {name: total / len(videos) for name, total in totals.items()},
        "reader_times_faster": {name: total / totals["reader"] for name, total in totals.items()},
    }


def draw(report: dict[str, Any], path: Path) -> None:
    """Time against length, of the reader and of dense frames."""
    import matplotlib.pyplot as plt  # here: only for the picture

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for name in ("dense", "reader"):
        points = sorted(
            (one["seconds_long"] / 60, one["seconds"][name])
            for folder in report["folders"].values()
            for one in folder["timed"]["videos"]
        )
        axes.plot(*zip(*points, strict=True), "o", label=name)
    axes.set(xscale="log", yscale="log", xlabel="minutes of video", ylabel="seconds to the answer")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
