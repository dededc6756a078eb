"""Measure what decoding in a killable worker costs, beside decoding in this process.

    python scripts/benchmarks/benchmark_isolation.py --output_dir out/isolation

The same reads by `Video` and by `DecodePool.open`, of the same files, in turn, in an order that
turns too; medians over rounds. Three ways: `in_process`, `isolated` (frames come through shared
memory), and `isolated_by_pipe` (the same without shared memory, as where the system has none).
Prints JSON; all times in milliseconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import av
import numpy as np
from transformers import HfArgumentParser

from temporal.data import DecodePool, IsolatedVideo, Video

WAYS = ("in_process", "isolated", "isolated_by_pipe")


@dataclass
class IsolationArguments:
    """Files and rounds."""

    output_dir: str = field(metadata={"help": "Where the encoded files are kept."})
    gop: int = field(default=12, metadata={"help": "Frames in a group of pictures."})
    num_frames: int = field(default=250, metadata={"help": "Frames of the files that are read."})
    index_frames: int = field(default=5000, metadata={"help": "Frames of the file that is opened."})
    rounds: int = field(default=25, metadata={"help": "Timed rounds."})


def encode(path: Path, width: int, height: int, num_frames: int, gop: int) -> None:
    """Encode a texture that moves, as H.264 with B-frames."""
    cells = np.random.default_rng(0).integers(
        0, 256, (height // 8 + num_frames // 4 + 1, width // 8, 3), dtype=np.uint8
    )
    partial = path.with_suffix(".partial.mp4")
    options = {"g": str(gop), "keyint_min": str(gop), "sc_threshold": "0", "preset": "veryfast"}
    with av.open(str(partial), "w") as container:
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(num_frames):
            seen = cells[number // 4 : number // 4 + height // 8]
            image = np.ascontiguousarray(seen.repeat(8, axis=0).repeat(8, axis=1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    partial.rename(path)


@contextlib.contextmanager
def without_shared_memory() -> Iterator[None]:
    """Have frames sent through the pipe."""
    with mock.patch("temporal.data.decode.isolation.shared.SharedBuffer.fit", lambda *_: None):
        yield


def take_turns(actions: dict[str, Callable[[], Any]], rounds: int) -> dict[str, Any]:
    """Median milliseconds of each action, and what each costs more than the first."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    names = list(actions)
    for number in range(rounds + 1):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            start = time.perf_counter()
            result = actions[name]()
            elapsed = time.perf_counter() - start
            del result
            if number:  # the first round warms up
                times[name].append(elapsed * 1000)
    medians = {name: statistics.median(values) for name, values in times.items()}
    first = medians[names[0]]
    return {
        "milliseconds": medians,
        "more_milliseconds": {name: medians[name] - first for name in names[1:]},
        "ratio": {name: medians[name] / first for name in names[1:]},
    }


def measure_reads(args: IsolationArguments, folder: Path, pool: DecodePool) -> dict[str, Any]:
    """Reads of one and of 16 frames; every frame is decoded anew from its keyframe."""
    spread = list(range(0, 16 * args.gop, args.gop))
    away = [frame + args.gop - 1 for frame in spread]
    whole_gop = list(range(args.gop, args.gop + 16))
    cases: dict[str, tuple[str, list[int], tuple[int, int] | None]] = {
        "1 keyframe at 224": ("320x240", [0], (224, 224)),
        "16 keyframes at 224": ("320x240", spread, (224, 224)),
        "16 frames at the end of their GOPs at 224": ("320x240", away, (224, 224)),
        "16 keyframes at 720p": ("1280x720", spread, None),
        "16 frames in a row at 720p": ("1280x720", whole_gop, None),
        "16 frames at the end of their GOPs at 720p": ("1280x720", away, None),
    }
    results = {}
    for name, (file, frames, size) in cases.items():
        path = folder / f"{file}_{args.num_frames}.mp4"
        videos: dict[str, Video | IsolatedVideo] = {WAYS[0]: Video(path)}
        videos |= {way: pool.open(path) for way in WAYS[1:]}

        def read(
            way: str,
            videos: dict[str, Video | IsolatedVideo] = videos,
            frames: list[int] = frames,
            size: tuple[int, int] | None = size,
        ) -> Any:
            if way != "isolated_by_pipe":
                return videos[way].read(frames, size=size)
            with without_shared_memory():
                return videos[way].read(frames, size=size)

        results[name] = take_turns({w: (lambda w=w: read(w)) for w in WAYS}, args.rounds)
        for video in videos.values():
            video.close()
    return results


def measure_others(args: IsolationArguments, folder: Path, pool: DecodePool) -> dict[str, Any]:
    """Opening with the index, a call that does nothing, and a frame of a stream."""
    long = folder / f"64x48_{args.index_frames}.mp4"
    short = folder / f"320x240_{args.num_frames}.mp4"
    plain, isolated = Video(short), pool.open(short)
    assert len(plain) == len(isolated)
    streamed = take_turns(
        {
            "in_process": lambda: sum(1 for _ in plain.stream(0.0, size=(224, 224))),
            "isolated": lambda: sum(1 for _ in isolated.stream(0.0, size=(224, 224))),
        },
        max(3, args.rounds // 5),
    )
    return {
        f"open and index of {args.index_frames} frames": take_turns(
            {
                "in_process": lambda: len(Video(long)),
                "isolated": lambda: len(pool.open(long)),
            },
            args.rounds,
        ),
        "a call that reads no frame": take_turns(
            {
                "in_process": lambda: plain.read([], size=(8, 8)),
                "isolated": lambda: isolated.read([], size=(8, 8)),
            },
            10 * args.rounds,
        ),
        "one frame of a stream at 224": {
            "ratio": streamed["ratio"],
            **{
                kind: {way: value / args.num_frames for way, value in streamed[kind].items()}
                for kind in ("milliseconds", "more_milliseconds")
            },
        },
    }


def main() -> None:
    """Encode what is missing, measure, print."""
    (args,) = HfArgumentParser(IsolationArguments).parse_args_into_dataclasses()
    folder = Path(args.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    for width, height, count in (
        (320, 240, args.num_frames),
        (1280, 720, args.num_frames),
        (64, 48, args.index_frames),
    ):
        path = folder / f"{width}x{height}_{count}.mp4"
        if not path.exists():
            encode(path, width, height, count, args.gop)
    with DecodePool(1, 600.0) as pool:
        results = measure_reads(args, folder, pool) | measure_others(args, folder, pool)
    print(
        json.dumps(
            {
                "rounds": args.rounds,
                "gop": args.gop,
                "cores": os.cpu_count(),
                "machine": f"{platform.machine()}, Python {platform.python_version()}",
                "versions": {"av": av.__version__, "numpy": np.__version__},
                "results": results,
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
