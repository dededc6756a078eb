"""What evidence decodes apart from a video's reads: the part that runs where the decoder is.

That may be a decode worker, so it takes and gives only what can cross to another process, and torch
is not imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from av.sidedata.motionvectors import MotionVectors as SideData
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from temporal.trace import Cost

from ..errors import VideoError
from ..packets.index import VideoIndex
from .shelf import Shelf
from .sink import FrameSink

OLD_CODECS = frozenset(
    {"flv1", "h263", "mpeg1video", "mpeg2video", "mpeg4", "msmpeg4v1", "msmpeg4v2", "msmpeg4v3"}
)
_HAVE_VECTORS = OLD_CODECS | {"h264"}

# As PyAV lays FFmpeg's AVMotionVector out.
_SHORTS = [(name, np.int16) for name in ("src_x", "src_y", "dst_x", "dst_y")]
_MOTION = [("motion_x", np.int32), ("motion_y", np.int32), ("motion_scale", np.uint16)]
_VECTOR = np.dtype(
    [("source", np.int32), ("w", np.uint8), ("h", np.uint8), *_SHORTS, ("flags", np.uint64)]
    + _MOTION,
    align=True,
)


class Apart(Protocol):
    """A video that decodes apart from its reads."""

    id: str

    @property
    def index(self) -> VideoIndex:
        """Its index."""

    def decode_apart(self, units: Sequence[int], sink: FrameSink, **decoder_options: str) -> Cost:
        """Decode frames into a sink; see `Video.decode_apart`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MotionVectors:
    """How blocks of frames moved, as the encoder saw it."""

    frames: NDArray[np.int64]
    """[K] frame indices, in the order asked for."""

    magnitudes: NDArray[np.float32]
    """[K] mean length of a frame's vectors in pixels, weighted by block area. NaN where a frame has
    none: a keyframe's blocks, and blocks of a new scene, are not predicted from others."""

    vectors: tuple[NDArray[Any], ...]
    """K structured arrays, one element per vector, with FFmpeg's fields: `source` (negative: from a
    frame before, positive: after), `w` and `h` (block size in pixels), `src_x`, `src_y`, `dst_x`,
    `dst_y` (where the block's centre was and is, in pixels of the frame as it is stored, not
    turned), `motion_x`, `motion_y` (in 1 / `motion_scale` pixels) and `flags` (none). 40 bytes per
    vector, some thousands per frame of 720p."""

    cost: Cost
    """What decoding them cost."""


def decode_small(
    video: Apart,
    frames: Sequence[int],
    size: tuple[int, int],
    options: Mapping[str, str],
    *,
    out: NDArray[np.uint8] | None = None,
) -> tuple[NDArray[np.uint8], Cost]:
    """Decode frames apart from the video's reader.

    Args:
        video: The video.
        frames: Frame indices, without repeats.
        size: (height, width) of the images.
        options: FFmpeg's options of the decoder.
        out: Where to put the images, uint8 with as many elements as they have.

    Returns:
        uint8 [K, 3, height, width], RGB, upright; and what was spent.

    Raises:
        VideoError: As `Video.read` raises it.
    """
    shape = (len(frames), 3, *size)
    out = np.empty(shape, dtype=np.uint8) if out is None else out.reshape(shape)
    sink = FrameSink(
        slots={frame: row for row, frame in enumerate(frames)},
        out=out,
        reformatter=VideoReformatter(),
        shelf=Shelf((), size),
        orientation=video.index.orientation,
    )
    return out, video.decode_apart(frames, sink, **options)


def decode_vectors(video: Apart, frames: Sequence[int]) -> MotionVectors:
    """Decode frames and take only their motion vectors.

    Raises:
        VideoError: `unsupported_codec`; or as `Video.read` raises it.
    """
    if video.index.codec not in _HAVE_VECTORS:
        raise no_vectors(video.index, video.id)
    sink = _VectorSink()
    cost = video.decode_apart(frames, sink, flags2="+export_mvs")
    indices = [int(frame) for frame in frames]
    vectors = tuple(sink.vectors[frame] for frame in indices)
    return MotionVectors(
        frames=np.array(indices, dtype=np.int64),
        magnitudes=np.array([_mean_length(field) for field in vectors], dtype=np.float32),
        vectors=vectors,
        cost=cost,
    )


def no_vectors(index: VideoIndex, name: str) -> VideoError:
    """The error of a codec whose decoder tells no motion vectors."""
    return VideoError(
        "unsupported_codec",
        f"{name}: the decoder of {index.codec} gives no motion vectors; take "
        "evidence.packet_motion or evidence.low_resolution_scan instead",
    )


class _VectorSink(FrameSink):
    """Keeps the motion vectors of the frames it is given, and makes no images."""

    def __init__(self) -> None:
        super().__init__(
            slots={},
            out=np.empty((0, 3, 1, 1), dtype=np.uint8),
            reformatter=VideoReformatter(),
            shelf=Shelf((), (0, 0)),
        )
        self.vectors: dict[int, NDArray[Any]] = {}

    def put(self, frame_index: int, frame: VideoFrame) -> None:
        """Keep a frame's vectors."""
        found = frame.side_data.get("MOTION_VECTORS")
        if isinstance(found, SideData):
            # A copy: the array is a view of the decoder's own buffer.
            self.vectors[frame_index] = found.to_ndarray().copy()
        else:
            self.vectors[frame_index] = np.empty(0, dtype=_VECTOR)
        self.num_read += 1


def _mean_length(vectors: NDArray[Any]) -> float:
    """Area-weighted mean length in pixels; NaN without vectors."""
    if not len(vectors):
        return float("nan")
    length = np.hypot(vectors["motion_x"], vectors["motion_y"])
    length = length / np.maximum(vectors["motion_scale"], 1)
    area = vectors["w"].astype(np.float64) * vectors["h"]
    return float((length * area).sum() / area.sum())
