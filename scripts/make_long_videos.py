"""Join labelled clips of one camera to long videos with one wanted event in each, or none.

    python scripts/make_long_videos.py CLIPS --event train_in_out --output_dir out/long \
        --num_videos 100 --minutes 2 5

CLIPS has `groups.csv` (path, label, group, camera). A video is made of clips of one camera: around
the wanted event lie clips of the other labels, in an order drawn from the seed, as often as the
length wants them. Groups are split between `train` and `test` first, so that no scene of a session
is in both. Half of the videos hold the event, at a place drawn from the seed.

`--form copied` puts the clips' packets behind each other and decodes nothing; `--form encoded`
makes H.264 of 1280 x 720 with keyframes 250 frames apart, as cameras and sites store it.

Beside the videos lies `videos.csv` (path, split, camera, label, seconds) and `events.csv` (video,
start_seconds, end_seconds, label), one row for each event. The same for the same seed.
"""

from __future__ import annotations

import argparse
import csv
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from tqdm import tqdm

from temporal.data.labelled.clips import Clip
from temporal.data.labelled.groups import grouped_folds
from temporal.data.labelled.listed_clips import list_clips

WIDTH, HEIGHT, GOP = 1280, 720, 250
NO_EVENT = "none"


@dataclass(frozen=True, kw_only=True)
class Material:
    """Clips that can stand in one video: one camera, one side of the split, one way of coding."""

    camera: str
    split: str
    events: list[Clip] = field(default_factory=list)
    others: list[Clip] = field(default_factory=list)


def coding(path: str) -> tuple[Any, ...]:
    """What packets must have in common to be put into one stream."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        return (context.name, context.width, context.height, context.extradata, stream.time_base)


def gather(clips: Sequence[Clip], event: int, seed: int) -> list[Material]:
    """Clips by camera, side of the split and coding; those with events and something around."""
    test: set[str] = set()
    by_camera: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        by_camera[clip.camera].append(clip)
    for camera, own in by_camera.items():
        # Events are rare: each side of each camera gets its share of their groups.
        marks = [int(clip.label == event) for clip in own]
        folds = grouped_folds(marks, [clip.group for clip in own], 2, seed)
        test |= {f"{camera}\0{own[row].group}" for row in folds[1]}
    found: dict[tuple[Any, ...], Material] = {}
    for clip in clips:
        split = "test" if f"{clip.camera}\0{clip.group}" in test else "train"
        key = (clip.camera, split, coding(clip.path))
        kind = found.setdefault(key, Material(camera=clip.camera, split=split))
        (kind.events if clip.label == event else kind.others).append(clip)
    return [kind for kind in found.values() if kind.events and len(kind.others) >= 5]


def draw(kind: Material, seconds: float, has_event: bool, dice: random.Random) -> list[Clip]:
    """The clips of one video, in order; about so long together."""
    chosen: list[Clip] = []
    length, pool = 0.0, list[Clip]()
    while length < seconds:
        if not pool:  # each once before any comes twice
            pool = list(kind.others)
            dice.shuffle(pool)
        chosen.append(pool.pop())
        length += duration(chosen[-1].path)
    if has_event:
        chosen[dice.randrange(len(chosen))] = dice.choice(kind.events)
    return chosen


def duration(path: str) -> float:
    """Seconds of a clip."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None and stream.duration is not None
        return float(stream.duration * stream.time_base)


def copy(clips: Sequence[Clip], path: Path) -> list[float]:
    """Join the clips' packets; return where each begins, and the end, in seconds."""
    starts, shift = [0.0], 0
    with av.open(str(path), "w") as out:
        stream: Any = None
        for clip in clips:
            with av.open(clip.path) as container:
                source = container.streams.video[0]
                stream = stream or out.add_stream_from_template(source)
                end = shift
                for packet in container.demux(source):
                    if packet.dts is None or packet.pts is None:
                        continue  # the end mark
                    packet.pts += shift
                    packet.dts += shift
                    end = max(end, packet.pts + (packet.duration or 0))
                    packet.stream = stream
                    out.mux(packet)
                assert source.time_base is not None
                starts.append(float(end * source.time_base))
                shift = end
    return starts


def encode(clips: Sequence[Clip], path: Path, rate: int = 25) -> list[float]:
    """Encode the clips' frames anew; return where each begins, and the end, in seconds."""
    starts, count = [0.0], 0
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "26", "threads": "2"}
        stream.codec_context.gop_size = GOP
        stream.codec_context.time_base = Fraction(1, rate)
        for clip in clips:
            for frame in frames_of(clip.path):
                frame = frame.reformat(WIDTH, HEIGHT, "yuv420p")
                frame.pts, frame.time_base = count, Fraction(1, rate)
                frame.pict_type = av.video.frame.PictureType.NONE  # the encoder decides
                out.mux(stream.encode(frame))
                count += 1
            starts.append(count / rate)
        out.mux(stream.encode(None))
    return starts


def frames_of(path: str) -> Iterator[Any]:
    """All frames of a clip."""
    with av.open(path) as container:
        yield from container.decode(container.streams.video[0])


def main() -> None:
    """Make the videos and the two tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("clips", type=Path, help="Folder with groups.csv.")
    parser.add_argument("--event", required=True, help="The label that is wanted.")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--num_videos", type=int, default=100, help="Of each split.")
    parser.add_argument("--minutes", type=float, nargs=2, default=(2, 5), help="Least and most.")
    parser.add_argument("--form", choices=("copied", "encoded"), default="copied")
    parser.add_argument("--splits", nargs="+", default=("train", "test"))
    parser.add_argument("--seed", type=int, default=42)
    args = parser.parse_args()
    listed = list_clips(str(args.clips))
    clips, names = listed.clips, listed.names
    if args.event not in names:
        parser.error(f"--event ({args.event}) must be one of {', '.join(names)}")
    kinds = gather(clips, names.index(args.event), args.seed)
    join = copy if args.form == "copied" else encode
    videos: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    for split in args.splits:
        own = [kind for kind in kinds if kind.split == split]
        if not own:
            parser.error(f"no camera has a clip of {args.event} and five others for {split}")
        for number in tqdm(range(args.num_videos), desc=split):
            dice = random.Random(f"{args.seed} {split} {number}")  # whatever else is made
            kind = own[number % len(own)]
            has_event = number // len(own) % 2 == 0
            chosen = draw(kind, 60 * dice.uniform(*args.minutes), has_event, dice)
            path = args.output_dir / split / f"{number:03d}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            starts = join(chosen, path)
            place = path.relative_to(args.output_dir).as_posix()
            found = [k for k, clip in enumerate(chosen) if names[clip.label] == args.event]
            for k in found:
                row = {"start_seconds": starts[k], "end_seconds": starts[k + 1]}
                events.append({"video": place, **row, "label": args.event})
            videos.append(
                {
                    "path": place,
                    "split": split,
                    "camera": kind.camera,
                    "label": args.event if found else NO_EVENT,
                    "seconds": round(starts[-1], 3),
                }
            )
    write(args.output_dir / "videos.csv", videos)
    write(args.output_dir / "events.csv", events)


def write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write a table."""
    names = list(rows[0]) if rows else ["video", "start_seconds", "end_seconds", "label"]
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, names)
        table.writeheader()
        table.writerows(rows)


if __name__ == "__main__":
    main()
