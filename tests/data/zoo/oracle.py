"""The oracle: PyAV decoding forward from the first packet, whatever happens on the way."""

from __future__ import annotations

import io
from dataclasses import dataclass
from fractions import Fraction

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from temporal.data.decode.files.sniff import demuxer_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Forward:
    """One frame that decoding forward gives."""

    seconds: float | None
    """Its time, where it has one."""

    image: np.ndarray
    """uint8 [3, height, width], upright."""

    is_corrupt: bool
    """Whether the decoder marks it as damaged."""

    def equals(self, image: np.ndarray) -> bool:
        """Whether an image is this frame; nearly, where the two had to be scaled differently."""
        if image.shape == self.image.shape:
            return np.array_equal(image, self.image)
        rows = np.arange(image.shape[1]) * self.image.shape[1] // image.shape[1]
        columns = np.arange(image.shape[2]) * self.image.shape[2] // image.shape[2]
        scaled = self.image[:, rows][:, :, columns].astype(int)
        return float(np.abs(scaled - image).mean()) < 30


def decode_forward(content: bytes, *, max_frames: int = 10_000) -> list[Forward]:
    """Decode all frames in order; a packet that fails is passed over.

    Args:
        content: The file's bytes.
        max_frames: Stop after so many.
    """
    demuxer = demuxer_of(content[:1024], name="the oracle's file")
    found: list[Forward] = []
    matrix: list[int] | None = None  # of the first frame; FFmpeg's tools turn all others alike
    with av.open(io.BytesIO(content), format=demuxer, metadata_errors="replace") as container:
        stream = _film(container)
        stream.codec_context.thread_count = 1
        packets = container.demux(stream)
        while len(found) < max_frames:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError:
                packet = None
            try:
                frames = stream.codec_context.decode(packet)
            except av.error.FFmpegError:
                frames = []
            for frame in frames:
                matrix = _matrix(frame) if matrix is None else matrix
                found.append(_forward(frame, stream.time_base, matrix))
            if packet is None or packet.size == 0 and packet.dts is None:
                break
    return found


def _film(container: InputContainer) -> VideoStream:
    """The video stream that is no cover; the one that announces most frames, if there are more."""
    covers = Disposition.attached_pic | Disposition.timed_thumbnails
    films = [s for s in container.streams.video if not s.disposition & covers]
    return max(films, key=lambda stream: stream.frames)


def _matrix(frame: av.VideoFrame) -> list[int]:
    try:
        found = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV does not know what else is attached
        return []
    return [] if found is None else np.frombuffer(found, dtype=np.int32).tolist()


def _upright(image: np.ndarray, matrix: list[int]) -> np.ndarray:
    """Put each pixel (x, y) where the matrix says: at (a x + c y, b x + d y)."""
    if not matrix:
        return image
    a, b, c, d = (int(np.sign(entry)) for entry in (*matrix[:2], *matrix[3:5]))
    rows, columns = np.indices(image.shape[:2])
    down, across = b * columns + d * rows, a * columns + c * rows
    placed = np.zeros((np.ptp(down) + 1, np.ptp(across) + 1, 3), dtype=np.uint8)
    placed[down - down.min(), across - across.min()] = image
    return placed


def _forward(frame: av.VideoFrame, time_base: Fraction, matrix: list[int]) -> Forward:
    image = _upright(frame.to_ndarray(format="rgb24"), matrix)
    return Forward(
        seconds=None if frame.pts is None else float(frame.pts * time_base),
        image=image.transpose(2, 0, 1),
        is_corrupt=frame.is_corrupt,
    )
