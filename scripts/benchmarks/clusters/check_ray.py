"""Compare the rows of Ray with those of one process, also when an actor is killed on the way.

    OMP_NUM_THREADS=1 python scripts/benchmarks/clusters/check_ray.py --num-videos 300

The collection is made of the bundled clips, linked under many names, every tenth one damaged. Rows
are compared in all that no clock measured: those of `RayPipeline` bit for bit, of `ReadBatch`,
whose batches are Ray's, up to the rounding of scores.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import ray
import ray.data

from temporal.data import collect
from temporal.pipelines import pipeline, read_rows, run
from temporal.pipelines.ray import RayPipeline, ReadBatch

ROOT = Path(__file__).resolve().parents[3]
TASK = "video-classification"


def make_collection(folder: Path, num_videos: int) -> Path:
    """Write a table of links to the bundled clips, and of what is no video."""
    clips = sorted((ROOT / "data/examples/clips").glob("*.mp4"))
    damaged = [b"", b"not a video", clips[0].read_bytes()[:5000]]
    table = folder / "clips.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "camera"])
        for number in range(num_videos):
            path = folder / f"{number:04d}.mp4"
            if number % 40 == 39:
                pass  # it is not there
            elif number % 10 == 9:
                path.write_bytes(damaged[number // 10 % len(damaged)])
            else:
                path.symlink_to(clips[number % len(clips)])
            writer.writerow([path, f"camera {number % 3}"])
    return table


def timeless(row: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """What of a row no clock measured, of the columns that are compared."""
    return {name: row[name] for name in names if name not in ("decode_seconds", "model_seconds")}


def is_near(mine: Any, other: Any) -> bool:
    """Whether values are equal up to the rounding of numbers."""
    if isinstance(mine, float) and isinstance(other, float):
        return math.isclose(mine, other, rel_tol=1e-5, abs_tol=1e-6)
    if isinstance(mine, dict) and isinstance(other, dict):
        return mine.keys() == other.keys() and all(is_near(mine[k], other[k]) for k in mine)
    if isinstance(mine, list) and isinstance(other, list):
        return len(mine) == len(other) and all(map(is_near, mine, other))
    return bool(mine == other)


def kill_one(name: str) -> None:
    """Kill an actor of this machine whose process has this in its name."""
    for process in psutil.Process().children(recursive=True):
        if process.name().startswith("ray::") and name in process.name():
            print(f"killing {process.name()} ({process.pid})", file=sys.stderr)
            os.kill(process.pid, signal.SIGKILL)
            return
    raise RuntimeError(f"there is no actor {name}")


def then(values: Iterator[Any], place: int, do: Callable[[], None]) -> Iterator[Any]:
    """Yield values, and do something before the one at a place."""
    yield from itertools.islice(values, place)
    do()
    yield from values


def committed(pipe: Any, table: Path, output: Path, kill_at: int | None = None) -> list[Any]:
    """The rows that a job commits."""
    items = collect(str(table), kind="video")
    if kill_at is not None:
        items = then(items, kill_at, lambda: kill_one("ReadingActor"))
    run(pipe, items, output, progress=False)
    return list(read_rows(output))


def mapped(
    table: Path, batch_size: int, budget: float | None, kill_at: int | None = None
) -> list[Any]:
    """The rows that a dataset of Ray gives, in its order."""
    dataset = ray.data.read_csv(str(table), override_num_blocks=8).map_batches(
        ReadBatch,
        fn_constructor_kwargs={"task": TASK, "budget": budget},
        batch_format="pyarrow",
        batch_size=batch_size,
        compute=ray.data.ActorPoolStrategy(size=2),
        num_cpus=0.5,  # who reads the table takes a core
    )
    rows: list[Any] = []
    tables: Iterator[pa.Table] = dataset.iter_batches(batch_size=None, batch_format="pyarrow")
    for part in tables:
        if kill_at is not None and len(rows) < kill_at <= len(rows) + part.num_rows:
            kill_one("ReadBatch")
        rows += part.to_pylist()
    return rows


def main() -> None:
    """Compare, print a table, and fail where rows differ."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--num-videos", type=int, default=300)
    parser.add_argument("--batch-size", type=int, default=8, help="of `map_batches`")
    parser.add_argument("--budget", type=float, help="share of the full cost that is read")
    args = parser.parse_args()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    folder = Path(tempfile.mkdtemp(prefix="check-ray-"))
    table = make_collection(folder, args.num_videos)
    middle = args.num_videos // 3
    began = time.monotonic()
    expected = committed(pipeline(TASK, device="cpu", budget=args.budget), table, folder / "one")
    print(f"one process: {len(expected)} rows in {time.monotonic() - began:.1f} s")
    names = set(expected[0])
    by_id = {row["id"]: timeless(row, names) for row in expected}
    told = []
    with RayPipeline(TASK, num_actors=2, budget=args.budget) as pipe:
        told += [("RayPipeline", lambda: committed(pipe, table, folder / "two"))]
        told += [("... killed", lambda: committed(pipe, table, folder / "killed", middle))]
        told += [("ReadBatch", lambda: mapped(table, args.batch_size, args.budget))]
        told += [("... killed", lambda: mapped(table, args.batch_size, args.budget, middle))]
        failed = False
        print(f"{'2 actors':12} {'rows':>5} {'lost':>5} {'twice':>6} {'equal':>6} {'near':>5} s")
        for name, read in told:
            if name == "ReadBatch":
                pipe.close()  # its actors hold the cores that are set aside
            began = time.monotonic()
            rows = read()
            seconds = time.monotonic() - began
            ids = [row["id"] for row in rows]
            lost, twice = len(by_id.keys() - ids), len(ids) - len(set(ids))
            pairs = [(timeless(row, names), by_id[row["id"]]) for row in rows]
            equal = sum(mine == other for mine, other in pairs)
            near = sum(is_near(mine, other) for mine, other in pairs)
            print(
                f"{name:12} {len(rows):5} {lost:5} {twice:6} {equal:6} {near:5} {seconds:.1f}",
                flush=True,
            )
            failed |= bool(lost or twice) or near < len(expected)
    sys.exit(failed)


if __name__ == "__main__":
    main()
