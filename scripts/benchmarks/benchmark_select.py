"""What choosing frames costs: `temporal.select` beside decord's `get_batch` of uniform frames.

Every way opens each file anew, chooses 16 frames and reads them in 224 x 224. The ways take turns,
in an order that turns too; medians over rounds, the first of which warms up and is not counted. A
720p clip of 250-frame GOPs is made beside the files given. Prints JSON.

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
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import decord
import numpy as np

import temporal
from temporal.data import Video
from temporal.policies.read import uniform

FRAMES = 16
SIDE = 224
ENCODED = 1000


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
}
WAYS: dict[str, Callable[[Path], Any]] = {"decord_get_batch_uniform": decord_uniform, **OURS}


def make_clip(path: Path, num_frames: int, *, seed: int = 0) -> Path:
    """A 720p clip of textures that drift, now slowly and now fast, with a keyframe every 250.

    What comes after the first 1,000 frames is these again, copied.
    """
    random = np.random.default_rng(seed)
    texture = random.integers(0, 256, (90, 240, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    partial = path.with_name(f"partial_{path.name}")
    options = {"preset": "veryfast", "g": "250", "keyint_min": "250", "sc_threshold": "0"}
    with av.open(str(partial), "w") as container:
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        left = 0
        for number in range(min(num_frames, ENCODED)):
            left += 9 if number // 40 % 4 == 1 else 1
            view = np.roll(texture, -left, 1)[:, :1280]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(view), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    if num_frames > ENCODED:
        repeat(partial, num_frames)
    partial.rename(path)
    return path


def repeat(path: Path, num_frames: int) -> None:
    """Copy a clip's packets behind each other until there are so many frames."""
    longer = path.with_name(f"longer_{path.name}")
    with av.open(str(path)) as given:
        packets = [
            (bytes(one), one.pts, one.dts, one.is_keyframe)
            for one in given.demux(video=0)
            if one.size
        ]
        stream, base = given.streams.video[0], given.streams.video[0].time_base
        assert base is not None
        length = round(len(packets) / 25 / base)
        with av.open(str(longer), "w") as container:
            copied = container.add_stream_from_template(stream)
            for number in range(num_frames):
                data, pts, dts, is_keyframe = packets[number % len(packets)]
                packet = av.Packet(data)
                packet.stream, packet.time_base = copied, base
                moved = number // len(packets) * length
                packet.pts, packet.dts = (pts or 0) + moved, (dts or 0) + moved
                packet.is_keyframe = is_keyframe
                container.mux(packet)
    longer.rename(path)


def measure(path: Path, rounds: int) -> dict[str, Any]:
    """Median milliseconds of every way, and what each of ours decodes; `error` where one fails."""
    told: dict[str, dict[str, Any]] = {name: {} for name in WAYS}
    for name, way in WAYS.items():  # warm up, and count
        try:
            selection = way(path)
        except Exception as error:  # a file that a way cannot read is a result, too
            told[name]["error"] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            continue
        if selection is not None:
            told[name] |= {
                "frames": selection.frames,
                "decoded": selection.cost.frames_decoded,
                "glanced": selection.cost.frames_glanced,
                "broken": len(selection.faults),
            }
    running = [name for name in WAYS if "error" not in told[name]]
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
            (one["ways"]["decord_get_batch_uniform"], one["ways"][name]) for one in files.values()
        ]
        ratios = [
            theirs["milliseconds"] / ours["milliseconds"]
            for theirs, ours in pairs
            if "milliseconds" in theirs and "milliseconds" in ours
        ]
        if ratios:
            found[name] = round(statistics.geometric_mean(ratios), 2)
    return found


def main() -> None:
    """Make the clip, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, help="videos to select from")
    parser.add_argument("--output_dir", type=Path, required=True, help="where the clip is kept")
    parser.add_argument("--num_frames", type=int, default=1000, help="frames of the made clip")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds")
    args = parser.parse_args()
    args.output_dir.mkdir(parents=True, exist_ok=True)
    made = args.output_dir / f"h264_1280x720_gop250_{args.num_frames}.mp4"
    if not made.exists():
        make_clip(made, args.num_frames)
    files = {path.name: measure(path, args.rounds) for path in (*args.files, made)}
    report = {
        "selected": FRAMES,
        "size": SIDE,
        "rounds": args.rounds,
        "cores": os.cpu_count(),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "decord": decord.__version__,
        "decord_seconds_over_ours": speedups(files),
        "files": files,
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
