"""How many labelled clips a second come out of a loader: temporal.data beside what one writes.

Each loader reads the same rows in an order of its own, `--num_frames` uniform frames of each scaled
to `--size`, in batches, through as many workers. The others are map-style datasets in a
`torch.utils.data.DataLoader`: decord, and torchcodec where it is installed. Rounds take turns; the
first warms up and is not counted; workers are started anew in each, as for an epoch. Prints JSON
with medians; where other work shares the machine, processor time says more than the clock.

    python scripts/benchmarks/benchmark_loading.py --source CLIPS --num_workers 2

CLIPS is whatever `temporal.data.load_clips` takes, with files that lie on this machine; by default
clips are made.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from parts.decode_contestants import Read, read_decord, read_torchcodec
from torch.utils.data import DataLoader, Dataset
from transformers import HfArgumentParser

from temporal.data import ClipDataset, ClipList, ClipLoader, Video, load_clips
from temporal.policies.read import uniform


@dataclass
class LoadingArguments:
    """Clips, loaders and rounds."""

    source: str | None = field(default=None, metadata={"help": "Clips; default: some are made."})
    num_rows: int = field(default=200, metadata={"help": "Rows of an epoch, clips repeated."})
    num_frames: int = field(default=8, metadata={"help": "Frames of each clip."})
    size: int = field(default=224, metadata={"help": "Height and width that frames are read in."})
    batch_size: int = field(default=8, metadata={"help": "Clips of a batch."})
    num_workers: int = field(default=2, metadata={"help": "Processes that decode."})
    rounds: int = field(default=3, metadata={"help": "Timed rounds."})


@dataclass(frozen=True)
class Uniform:
    """So many frames, evenly spread, whatever the keyframes are."""

    num_frames: int

    def __call__(self, num_frames: int, keyframes: Sequence[int]) -> list[int]:
        """The frames of a clip of that length."""
        return uniform(num_frames, self.num_frames)


@dataclass(frozen=True)
class Keyframes:
    """The same number, each moved to the keyframe that is nearest."""

    num_frames: int

    def __call__(self, num_frames: int, keyframes: Sequence[int]) -> list[int]:
        """The frames of a clip of that length."""
        wanted = uniform(num_frames, self.num_frames)
        return [min(keyframes, key=lambda key: abs(key - frame)) for frame in wanted]


class MapStyle(Dataset[Any]):
    """A dataset as one writes it: a path, a label, all of the work in `__getitem__`."""

    def __init__(self, clips: ClipList, args: LoadingArguments, read: Read) -> None:
        self.paths = [str(clip.source) for clip in clips]
        self.labels = [(clips.class_names or []).index(str(clip.label)) for clip in clips]
        self.args, self.read = args, read
        self.counts = {path: count_frames(path) for path in dict.fromkeys(self.paths)}

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, place: int) -> dict[str, Any]:
        path = self.paths[place]
        frames = uniform(self.counts[path], self.args.num_frames)
        return {
            "pixel_values": torch.as_tensor(self.read(path, frames, self.args.size)),
            "labels": self.labels[place],
        }


def count_frames(path: str) -> int:
    """Known to the others beforehand, so that only their reading is timed."""
    with Video(path) as video:
        return len(video)


def make_clips(folder: Path) -> str:
    """Two classes of clips of 640x360 and 4 seconds."""
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        (folder / name).mkdir()
        for number in range(4):
            with av.open(str(folder / name / f"{number}.mp4"), "w") as container:
                stream = container.add_stream("libx264", rate=25, options={"preset": "veryfast"})
                stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
                stream.codec_context.gop_size = 50
                scene = rng.integers(0, 255, (45, 100, 3), np.uint8).repeat(8, 0).repeat(8, 1)
                for step in range(100):
                    view = np.ascontiguousarray(scene[:360, step : step + 640])
                    frame = av.VideoFrame.from_ndarray(view, format="rgb24")
                    container.mux(stream.encode(frame))
                container.mux(stream.encode(None))
    return str(folder)


def contestants(clips: ClipList, args: LoadingArguments) -> dict[str, Callable[[], Iterable[Any]]]:
    """What makes each loader anew."""
    size = (args.size, args.size)

    def ours(sampler: Any) -> ClipLoader:
        dataset = ClipDataset(clips, sampler, size=size, shuffle=True)
        return ClipLoader(dataset, args.batch_size, num_workers=args.num_workers)

    def theirs(read: Read) -> DataLoader[Any]:
        return DataLoader(
            MapStyle(clips, args, read),
            args.batch_size,
            shuffle=True,
            num_workers=args.num_workers,
        )

    made: dict[str, Callable[[], Iterable[Any]]] = {
        "temporal": lambda: ours(Uniform(args.num_frames)),
        "temporal_keyframes": lambda: ours(Keyframes(args.num_frames)),
        "decord": lambda: theirs(read_decord),
    }
    try:
        import torchcodec.decoders  # noqa: F401
    except (ImportError, OSError, RuntimeError):  # not there, or FFmpeg is not
        return made
    return {**made, "torchcodec": lambda: theirs(read_torchcodec)}


def seconds_of(make: Callable[[], Iterable[Any]], num_rows: int) -> tuple[float, float]:
    """How long an epoch takes with its workers' start, and what all processors did for it."""
    loader = make()
    start, before = time.perf_counter(), os.times()
    count = sum(len(batch["labels"]) for batch in loader)
    seconds, after = time.perf_counter() - start, os.times()
    assert count == num_rows, f"{count} of {num_rows} rows came"
    return seconds, sum(after[:4]) - sum(before[:4])


def main() -> None:
    """Time all loaders and print what they did."""
    (args,) = HfArgumentParser(LoadingArguments).parse_args_into_dataclasses()
    with tempfile.TemporaryDirectory() as folder:
        clips = load_clips(args.source or make_clips(Path(folder)))
        assert isinstance(clips, ClipList)
        clips = clips.select([place % len(clips) for place in range(args.num_rows)])
        loaders = contestants(clips, args)
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in loaders}
        for turn in range(args.rounds + 1):
            for name, make in loaders.items():
                taken = seconds_of(make, args.num_rows)
                if turn:
                    times[name].append(taken)
    result = {}
    for name, rounds in times.items():
        seconds, cpu_seconds = zip(*rounds, strict=True)
        result[name] = {
            "clips_per_second": round(args.num_rows / statistics.median(seconds), 2),
            "cpu_milliseconds_per_clip": round(
                1000 * statistics.median(cpu_seconds) / args.num_rows, 2
            ),
            "seconds": [round(one, 3) for one in seconds],
        }
    machine = {"cpus": os.cpu_count(), "platform": platform.platform()}
    print(json.dumps({"loaders": result, "arguments": asdict(args), "machine": machine}))


if __name__ == "__main__":
    main()
