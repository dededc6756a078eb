"""Which decoder may read which file: rules on the packet index, one for each fault that was seen.

decord and torchcodec return other frames than those asked for, without an error, when timestamps
are negative or start again, when an edit list hides frames, and decord also in MPEG-TS with
B-frames and after jumps into open GOPs. PyAV with a packet index is right for every file, so it is
also what reads where the others must not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .index import VideoIndex

FASTEST_FIRST = ("pyav", "decord", "torchcodec")
"""The order in which `backend="auto"` tries decoders: `scripts/benchmarks/benchmark_decode.py`
measured it.

PyAV leaves out frames that the others decode, and is right for every file, so it is always taken.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reach:
    """What a decoder reads right, when the timestamps are plain."""

    containers: frozenset[str]
    """Demuxers."""

    codecs: frozenset[str]
    """Codecs."""

    min_width: int
    """Pixels across of the narrowest frame."""

    needs_duration: bool
    """Whether it opens only files whose header claims a duration."""


_SAME_COLORS = frozenset({"yuv420p", "yuvj420p"})  # converted in the same way by all, where even
_PLAIN_CODECS = frozenset({"h264", "hevc", "vp8", "vp9", "mpeg4"})
_REACH = {
    "decord": Reach(
        containers=frozenset({"mov", "matroska"}),
        codecs=_PLAIN_CODECS,
        min_width=64,
        needs_duration=True,
    ),
    "torchcodec": Reach(
        containers=frozenset({"mov", "matroska"}),
        codecs=_PLAIN_CODECS | {"av1"},
        min_width=1,
        needs_duration=False,
    ),
}


def why_not(backend: str, index: VideoIndex) -> str | None:
    """Say why a decoder must not read a file; None when it may."""
    if backend == "pyav":
        return None
    reach = _REACH[backend]
    if index.container not in reach.containers:
        return f"container {index.container} is not mp4/mov or matroska/webm"
    if index.codec not in reach.codecs:
        return f"codec {index.codec} is not one of {', '.join(sorted(reach.codecs))}"
    if index.width < reach.min_width:
        return f"frames are narrower than {reach.min_width} pixels"
    if reach.needs_duration and not index.has_duration_in_header:
        return "its header claims no duration"
    return _why_not_plain(index)


def _why_not_plain(index: VideoIndex) -> str | None:
    if index.pixel_format not in _SAME_COLORS or index.width % 2 or index.height % 2:
        return (
            f"pixels of {index.width}x{index.height} {index.pixel_format}, whose colors it "
            "interpolates in another way"
        )
    if index.fault is not None:
        return f"the file is {index.fault}"
    if not index.is_ordered or np.any(np.diff(index.pts) <= 0):
        return "timestamps do not increase"
    if index.pts[0] != 0:
        return f"the first frame is not at time 0 but at {index.start_seconds:.3f} s"
    if len(index.packets.pts) != len(index):
        return "an edit list or hidden packets leave out frames"
    if index.frame_entries.min(initial=0) < 0 or not index.packets.is_key[0]:
        return "it does not begin with a keyframe"
    if np.count_nonzero(index.packets.is_key) != len(index.keyframes):
        return "pictures after a keyframe are refreshed bit by bit"
    if index.video_streams != 1:
        return f"it has {index.video_streams} video streams"
    if not index.is_progressive:
        return "it is interlaced, and colors are interpolated in another way"
    if index.rotation or index.is_mirrored:
        return "its frames are stored turned or mirrored"
    if np.any((index.frame_packets[:-1] > index.frame_packets[1:]) & _at_key(index)):
        return "open GOPs: frames before a keyframe are stored after it"
    return None


def _at_key(index: VideoIndex) -> NDArray[np.bool_]:
    """[N-1] whether the next frame is a keyframe."""
    return np.isin(np.arange(1, len(index)), index.keyframes)
