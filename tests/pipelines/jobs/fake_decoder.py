"""A job over videos whose decode workers misbehave on two files, named for what happens to them.

As a script it runs the job, so that tests can see what processes it leaves behind:

    python fake_decoder.py MODEL VIDEOS OUTPUT --deadline-seconds 2

It prints how many workers there were at most, and how many are left when the job is done.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

DIES, HANGS = "dies.mp4", "hangs.mp4"
"""The last part of the names of the files that are read in vain."""


def misread(video: Any, *arguments: Any) -> Any:
    """Read, unless the file is one of the two; runs in a decode worker."""
    from temporal.data.decode.isolation.worker import read_frames

    if tell := os.environ.get("FAKE_TELL"):
        Path(tell).touch()
        time.sleep(float(os.environ["FAKE_DELAY_SECONDS"]))
    if video.id.endswith(DIES):
        os.kill(os.getpid(), signal.SIGKILL)
    if video.id.endswith(HANGS):
        time.sleep(1000)
    return read_frames(video, *arguments)


def count_workers() -> int:
    """Decode workers of this process that live."""
    import psutil

    count = 0
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has just ended
            count += "forkserver" in " ".join(child.cmdline()) and child.ppid() != os.getpid()
    return count


def main() -> None:
    """Run the job and leave with its exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("videos")
    parser.add_argument("output")
    parser.add_argument("--deadline-seconds", type=float, required=True)
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args()

    from functools import partial

    from fake_decoder import misread  # by its name: workers import it, and not this script

    from temporal.data import DecodePool, collect
    from temporal.pipelines import pipeline
    from temporal.pipelines.jobs.job import run
    from temporal.pipelines.tasks import videos

    videos.DecodePool = partial(  # type: ignore[misc]  # the one thing that is fake
        DecodePool, read_function=misread
    )
    pipe = pipeline(
        "video-classification",
        model=options.model,
        device="cpu",
        isolate=True,
        deadline_seconds=options.deadline_seconds,
    )
    most = 0

    def watched(items: Iterable[Any]) -> Iterator[Any]:
        nonlocal most
        for position, item in enumerate(items):
            if position % 10 == 0:
                most = max(most, count_workers())
            yield item

    items = watched(collect(options.videos, kind="video"))
    summary = run(pipe, items, Path(options.output), resume=options.resume, progress=False)
    print(most, count_workers())
    sys.exit(summary.exit_code)


if __name__ == "__main__":
    main()
