"""Frame reads through torchcodec, for the files it is right for, where it is installed.

It is given only files whose packet index says that it reads them right (see `rules`), and the time
of every frame it returns is checked against that index.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from ..errors import VideoError
from ..files.sniff import Checked
from ..packets.index import VideoIndex
from ..packets.price import read_cost
from ..pictures.region import Region
from ..pictures.shelf import Shelf
from ..pictures.sink import to_image

_MAX_BATCH_BYTES = 64 << 20  # it decodes to full size: so much is held before it is scaled
_TICK_SECONDS = 1e-4  # times are compared this far; frames lie further apart


def check_installed() -> None:
    """Refuse where torchcodec cannot be used.

    Raises:
        ImportError: It is not installed.
    """
    if importlib.util.find_spec("torchcodec") is None:
        raise ImportError(
            "backend 'torchcodec' needs torchcodec: pip install 'temporal-nn[torchcodec]', and "
            "FFmpeg's shared libraries; or choose 'auto', 'pyav' or 'decord'"
        )


class TorchcodecReader:
    """Reads frames of one video with torchcodec. Not safe for threads: its owner locks.

    torchcodec does not say how many frames it decoded, so `frames_decoded` and `bytes_read` count
    those that had to be decoded.

    Args:
        checked: A source that passed `sniff.check_source`.
        index: Its index; `rules.why_not("torchcodec", index)` must be None.
        num_threads: Frames that the decoder works at side by side.
    """

    backend = "torchcodec"

    def __init__(self, checked: Checked, index: VideoIndex, *, num_threads: int = 1) -> None:
        self.frames_decoded = 0
        self.bytes_read = 0
        self._checked = checked
        self._index = index
        self._num_threads = num_threads
        self._decoder: Any = None
        self._reformatter = VideoReformatter()

    def read(
        self,
        frame_indices: Sequence[int],
        slots: Mapping[int, int],
        out: NDArray[np.uint8],
        shelf: Shelf,
        region: Region | None = None,
    ) -> None:
        """Decode frames into `out` (uint8 [K, 3, height, width]); see `PyavReader.read`.

        The shelf stays empty: torchcodec does not show the frames that it passes.

        Raises:
            VideoError: `corrupt` when it cannot read a frame, or returns another.
            ImportError: It cannot be loaded (FFmpeg's libraries are not there).
        """
        if not frame_indices:
            return
        height, width = out.shape[2:]
        decoder = self._open()
        each_bytes = 3 * self._index.width * self._index.height
        count = max(1, _MAX_BATCH_BYTES // each_bytes)
        for start in range(0, len(frame_indices), count):
            part = list(frame_indices[start : start + count])
            try:
                batch = decoder.get_frames_at(part)
            except Exception as error:  # torchcodec raises RuntimeError and its own kinds
                raise self._error(f"torchcodec cannot read the frames: {error}", start) from error
            self._check_times(part, batch.pts_seconds.numpy(), start)
            for frame, image in zip(part, batch.data.numpy(), strict=True):
                if region is None:
                    out[slots[frame]] = self._scaled(image, height, width)
                else:
                    out[slots[frame]] = region.cut(image, height, width, self._reformatter)
        cost = read_cost(self._index, frame_indices, discards=False)
        self.frames_decoded += cost.frames_decoded
        self.bytes_read += cost.bytes_read

    def close(self) -> None:
        """Let go of the decoder."""
        self._decoder = None

    def _open(self) -> Any:
        if self._decoder is not None:
            return self._decoder
        try:
            from torchcodec.decoders import VideoDecoder
        except (OSError, RuntimeError) as error:
            raise ImportError(
                "torchcodec is installed but cannot be loaded; it needs FFmpeg's shared libraries "
                f"and the torch it was built for: {error}"
            ) from error
        source: Any = self._checked.path
        if source is None:
            source = self._checked.open_file().read()
        try:
            decoder = VideoDecoder(
                source, num_ffmpeg_threads=self._num_threads, dimension_order="NCHW"
            )
        except Exception as error:  # as above
            raise self._error(f"torchcodec cannot open it: {error}", 0) from error
        if len(decoder) != len(self._index):
            raise self._error(
                f"torchcodec counts {len(decoder)} frames where its packets hold "
                f"{len(self._index)}; read it with backend='pyav'",
                0,
            )
        self._decoder = decoder
        return decoder

    def _check_times(self, frames: Sequence[int], seconds: NDArray[np.float64], read: int) -> None:
        away = np.abs(seconds - self._index.timestamps_seconds[list(frames)])
        if np.any(away > _TICK_SECONDS):
            wrong = int(np.argmax(away > _TICK_SECONDS))
            raise self._error(
                f"torchcodec returned another frame than {frames[wrong]}: one of "
                f"{seconds[wrong]:.4f} s; read it with backend='pyav'",
                read,
            )

    def _scaled(self, image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
        if image.shape[1:] == (height, width):
            return image
        pixels = np.ascontiguousarray(image.transpose(1, 2, 0))
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        return to_image(frame, height, width, self._reformatter)

    def _error(self, what: str, frames_read: int) -> VideoError:
        return VideoError("corrupt", f"{self._checked.name}: {what}", frames_read=frames_read)
