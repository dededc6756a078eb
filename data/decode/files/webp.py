"""Animated WebP, which FFmpeg has no demuxer for: its chunks are the index, Pillow makes frames.

Each frame is composed over those before it, so decoding goes forward from the first one. What is
transparent has the colour that is stored there, as in GIF and APNG.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import accumulate
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from ..errors import VideoError
from ..packets.index import Packets, VideoIndex
from ..pictures.region import Region
from ..pictures.shelf import Shelf
from ..pictures.sink import FrameSink
from .container import check_pixels
from .sniff import Checked

DEMUXER = "webp"
"""What `sniff` calls an animated WebP."""

_BARE_FRAME_BYTES = 16  # place, size, duration and flags, before what is coded
_USUAL_MS = 100  # what players show a frame for that has no duration, as in GIF


def build_webp_index(checked: Checked, max_pixels: int) -> VideoIndex:
    """Read the frames' sizes and times from the chunks; no frame is decoded.

    Raises:
        VideoError: `truncated_header`, `corrupt` or `too_large`.
    """
    content = _content(checked)
    if len(content) < 30:
        raise VideoError("truncated_header", f"{checked.name} ends in its header")
    width, height = (int.from_bytes(content[at : at + 3], "little") + 1 for at in (24, 27))
    check_pixels(width, height, max_pixels, name=checked.name)
    frames, _, fault = _frames(content)
    if not frames:
        raise VideoError("truncated_header", f"{checked.name} has a header and not one whole frame")
    sizes, durations = (np.array(column, dtype=np.int64) for column in zip(*frames, strict=True))
    count = len(frames)
    numbers = np.arange(count, dtype=np.int64)
    times = np.array([0, *accumulate(durations.tolist())][:-1], dtype=np.int64)
    is_first, yes = numbers == 0, np.ones(count, dtype=np.bool_)
    seconds = times / 1000
    for array in (sizes, numbers, times, is_first, yes, seconds):
        array.setflags(write=False)
    return VideoIndex(
        timestamps_seconds=seconds,
        pts=times,
        keyframes=numbers[:1],
        packet_bytes=sizes,
        width=width,
        height=height,
        rotation=0,
        is_mirrored=False,
        must_begin_anew=False,
        codec="webp",
        pixel_format="rgb24",
        container=DEMUXER,
        is_progressive=True,
        is_plain=True,
        video_streams=1,
        time_base=Fraction(1, 1000),
        start_seconds=0.0,
        duration_seconds=float(durations.sum()) / 1000,
        frames_in_header=0,
        has_duration_in_header=False,
        fault=fault,
        packets=Packets(
            pts=times,
            dts=times,
            size_bytes=sizes,
            is_key=is_first,
            is_shown=yes,
            is_corrupt=~yes,
            is_disposable=~yes,
        ),
        frame_packets=numbers,
        frame_entries=np.zeros_like(numbers),
        is_ordered=True,
    )


class WebpReader:
    """Reads frames of one animated WebP, forward. Not safe for threads: its owner locks.

    Args:
        checked: The source.
        index: Its index.
    """

    backend = "pillow"

    def __init__(self, checked: Checked, index: VideoIndex) -> None:
        self.frames_decoded = 0
        self.bytes_read = 0
        self._checked = checked
        self._index = index
        self._image: Any = None
        self._at = -1  # the frame that was decoded last
        self._reformatter = VideoReformatter()

    def read(
        self,
        frame_indices: Sequence[int],
        slots: Mapping[int, int],
        out: NDArray[np.uint8],
        shelf: Shelf,
        region: Region | None = None,
    ) -> None:
        """Decode frames into `out` (uint8 [K, 3, height, width]); see `PyavReader.read`."""
        sink = FrameSink(
            slots=slots, out=out, reformatter=self._reformatter, shelf=shelf, region=region
        )
        for frame_index in sink.put_kept(frame_indices):
            try:
                if frame_index < self._at or self._image is None:
                    self._begin()
                while self._at < frame_index:
                    self._step()
                    if self._at < frame_index and self._at in shelf.missing:
                        sink.pass_by(self._at, self._frame())
                sink.put(frame_index, self._frame())
            except (OSError, EOFError, ValueError, SyntaxError) as error:
                self.close()
                raise VideoError(
                    "corrupt",
                    f"{self._checked.name}: frame {frame_index} cannot be decoded: {error}",
                    frames_read=sink.num_read,
                ) from error

    def close(self) -> None:
        """Let go of the picture."""
        if self._image is not None:
            self._image.close()
        self._image, self._at = None, -1

    def _begin(self) -> None:
        from PIL import Image  # here: nothing else that decodes needs it

        self.close()
        content = _content(self._checked)
        _, end, _ = _frames(content)
        # Of a file that was cut, its whole frames: a size that does not hold is refused.
        whole = content[:4] + struct.pack("<I", end - 8) + content[8:end]
        self._image = Image.open(io.BytesIO(whole), formats=["WEBP"])
        if self._image.size != (self._index.width, self._index.height):
            raise ValueError("its frames are not of the size that its header says")

    def _step(self) -> None:
        self._at += 1
        self._image.seek(self._at)
        self._image.load()
        self.frames_decoded += 1
        self.bytes_read += int(self._index.packet_bytes[self._at])

    def _frame(self) -> VideoFrame:
        return VideoFrame.from_ndarray(np.asarray(self._image.convert("RGB")), format="rgb24")


def _content(checked: Checked) -> bytes:
    with checked.open_file() as file:
        return file.read()


def _frames(content: bytes) -> tuple[list[tuple[int, int]], int, str | None]:
    """Return (bytes, milliseconds) of each whole frame, where they end, and the fault.

    Source: the WebP container specification of Google (`ANMF`).
    """
    frames: list[tuple[int, int]] = []
    stop = 8 + int.from_bytes(content[4:8], "little")
    place = end = 12
    while place + 8 <= min(len(content), stop):
        kind, size = struct.unpack_from("<4sI", content, place)
        after = place + 8 + size + size % 2
        if after > len(content):
            return frames, end, "truncated"
        if kind == b"ANMF" and size > _BARE_FRAME_BYTES:
            duration = int.from_bytes(content[place + 20 : place + 23], "little")
            frames.append((size, duration or _USUAL_MS))
        place = end = after
    return frames, end, "truncated" if stop > len(content) + 1 else None
