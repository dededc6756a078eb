"""What the tests do with Ray, in a process of its own that starts and ends it.

python cluster_job.py MODEL TABLE OUTPUT
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import ray
import ray.data

from temporal.data import Item, collect
from temporal.pipelines import run
from temporal.pipelines.ray import RayPipeline, ReadBatch
from temporal.pipelines.ray.actors import Actors, Batch


def kill_one(name: str) -> None:
    """Kill an actor's process as the system does where memory runs out."""
    for process in psutil.Process().children(recursive=True):
        if process.name().startswith("ray::") and name in process.name():
            os.kill(process.pid, signal.SIGKILL)
            return
    raise AssertionError(f"no actor {name}")


def with_a_kill(items: Iterator[Any], place: int) -> Iterator[Any]:
    for k, item in enumerate(items):
        if k == place:
            kill_one("ReadingActor")
        yield item


class Fragile:
    """Reads as an actor does, and ends its process at some inputs."""

    def about(self) -> str:
        return "fragile"

    def read(self, groups: list[list[Item]], *, keep_text: bool) -> list[Any]:
        for group in groups:
            for item in group:
                if item.value == "fatal":
                    os._exit(1)
                if item.value == "wrong":
                    raise LookupError("a fault of the pipeline")
        return [(item.id, [str(one.id) for one in group]) for group in groups for item in group]


class NeverThere(Fragile):
    def __init__(self) -> None:
        os._exit(1)


def batches(values: list[str]) -> Iterator[Batch]:
    items = [Item(id=str(k), value=value) for k, value in enumerate(values)]
    for start in range(0, len(items), 4):
        yield Batch(groups=[items[start : start + 4]])


def read_by(kind: type[Any], values: list[str]) -> Any:
    remote = ray.remote(num_cpus=0.25)(kind)
    try:
        actors = Actors(remote.remote, 2)
        actors.about()
        made = list(actors.read(batches(values), keep_text=False))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    actors.end()
    given_up = [item.id for batch, pairs in made if pairs is None for item in batch.items]
    return {"given_up": given_up, "made": [pair for _, pairs in made for pair in pairs or []]}


def main() -> None:
    model, table, output = sys.argv[1:]
    ray.init(num_cpus=2, include_dashboard=False, configure_logging=False, log_to_driver=False)
    told: dict[str, Any] = {}
    values = ["fine"] * 5 + ["fatal"] + ["fine"] * 14
    told["fragile"] = read_by(Fragile, values)
    told["wrong"] = read_by(Fragile, ["fine", "wrong"])
    told["never there"] = read_by(NeverThere, ["fine"])
    try:
        RayPipeline("text-classification", f"{model}-that-is-not-there", num_cpus=0.5)
    except Exception as error:
        told["no model"] = type(error).__name__
    with RayPipeline("text-classification", model, num_actors=2, num_cpus=0.5) as pipe:
        items = with_a_kill(collect(table, kind="text"), 30)
        run(pipe, items, Path(output, "texts"), progress=False, keep_text=True)
        given = [Item(id="lock", value=threading.Lock()), Item(id="text", value="w1 w2")]
        readings = pipe.read(iter(given))
        told["readings"] = [(one.id, one.error and one.error.reason) for one in readings]
    dataset = (
        ray.data.read_csv(table)
        .repartition(4)
        .map_batches(
            ReadBatch,
            fn_constructor_kwargs={"task": "text-classification", "model": model},
            batch_format="pyarrow",
            batch_size=10,
            compute=ray.data.ActorPoolStrategy(size=2),
            num_cpus=0.5,
        )
    )
    dataset.write_parquet(str(Path(output, "mapped")))
    Path(output, "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
