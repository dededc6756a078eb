"""A person on the floor, in videos of ceiling cameras: a reader of events beside dense frames.

    python scripts/benchmarks/events/benchmark_floor.py FIR_ACTIONS --cache_dir out/dense \\
        --output_dir out/floor

FIR_ACTIONS holds `events.csv` (video, start_seconds, end_seconds, action) and the videos that it
names. Those --actions are one event. Each video is left out once: both are trained on all others,
and every setting is found on these (see left_out.py). `dense` reads --fps frames a second, through
the same frozen backbone; `nothing_skipped` is the reader where every place is read in full. An
event is right if it begins within --seconds of a labelled one.

`places` are the events that somebody would tell who knew of every place of the reader whether most
of it is inside: what its places allow. `moved` are the labelled events themselves, each start off
by a normal error of --label_seconds: what labels allow. Prints JSON; --output_dir takes it, too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dense_events import scan, scan_all
from floor_videos import ON_THE_FLOOR, floor_table
from left_out import Kind, runs, train_dense, train_reader
from timed import Span, Spans, overlapping, rated, resampled
from tqdm import tqdm

from temporal.pipelines import pipeline
from temporal.pipelines.benchmark.interleaved import machine

_DRAWS = 1000


def main() -> None:
    """Leave each video out, judge, time, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data_dir", type=Path, help="events.csv and the videos that it names")
    parser.add_argument("--cache_dir", type=Path, required=True, help="for features of frames")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--actions", nargs="+", default=ON_THE_FLOOR)
    parser.add_argument("--join_seconds", type=float, default=1.0, help="between them, at most")
    parser.add_argument("--seconds", type=float, default=3.0, help="that starts may be off")
    parser.add_argument("--label_seconds", type=float, default=2.5, help="that labels are off")
    parser.add_argument("--fps", type=float, default=2.0, help="of the dense baseline")
    parser.add_argument("--place_seconds", type=float, nargs="+", default=[4.0, 8.0])
    parser.add_argument("--border_seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3, help="timed; 0: none")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    table = floor_table(args.data_dir, args.actions, args.join_seconds)
    paths = [Path(video.path) for video in table.videos]
    true: list[Spans] = [
        [(one.start_seconds, one.end_seconds) for one in video.events] for video in table.videos
    ]
    kinds = {
        length: Kind.of(table, length, args.border_seconds)
        for length in tqdm(args.place_seconds, desc="places")
    }
    first = next(iter(kinds.values())).reader
    size, key = first.size_at("full"), json.dumps(first.config.backbone, sort_keys=True)

    def features(pixels: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            rows: torch.Tensor = first.training_features(pixels)
            return rows.float()

    scans = scan_all(paths, features, args.cache_dir, key=key, size=size, fps=args.fps)
    said: dict[str, list[list[Span]]] = {"reader": [], "nothing_skipped": [], "dense": []}
    videos = []
    for held in tqdm(range(len(paths)), desc="left out"):
        rest = [k for k in range(len(paths)) if k != held]
        others = [true[k] for k in rest]
        head = train_dense([scans[k] for k in rest], others, args.seconds)
        reader, settings = train_reader(kinds, rest, others, args.seconds)
        pipe: Any = pipeline("video-event-detection", reader, batch_size=16)
        events, cost = read(pipe, paths[held])

        def dense(path: Path = paths[held], head: Any = head) -> list[Span]:
            events: list[Span] = head.events(scan(path, features, size=size, fps=args.fps))
            return events

        def ours(path: Path = paths[held], pipe: Any = pipe) -> Any:
            return read(pipe, path)

        seconds = timed({"reader": ours, "dense": dense}, args.rounds)
        said["reader"].append(events)
        said["dense"].append(head.events(scans[held]))
        margins = reader.config.packets_margin, reader.config.small_margin
        reader.config.packets_margin = reader.config.small_margin = None
        said["nothing_skipped"].append(read(pipe, paths[held])[0])
        reader.config.packets_margin, reader.config.small_margin = margins
        videos.append(
            {
                "video": paths[held].name,
                "true": true[held],
                "told": {name: one[-1] for name, one in said.items()},
                "reader": {**settings, **cost},
                "dense": {
                    "frames": len(scans[held].times),
                    "window_seconds": head.window_seconds,
                    "cut": head.cut,
                    "gap_seconds": head.gap_seconds,
                },
                "seconds": seconds,
            }
        )
    report = {
        "threads": args.threads,
        **machine(),
        "videos": len(paths),
        "events": sum(map(len, true)),
        "judged": {name: judged(true, told, args.seconds) for name, told in said.items()},
        "resampled": resampled(true, said, args.seconds, beside="dense"),
        "places": {length: of_places(kind, true, args.seconds) for length, kind in kinds.items()},
        "moved": of_labels(true, args.seconds, args.label_seconds),
        "seconds": totals(videos) if args.rounds else None,
        "by_video": videos,
    }
    args.output_dir.mkdir(parents=True, exist_ok=True)
    (args.output_dir / "results.json").write_text(json.dumps(report, indent=2))
    print(json.dumps(report, indent=2))


def read(pipe: Any, path: Path) -> tuple[list[Span], dict[str, int]]:
    """The reader's events in the order of time, and what it read for them."""
    (reading,) = pipe.read(str(path), on_error="raise")
    told = [one for one in reading.predictions if one["label"] is not None]
    cost = reading.trace.cost
    return sorted((one["start_seconds"], one["end_seconds"]) for one in told), {
        "read": reading.trace.units_read,
        "glanced": cost.frames_glanced,
        "decoded": cost.frames_decoded,
    }


def timed(ways: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median seconds of each, by turns."""
    spent: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for number in range(rounds):
        for name in names if number % 2 else reversed(names):
            start = time.perf_counter()
            ways[name]()
            spent[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in spent.items() if values}


def totals(videos: list[dict[str, Any]]) -> dict[str, float]:
    """Of all videos, and how many times faster the reader is."""
    found = {name: sum(one["seconds"][name] for one in videos) for name in ("reader", "dense")}
    return {**found, "times_faster": found["dense"] / found["reader"]}


def judged(true: list[Spans], told: Any, seconds: float) -> dict[str, Any]:
    """By starts, by starts and ends, and by what overlaps."""
    return {
        "told": sum(map(len, told)),
        "starts": rated(true, told, seconds),
        "starts_and_ends": rated(true, told, seconds, with_ends=True),
        "overlap": overlapping(true, told),
    }


def of_places(kind: Kind, true: list[Spans], seconds: float) -> dict[str, Any]:
    """Where somebody knows of every place whether most of it is inside."""
    told = []
    for one in kind.seen:
        shares = one.rows.shares[one.rows.is_place, 0].double().numpy()
        told.append(runs(shares, (one.places.start_P, one.places.end_P), 0.5, 0.0))
    return judged(true, told, seconds)


def of_labels(true: list[Spans], seconds: float, error: float) -> float:
    """Mean F1 of the labelled events beside themselves, with their starts moved."""
    random = np.random.default_rng(0)
    scores = []
    for _ in range(_DRAWS):
        moved = [[(start + error * random.normal(), end) for start, end in own] for own in true]
        scores.append(rated(true, moved, seconds)["f1"])
    return statistics.fmean(scores)


if __name__ == "__main__":
    main()
