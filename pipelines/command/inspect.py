"""What a video file is, and what reading it would cost, without decoding a frame."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from ...data.video import Video

_UNIFORM_COUNTS = (1, 4, 16)


def uniform_frames(num_frames: int, count: int) -> list[int]:
    """Indices of `count` frames in the middle of as many equal parts; fewer for short videos."""
    return sorted({(2 * i + 1) * num_frames // (2 * count) for i in range(count)})


def reading_plans(num_frames: int, keyframes: Iterable[int]) -> dict[str, list[int]]:
    """Frames that the plans shown beside each other would read, by name."""
    plans = {
        f"{count} uniform": uniform_frames(num_frames, count)
        for count in _UNIFORM_COUNTS
        if count < num_frames
    }
    plans["keyframes"] = [int(frame) for frame in keyframes]
    plans["all"] = list(range(num_frames))
    return plans


def inspection(video: Video) -> Group:
    """Tables of a video's facts and of the cost of reading it, from its packets alone.

    Raises:
        VideoError: the file is not a video that can be read.
    """
    index = video.index
    num_frames, num_keyframes = len(index.timestamps_seconds), len(index.keyframes)
    facts = Table(show_header=False)
    facts.add_column(style="bold")
    facts.add_column()
    turned = f" (stored turned by {index.rotation} degrees)" if index.rotation else ""
    for name, value in {
        "container": index.container,
        "codec": index.codec,
        "size": f"{index.width} x {index.height}{turned}",
        "frames": f"{num_frames:,}",
        "duration": f"{index.duration_seconds:.2f} s",
        "keyframes": f"{num_keyframes:,}",
        "mean GOP": f"{num_frames / num_keyframes:.1f} frames" if num_keyframes else "-",
        "packets": f"{sum(int(size) for size in index.packet_bytes):,} bytes",
    }.items():
        facts.add_row(name, str(value))
    costs = Table(title="What reading would cost", title_justify="left")
    costs.add_column("frames")
    for name in ("read", "decoded", "share of all", "bytes", "about, on a core"):
        costs.add_column(name, justify="right")
    for name, frames in reading_plans(num_frames, index.keyframes).items():
        cost = video.cost(frames)
        share = cost.frames_decoded / num_frames if num_frames else 0.0
        costs.add_row(
            name,
            f"{len(frames):,}",
            f"{cost.frames_decoded:,}",
            f"{share:.1%}",
            f"{cost.bytes_read:,}",
            f"{cost.decode_seconds:.3f} s",
        )
    # Not a title: a table breaks its title at its own width.
    return Group(Text(str(video.id), style="bold"), facts, costs)
