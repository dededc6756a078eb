"""Measure reading a few frames out of videos: this library beside decord, PyAV and torchcodec.

    python scripts/benchmark_decode.py --output_dir out/decode

A real clip is encoded anew in several sizes and lengths of the group of pictures (GOP). Each
contestant opens each file and reads the frames of each access pattern, scaled to `--size`; what is
not installed is left out. Contestants take turns on each file; medians over rounds; the first round
warms the page cache and is not counted. `--cold` asks the kernel to drop the file from the cache
before every read. Prints JSON.
"""

from __future__ import annotations

import json
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from transformers import HfArgumentParser

from temporal.data import Video
from temporal.policies.read import uniform


@dataclass
class DecodeArguments:
    """Files, patterns and rounds."""

    output_dir: str = field(metadata={"help": "Where the encoded files are kept."})
    source: str = field(
        default="data/examples/clips/big_buck_bunny.mp4", metadata={"help": "The clip to encode."}
    )
    num_frames: int = field(default=750, metadata={"help": "Frames of each file (it is looped)."})
    sizes: list[str] = field(
        default_factory=lambda: ["320x240", "640x360", "1280x720"],
        metadata={"help": "WIDTHxHEIGHT of the files."},
    )
    gops: list[int] = field(
        default_factory=lambda: [12, 60, 250], metadata={"help": "Frames in a group of pictures."}
    )
    size: int = field(default=224, metadata={"help": "Height and width that frames are read in."})
    count: int = field(default=16, metadata={"help": "Frames that are read."})
    rounds: int = field(default=5, metadata={"help": "Timed rounds."})
    cold: bool = field(default=False, metadata={"help": "Drop files from the page cache."})


Contestant = Callable[[str, Sequence[int], int], Any]
"""Opens a path, reads frames, scaled to a size, and returns them."""


def read_ours(path: str, frames: Sequence[int], size: int) -> Any:
    """`temporal.data.Video`."""
    with Video(path) as video:
        return video.read_array(frames, size=(size, size))


def read_ours_within_a_gop(path: str, frames: Sequence[int], size: int) -> Any:
    """The same, free to take the keyframe that is nearest in time."""
    with Video(path) as video:
        times = video.index.timestamps_seconds[list(frames)]
        gop_seconds = np.diff(video.index.timestamps_seconds[video.index.keyframes]).max(initial=0)
        return video.read_array(video.plan(times, tolerance_seconds=gop_seconds), size=(size, size))


def read_decord(path: str, frames: Sequence[int], size: int) -> Any:
    """`decord.VideoReader.get_batch`."""
    import decord

    return decord.VideoReader(path, width=size, height=size).get_batch(list(frames)).asnumpy()


def read_pyav(path: str, frames: Sequence[int], size: int) -> Any:
    """PyAV as its documentation shows it: seek before each frame, decode on to it."""
    found: dict[int, Any] = {}
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        assert stream.average_rate and stream.time_base
        ticks = 1 / (stream.average_rate * stream.time_base)
        start = stream.start_time or 0
        decoder, at = None, -1
        for frame in sorted(frames):
            if decoder is None or frame - at > 250:
                container.seek(start + round(frame * ticks), stream=stream)
                decoder = container.decode(stream)
            for image in decoder:
                at = round((image.pts - start) / ticks)
                if at >= frame:
                    found[frame] = image.to_ndarray(format="rgb24", width=size, height=size)
                    break
    return [found[frame] for frame in frames]


def read_torchcodec(path: str, frames: Sequence[int], size: int) -> Any:
    """`torchcodec.decoders.VideoDecoder.get_frames_at`, scaled afterwards."""
    import torch
    from torchcodec.decoders import VideoDecoder

    images = VideoDecoder(path).get_frames_at(list(frames)).data
    return torch.nn.functional.interpolate(images.float(), (size, size), mode="bilinear").byte()


def contestants() -> dict[str, Contestant]:
    """Everything that is installed and works here."""
    found: dict[str, Contestant] = {"temporal": read_ours, "pyav": read_pyav}
    for name, read in (("decord", read_decord), ("torchcodec", read_torchcodec)):
        try:
            __import__(name)
        except (ImportError, OSError, RuntimeError):  # torchcodec needs a system FFmpeg
            continue
        found[name] = read
    return found


def encode(source: str, target: Path, width: int, height: int, gop: int, num_frames: int) -> None:
    """Encode a clip, looped to a length, as H.264 with B-frames and one GOP length."""
    with Video(source) as video:
        images = video.read_array(range(len(video)), size=(height, width))
    partial = target.with_suffix(".partial.mp4")
    options = {"g": str(gop), "keyint_min": str(gop), "sc_threshold": "0", "preset": "veryfast"}
    with av.open(str(partial), "w") as container:
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for image in islice(cycle(images), num_frames):
            pixels = np.ascontiguousarray(image.transpose(1, 2, 0))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    partial.rename(target)


def patterns(num_frames: int, count: int, gop: int) -> dict[str, list[int]]:
    """Frames to read: spread evenly, at random, on keyframes alone, and one after another."""
    drawn = sorted(random.Random(0).sample(range(num_frames), count))
    keyframes = list(range(0, num_frames, gop))
    middle = num_frames // 2
    return {
        "uniform": uniform(num_frames, count),
        "random": drawn,
        "keyframes": keyframes[:: max(1, len(keyframes) // count)][:count],
        "sequential": list(range(middle, middle + count)),
    }


def drop_from_cache(path: str) -> None:
    """Ask the kernel to forget a file's pages."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


def clock(readers: dict[str, Callable[[], Any]], path: str, rounds: int, cold: bool) -> Any:
    """Median seconds of each reader; they take turns, in an order that turns too."""
    seconds: dict[str, list[float]] = {name: [] for name in readers}
    names = list(readers)
    for round_number in range(rounds + 1):
        for name in names[round_number % len(names) :] + names[: round_number % len(names)]:
            if cold:
                drop_from_cache(path)
            start = time.perf_counter()
            readers[name]()
            if round_number:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def measure(args: DecodeArguments, path: Path, gop: int) -> dict[str, Any]:
    """Every contestant on every pattern of one file."""
    found = contestants()
    results = {}
    for pattern, frames in patterns(args.num_frames, args.count, gop).items():
        readers: dict[str, Callable[[], Any]] = {
            name: lambda read=read, frames=frames: read(str(path), frames, args.size)
            for name, read in found.items()
        }
        if pattern == "uniform":
            readers["temporal_within_a_gop"] = lambda frames=frames: read_ours_within_a_gop(
                str(path), frames, args.size
            )
        results[pattern] = clock(readers, str(path), args.rounds, args.cold)
    opened = clock({"open": lambda: len(Video(str(path)))}, str(path), args.rounds, args.cold)
    return {"seconds": results, "open_and_index_seconds": opened["open"]}


def summary(files: dict[str, Any]) -> dict[str, Any]:
    """Over the files: how much longer the others take, and our worst file."""
    ratios: dict[str, list[float]] = {}
    worst = 0.0
    for result in files.values():
        times = result["seconds"]["uniform"]
        others = {name: t for name, t in times.items() if not name.startswith("temporal")}
        worst = max(worst, times["temporal"] / min(others.values()))
        for name, seconds in others.items():
            ratios.setdefault(name, []).append(seconds / times["temporal"])
        if "decord" in others:
            ratios.setdefault("decord_over_temporal_within_a_gop", []).append(
                others["decord"] / times["temporal_within_a_gop"]
            )
    return {
        "uniform_geometric_mean_speedup_over": {
            name: statistics.geometric_mean(values) for name, values in ratios.items()
        },
        "uniform_worst_time_over_the_fastest_other": worst,
    }


def main() -> None:
    """Encode what is missing, measure, print."""
    (args,) = HfArgumentParser(DecodeArguments).parse_args_into_dataclasses()
    folder = Path(args.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for size in args.sizes:
        width, height = (int(number) for number in size.split("x"))
        for gop in args.gops:
            path = folder / f"{size}_gop{gop}_{args.num_frames}.mp4"
            if not path.exists():
                encode(args.source, path, width, height, gop, args.num_frames)
            files[path.stem] = measure(args, path, gop)
    versions = {"av": av.__version__}
    for name in contestants():
        if name in ("decord", "torchcodec"):
            versions[name] = __import__(name).__version__
    print(
        json.dumps(
            {
                "frames": args.count,
                "size": args.size,
                "rounds": args.rounds,
                "cold": args.cold,
                "cores": os.cpu_count(),
                "machine": f"{platform.machine()}, Python {platform.python_version()}",
                "versions": versions,
                "summary": summary(files),
                "files": files,
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
