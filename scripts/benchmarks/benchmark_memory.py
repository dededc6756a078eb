"""Measure the memory that reading takes: many opens, an endless stream, a bomb of pixels.

    python scripts/benchmarks/benchmark_memory.py --output_dir out/memory

Each is measured in a process of its own, counted as a whole: interpreter and libraries too. Says
what the process held when its libraries were loaded (`base_mb`), after a tenth of the work
(`warm_mb`), at the end (`end_mb`), and the most that it ever held (`peak_mb`). Reads are into NumPy
arrays, so torch is not loaded; streams give tensors, so there it is. Prints JSON.

- opens: opens one file again and again, and reads a few frames of it each time.
- stream: a recording that is sent in a loop through something that cannot seek.
- refused: opens 8192 x 8192 H.264 (16 frames, 4.5 MB), which is above the limit.
- bomb: is allowed to, and reads all frames at 224 px. What a decoder must hold of it depends on the
  file: 131 MB for each picture, two pictures without B-frames, five with.

Linux alone tells all this.
"""

# No transformers here, which parses the arguments of other scripts: it would be in every figure.

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from temporal.data import Video, VideoError
from temporal.pipelines.benchmark.process_memory import memory_mb

BOMB_SIDE = 8192
SIZE = (224, 224)


class Meter:
    """Resident memory of this process, in MB."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {"base_mb": memory_mb("VmRSS")}

    def note(self, name: str) -> None:
        """Keep what it holds under this name, unless something is kept there."""
        if name not in self.found:
            self.found[name] = memory_mb("VmRSS")

    def report(self, **facts: Any) -> dict[str, Any]:
        """All that was noted, with the end and the peak."""
        end = {"end_mb": memory_mb("VmRSS"), "peak_mb": memory_mb("VmHWM")}
        return {**self.found, **end, **facts}


def opens(args: argparse.Namespace) -> dict[str, Any]:
    """Open one file many times, and read three frames of it each time."""
    path = encode(args.output_dir / "small.mp4", frames=50, side=128)
    meter = Meter()
    for number in range(args.opens):
        with Video(path) as video:
            video.read_array([number % 50, 7, 49], size=SIZE)
        if number >= args.opens // 10:
            meter.note("warm_mb")
    return meter.report(opens=args.opens)


class Camera:
    """Sends one recording over and over, as one who cannot seek sees it."""

    def __init__(self, content: bytes) -> None:
        self._content, self._place = content, 0

    def read(self, size: int) -> bytes:
        """Give the next bytes, at most so many."""
        data = self._content[self._place : self._place + size]
        self._place = (self._place + len(data)) % len(self._content)
        return data


def stream(args: argparse.Namespace) -> dict[str, Any]:
    """Stream every frame of a recording that does not end."""
    path = encode(args.output_dir / "small.ts", frames=50, side=128)
    camera: Any = Camera(path.read_bytes())
    frames = Video(camera).stream(0.0, size=(64, 64))
    next(frames)
    meter = Meter()
    for number, _ in enumerate(frames, start=2):
        if number >= args.frames // 10:
            meter.note("warm_mb")
        if number >= args.frames:
            break
    return meter.report(frames=args.frames)


def refused(args: argparse.Namespace) -> dict[str, Any]:
    """Open a bomb, which is refused."""
    path = bomb_path(args)
    meter = Meter()
    try:
        len(Video(path))
    except VideoError as error:
        return meter.report(reason=error.reason)
    return meter.report()


def bomb(args: argparse.Namespace) -> dict[str, Any]:
    """Open the bomb with leave, and read all frames."""
    path = bomb_path(args)
    meter = Meter()
    with Video(path, max_pixels=BOMB_SIDE**2) as video:
        count = len(video)
        meter.found["opened_peak_mb"] = memory_mb("VmHWM")
        images = video.read_array(range(count), size=SIZE)
    return meter.report(
        frames=count,
        b_frames=args.b_frames,
        file_kb=path.stat().st_size // 1024,
        different_frames=len(np.unique(images.mean(axis=(1, 2, 3)).round())),
    )


def make_bomb(args: argparse.Namespace) -> dict[str, Any]:
    """Encode the bomb, in a process that is not measured: this takes a gigabyte."""
    path = bomb_path(args)
    if not path.exists():
        encode(path, frames=args.bomb_frames, side=BOMB_SIDE, b_frames=args.b_frames)
    return {}


def bomb_path(args: argparse.Namespace) -> Path:
    """Where the bomb lies."""
    return Path(args.output_dir / f"bomb_{args.bomb_frames}_{args.b_frames}.mp4")


def encode(path: Path, *, frames: int, side: int, b_frames: int = 0) -> Path:
    """Write plain gray frames, each lighter than the one before."""
    options = {"preset": "ultrafast", "bf": str(b_frames), "rc-lookahead": "2", "g": "25"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width = stream.height = side
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for number in range(frames):
            frame = av.VideoFrame(side, side, "yuv420p")
            shades = (16 + 200 * number // frames, 128, 128)
            for plane, value in zip(frame.planes, shades, strict=True):
                plane.update(bytes([value]) * plane.buffer_size)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


MEASURES = {"opens": opens, "stream": stream, "make_bomb": make_bomb}
MEASURES |= {"refused": refused, "bomb": bomb}


def main() -> None:
    """Measure, each in a process of its own, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--output_dir", type=Path, required=True, help="Where files are made.")
    parser.add_argument("--opens", type=int, default=2000, help="Opens of one file.")
    parser.add_argument("--frames", type=int, default=100_000, help="Frames that are streamed.")
    parser.add_argument("--bomb_frames", type=int, default=16, help="Frames of the bomb.")
    parser.add_argument("--b_frames", type=int, default=0, help="B-frames in a row in the bomb.")
    parser.add_argument("--only", nargs="*", choices=MEASURES, help="Measure these and no others.")
    parser.add_argument("--here", action="store_true", help="In this process; one measure.")
    args = parser.parse_args()
    args.output_dir.mkdir(parents=True, exist_ok=True)
    names = args.only or list(MEASURES)
    if args.here:
        print(json.dumps(MEASURES[names[0]](args)))
        return
    results = {}
    for name in names:
        options = [part for part in sys.argv[1:] if part != "--here"]
        if "--only" in options:
            options = options[: options.index("--only")]
        command = [sys.executable, __file__, *options, "--only", name, "--here"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        if found := json.loads(done.stdout):
            results[name] = found
    print(
        json.dumps(
            {
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
