"""How fast a few frames come out of a file: temporal.data beside decord, PyAV and torchcodec.

Encodes a clip as several files (codecs, sizes, keyframe distances) and times opening, indexing and
reading 16 frames of each access pattern, scaled to `--size`. Every library has a process of its
own, since two of them share a module name; what is not installed is left out. They take turns on
each file, in an order that turns too; medians over rounds; the first round warms up and is not
counted. `--cold` asks the kernel to drop the file from its cache before every read. Prints JSON.

    pip install --no-deps --target decord_060 decord==0.6.0        # the original, beside decord2
    pip install --no-deps --target torchcodec_013 torchcodec==0.13.0  # needs FFmpeg's libraries
    python scripts/benchmarks/benchmark_decode.py --output_dir out/decode \\
        --decord_dir decord_060 --torchcodec_dir torchcodec_013
"""

from __future__ import annotations

import json
import os
import platform
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from parts.decode_contestants import OPENING, OTHERS, OURS, OURS_WITHIN_A_GOP, READS, Contestant

from temporal.data import Video
from temporal.policies.read import uniform

SAMPLED = 16


@dataclass
class DecodeArguments:
    """Files, patterns and rounds."""

    output_dir: str = field(metadata={"help": "Where the encoded files are kept."})
    source: str = field(
        default="data/examples/clips/big_buck_bunny.mp4", metadata={"help": "The clip to encode."}
    )
    num_frames: int = field(default=750, metadata={"help": "Frames of each file (it is looped)."})
    size: int = field(default=224, metadata={"help": "Height and width that frames are read in."})
    rounds: int = field(default=5, metadata={"help": "Timed rounds."})
    cold: bool = field(default=False, metadata={"help": "Drop files from the page cache."})
    decord_dir: str | None = field(
        default=None, metadata={"help": "Where pip installed the original decord (`--target`)."}
    )
    torchcodec_dir: str | None = field(
        default=None, metadata={"help": "Where pip installed torchcodec, if not beside temporal."}
    )
    only: str = field(default="", metadata={"help": "Only files whose name has this in it."})


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """One file."""

    width: int
    height: int
    gop: int
    """Frames from keyframe to keyframe."""
    codec: str = "libx264"
    b_frames: int = 3
    num_frames: int | None = None
    """None: as many as the others have."""

    @property
    def name(self) -> str:
        """Says all of it."""
        kind = self.codec.removeprefix("lib").replace("x264", "h264").replace("x265", "hevc")
        kind += "" if self.b_frames else "_no_b"
        count = "" if self.num_frames is None else f"_{self.num_frames}_frames"
        return f"{kind}_{self.width}x{self.height}_gop{self.gop}{count}"


SIZES = ((320, 240), (640, 360), (1280, 720))
FILES = (
    *(Encoded(width=w, height=h, gop=gop) for w, h in SIZES for gop in (12, 60, 250)),
    Encoded(width=640, height=360, gop=60, b_frames=0),
    Encoded(width=640, height=360, gop=250, num_frames=250),  # one GOP
    Encoded(width=640, height=360, gop=250, num_frames=250, b_frames=0),
    Encoded(width=1920, height=1080, gop=60, num_frames=250),
    Encoded(width=640, height=360, gop=60, codec="libx265"),
    Encoded(width=640, height=360, gop=60, codec="libvpx-vp9", b_frames=0, num_frames=250),
    Encoded(width=640, height=360, gop=60, codec="mpeg4", b_frames=0),
)
LONG = Encoded(width=640, height=360, gop=60, num_frames=5000)
HARD = "h264_1280x720_gop250"


def start_contestants(args: DecodeArguments) -> dict[str, Contestant]:
    """Start all that work here."""
    folders = {"decord": args.decord_dir, "torchcodec": args.torchcodec_dir}
    names = [name for name in READS if name != "decord" or args.decord_dir is not None]
    started = {name: Contestant(name, folders.get(name)) for name in names}
    return {name: one for name, one in started.items() if one.version is not None}


def encode(source: str, target: Path, spec: Encoded, num_frames: int) -> None:
    """Encode a clip, looped to a length."""
    with Video(source) as video:
        images = video.read_array(range(len(video)), size=(spec.height, spec.width))
    partial = target.with_name(f"partial_{target.name}")
    options = {
        "libx264": {"preset": "veryfast", "sc_threshold": "0"},
        "libx265": {"preset": "ultrafast", "x265-params": "log-level=none:scenecut=0"},
        "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "b": "1M"},
    }.get(spec.codec, {"b": "1500k"})
    options |= {"g": str(spec.gop), "keyint_min": str(spec.gop)}
    with av.open(str(partial), "w") as container:
        stream = container.add_stream(spec.codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = spec.width, spec.height, "yuv420p"
        stream.codec_context.max_b_frames = spec.b_frames
        for image in islice(cycle(images), spec.num_frames or num_frames):
            pixels = np.ascontiguousarray(image.transpose(1, 2, 0))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    partial.rename(target)


def patterns(num_frames: int, gop: int) -> dict[str, list[int]]:
    """Frames to read: spread evenly, at random, on keyframes alone, and one after another."""
    keyframes = list(range(0, num_frames, gop))
    middle = num_frames // 2
    return {
        "uniform": uniform(num_frames, SAMPLED),
        "random": sorted(random.Random(0).sample(range(num_frames), SAMPLED)),
        "keyframes": keyframes[:: max(1, len(keyframes) // SAMPLED)][:SAMPLED],
        "sequential": list(range(middle, middle + SAMPLED)),
    }


def drop_from_cache(path: str) -> None:
    """Ask the kernel to forget a file's pages."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


def clock(
    contestants: dict[str, Contestant], path: str, frames: Sequence[int], args: DecodeArguments
) -> dict[str, float]:
    """Median seconds of each contestant; they take turns, in an order that turns too.

    Those that fail are left out.
    """
    seconds: dict[str, list[float | None]] = {name: [] for name in contestants}
    names = list(contestants)
    for round_number in range(args.rounds + 1):
        for place in range(len(names)):
            name = names[(round_number + place) % len(names)]
            if args.cold:
                drop_from_cache(path)
            taken = contestants[name].seconds(path, frames, args.size)
            if round_number:
                seconds[name].append(taken)
    return {
        name: statistics.median(filter(None, values))
        for name, values in seconds.items()
        if None not in values
    }


def measure(
    contestants: dict[str, Contestant], path: Path, gop: int, args: DecodeArguments
) -> dict[str, Any]:
    """Every contestant on every pattern of one file; counts of what ours decodes."""
    with Video(path) as video:
        num_frames = len(video)
        wanted = patterns(num_frames, gop)
        decoded = {name: video.cost(frames).frames_decoded for name, frames in wanted.items()}
    results = {}
    for pattern, frames in wanted.items():
        extra = {OURS_WITHIN_A_GOP, OPENING} if pattern != "uniform" else set()
        taking_part = {name: one for name, one in contestants.items() if name not in extra}
        results[pattern] = clock(taking_part, str(path), frames, args)
    return {"frames": num_frames, "frames_decoded_by_ours": decoded, "seconds": results}


def summary(files: dict[str, Any]) -> dict[str, Any]:
    """Over the files: how much longer the others take, and where ours is worst."""
    found: dict[str, Any] = {}
    for pattern in ("uniform", "random", "keyframes", "sequential"):
        times = {name: result["seconds"][pattern] for name, result in files.items()}
        worst = {
            name: one[OURS] / min(one[other] for other in OTHERS if other in one)
            for name, one in times.items()
        }
        ratios = {
            other: [one[other] / one[OURS] for one in times.values() if other in one]
            for other in OTHERS
        }
        found[pattern] = {
            "geometric_mean_speedup_over": {
                other: statistics.geometric_mean(values)
                for other, values in ratios.items()
                if values
            },
            "files_that_it_reads": {other: len(values) for other, values in ratios.items()},
            "worst_time_over_the_fastest_other": max(worst.values()),
            "worst_file": max(worst, key=lambda name: worst[name]),
        }
    if HARD in files:
        hard = files[HARD]["seconds"]["uniform"]
        found["speedup_within_a_gop_over_get_batch_on_720p_gop_250"] = {
            name: hard[name] / hard[OURS_WITHIN_A_GOP]
            for name in ("decord", "decord2")
            if name in hard
        }
    return found


def main() -> None:
    """Encode what is missing, measure, print."""
    from transformers import HfArgumentParser  # here: the contestants' processes do without

    (args,) = HfArgumentParser(DecodeArguments).parse_args_into_dataclasses()
    folder = Path(args.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    specs = [spec for spec in FILES if args.only in spec.name]
    for spec in [*specs, LONG]:
        path = folder / f"{spec.name}.mp4"
        if not path.exists():
            encode(args.source, path, spec, args.num_frames)
    contestants = start_contestants(args)
    files = {
        spec.name: measure(contestants, folder / f"{spec.name}.mp4", spec.gop, args)
        for spec in specs
    }
    opener = {OPENING: contestants[OPENING]}
    long = clock(opener, str(folder / f"{LONG.name}.mp4"), [], args)
    report = {
        "frames_read": SAMPLED,
        "size": args.size,
        "rounds": args.rounds,
        "cold": args.cold,
        "cores": os.cpu_count(),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "versions": {name: one.version for name, one in contestants.items()}
        | {"torch": version("torch")},
        "summary": summary(files),
        "open_and_index_of_5000_frames_seconds": long[OPENING],
        "files": files,
    }
    for one in contestants.values():
        one.close()
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
