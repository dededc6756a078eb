"""What choosing frames costs: `temporal.select` beside decord's `get_batch` of uniform frames.

Every way opens each file anew, chooses 16 frames and reads them in 224 x 224. The ways take turns,
in an order that turns too; medians over rounds, the first of which warms up and is not counted.
For a question (a small CLIP of random weights) a dense scan stands beside it, which scores a frame
a second and takes 16 by BOLT. Ten minutes of 720p in 250-frame GOPs are made beside the files
given, of textures and of these files joined. Prints JSON.

    python scripts/benchmarks/benchmark_select.py clips/*.mp4 --output_dir out/select
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import decord
from parts.dense_scan import QUERY, DenseScan, dense_scan, random_clip
from parts.long_clips import join, make_clip

import temporal
from temporal.data import Video
from temporal.policies.read import uniform

FRAMES = 16
SIDE = 224
SCORER = random_clip()


def decord_uniform(path: Path) -> None:
    """What most people run."""
    reader = decord.VideoReader(str(path), width=SIDE, height=SIDE)
    reader.get_batch(uniform(len(reader), FRAMES)).asnumpy()


def selecting(**options: Any) -> Callable[[Path], temporal.Selection]:
    """One way to select."""

    def run(path: Path) -> temporal.Selection:
        with Video(path) as video:
            return temporal.select(video, FRAMES, size=(SIDE, SIDE), **options)

    return run


OURS: dict[str, Callable[[Path], temporal.Selection]] = {
    "uniform": selecting(by="uniform"),
    "keyframes": selecting(by="keyframes"),
    "motion_packets": selecting(by="motion"),
    "motion_packets_within_half_a_second": selecting(by="motion", tolerance_seconds=0.5),
    "motion_thumbnails": selecting(by="motion", evidence="thumbnails"),
    "motion_vectors": selecting(by="motion", evidence="vectors"),
    "motion_pixels": selecting(by="motion", evidence="pixels"),
    "choose_by_packets_only": selecting(by="motion", read=False),
    "diverse": selecting(by="diverse"),
    "query": selecting(query=QUERY, model=SCORER),
    "query_best": selecting(query=QUERY, model=SCORER, pick="top"),
}


def scanning(path: Path) -> DenseScan:
    """What selectors for a question do."""
    return dense_scan(path, SCORER, FRAMES, (SIDE, SIDE))


WAYS: dict[str, Callable[[Path], Any]] = {
    "decord_get_batch_uniform": decord_uniform,
    **OURS,
    "dense_scan": scanning,
}


def measure(path: Path, rounds: int, ways: Sequence[str]) -> dict[str, Any]:
    """Median milliseconds of every way, and what each of ours decodes; `error` where one fails."""
    told: dict[str, dict[str, Any]] = {name: {} for name in ways}
    for name in ways:  # warm up, and count
        try:
            selection = WAYS[name](path)
        except Exception as error:  # a file that a way cannot read is a result, too
            told[name]["error"] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            continue
        if isinstance(selection, DenseScan):
            told[name] |= {"scored": selection.frames_scored, "mean_score": selection.mean_score}
        elif selection is not None:
            told[name] |= {
                "frames": selection.frames,
                "decoded": selection.cost.frames_decoded,
                "glanced": selection.cost.frames_glanced,
                "broken": len(selection.faults),
                "scored": selection.frames_scored,
            }
            if name.startswith("query"):  # by what the model says of them, not by what was guessed
                told[name]["mean_score"] = SCORER.mean_score(path, selection.frames)
    running = [name for name in ways if "error" not in told[name]]
    seconds: dict[str, list[float]] = {name: [] for name in running}
    for round_number in range(rounds):
        for place in range(len(running)):
            name = running[(round_number + place) % len(running)]
            gc.collect()
            start = time.perf_counter()
            WAYS[name](path)
            seconds[name].append(time.perf_counter() - start)
    for name, values in seconds.items():
        told[name]["milliseconds"] = round(1e3 * statistics.median(values), 2)
    with Video(path) as video:
        index = video.index
        shape = f"{index.codec} {index.width}x{index.height}"
        about = {"video": shape, "frames": len(index), "keyframes": len(index.keyframes)}
    return about | {"ways": told}


def speedups(files: dict[str, Any]) -> dict[str, float]:
    """Geometric mean over the files: decord's time over that of each way."""
    found = {}
    for name in OURS:
        pairs = [
            (one["ways"].get("decord_get_batch_uniform", {}), one["ways"].get(name, {}))
            for one in files.values()
        ]
        ratios = [
            theirs["milliseconds"] / ours["milliseconds"]
            for theirs, ours in pairs
            if "milliseconds" in theirs and "milliseconds" in ours
        ]
        if ratios:
            found[name] = round(statistics.geometric_mean(ratios), 2)
    return found


def beside_scan(ways: dict[str, Any]) -> dict[str, Any]:
    """Of a question: what is scored, how well what is chosen fits, and how fast, as shares."""
    dense = ways.get("dense_scan", {})
    found = {}
    for name in ("query", "query_best"):
        ours = ways.get(name, {})
        if "milliseconds" in ours and "milliseconds" in dense:
            found[name] = {
                "scored": round(ours["scored"] / dense["scored"], 3),
                "mean_score": round(ours["mean_score"] / dense["mean_score"], 3),
                "speedup": round(dense["milliseconds"] / ours["milliseconds"], 2),
            }
    return found


def main() -> None:
    """Make the clip, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, help="videos to select from")
    parser.add_argument("--output_dir", type=Path, required=True, help="where the clip is kept")
    parser.add_argument("--num_frames", type=int, default=15000, help="frames of the made clips")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), metavar="WAY")
    args = parser.parse_args()
    args.output_dir.mkdir(parents=True, exist_ok=True)
    made = args.output_dir / f"h264_1280x720_gop250_{args.num_frames}.mp4"
    if not made.exists():
        make_clip(made, args.num_frames)
    paths = [*args.files, made]
    if args.files:
        joined = args.output_dir / f"joined_1280x720_gop250_{args.num_frames}.mp4"
        paths.append(joined)
        if not joined.exists():
            join(args.files, joined, args.num_frames)
    files = {path.name: measure(path, args.rounds, args.ways) for path in paths}
    report = {
        "selected": FRAMES,
        "size": SIDE,
        "rounds": args.rounds,
        "cores": os.cpu_count(),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "decord": decord.__version__,
        "decord_seconds_over_ours": speedups(files),
        "beside_the_dense_scan": {name: beside_scan(one["ways"]) for name, one in files.items()},
        "files": files,
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
