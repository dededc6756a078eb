"""What `temporal.data.evidence` decodes: the part of it that runs where the decoder is.

That may be a decode worker, so it takes and gives only what can cross to another process, and torch
is not imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from av.sidedata.motionvectors import MotionVectors as SideData
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from temporal.trace import Cost

from .shelf import Shelf
from .sink import FrameSink

if TYPE_CHECKING:
    from ...video import Video

# As PyAV lays FFmpeg's AVMotionVector out.
_SHORTS = [(name, np.int16) for name in ("src_x", "src_y", "dst_x", "dst_y")]
_MOTION = [("motion_x", np.int32), ("motion_y", np.int32), ("motion_scale", np.uint16)]
_VECTOR = np.dtype(
    [("source", np.int32), ("w", np.uint8), ("h", np.uint8), *_SHORTS, ("flags", np.uint64)]
    + _MOTION,
    align=True,
)


def decode_small(
    video: Video,
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


def decode_vectors(video: Video, frames: Sequence[int]) -> tuple[tuple[NDArray[Any], ...], Cost]:
    """Decode frames and take only their motion vectors; see `evidence.MotionVectors`.

    Returns:
        A structured array for each of `frames`, and what was spent.

    Raises:
        VideoError: As `Video.read` raises it.
    """
    sink = _VectorSink()
    cost = video.decode_apart(frames, sink, flags2="+export_mvs")
    return tuple(sink.vectors[int(frame)] for frame in frames), cost


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
