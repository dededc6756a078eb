"""Frame reads through decord, for the files it is right for.

It is given only files whose packet index says that it reads them right (see `rules`), and its own
index is checked against ours.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from ..errors import VideoError
from ..files.sniff import Checked
from ..packets.index import VideoIndex
from ..packets.price import read_cost
from ..pictures.region import Region
from ..pictures.shelf import Shelf

_MIN_WIDTH = 64  # frames scaled to less break its row alignment


class DecordReader:
    """Reads frames of one video with decord. Not safe for threads: its owner locks.

    decord does not say how many frames it decoded, so `frames_decoded` and `bytes_read` count the
    least that had to be decoded; it may have decoded more ahead.

    Args:
        checked: A source that passed `sniff.check_source`.
        index: Its index; `rules.why_not("decord", index)` must be None.
        num_threads: Frames that the decoder works at side by side.

    Raises:
        VideoError: `corrupt` when decord cannot open the file or sees other frames than the index.
        ImportError: decord is not installed.
    """

    backend = "decord"

    def __init__(self, checked: Checked, index: VideoIndex, *, num_threads: int = 1) -> None:
        self.frames_decoded = 0
        self.bytes_read = 0
        self._checked = checked
        self._index = index
        self._num_threads = num_threads
        self._reader: Any = None
        self._size: tuple[int, int] | None = None
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

        The shelf stays empty: decord does not show the frames that it passes.
        """
        if not frame_indices:
            return
        height, width = out.shape[2:]
        # What decord cannot scale to or cut out, it reads whole.
        is_whole = width < _MIN_WIDTH or region is not None
        size = (self._index.height, self._index.width) if is_whole else (height, width)
        reader = self._open(*size)
        try:
            images = reader.get_batch(list(frame_indices)).asnumpy()
        except Exception as error:  # decord raises DECORDError, a plain Exception
            raise VideoError(
                "corrupt", f"{self._checked.name}: decord cannot read the frames: {error}"
            ) from error
        cost = read_cost(self._index, frame_indices, discards=False)
        self.frames_decoded += cost.frames_decoded
        self.bytes_read += cost.bytes_read
        for frame, image in zip(frame_indices, images, strict=True):
            if region is not None:
                pixels = image.transpose(2, 0, 1)
                out[slots[frame]] = region.cut(pixels, height, width, self._reformatter)
                continue
            if image.shape[:2] != (height, width):
                whole = av.VideoFrame.from_ndarray(image, format="rgb24")
                image = self._reformatter.reformat(
                    whole, width=width, height=height, interpolation=Interpolation.AREA
                ).to_ndarray()
            out[slots[frame]] = image.transpose(2, 0, 1)

    def close(self) -> None:
        """Let go of the reader (an idle one goes on decoding ahead)."""
        self._reader = None

    def _open(self, height: int, width: int) -> Any:
        if self._reader is not None and self._size == (height, width):
            return self._reader
        import decord

        self._reader = None
        source: Any = self._checked.path
        if source is None:
            source = io.BytesIO(self._checked.open_file().read())
        own = (height, width) == (self._index.height, self._index.width)
        size = {"width": -1, "height": -1} if own else {"width": width, "height": height}
        try:
            reader = decord.VideoReader(source, num_threads=self._num_threads, **size)
        except Exception as error:  # decord raises DECORDError, a plain Exception
            raise VideoError(
                "corrupt", f"{self._checked.name}: decord cannot open it: {error}"
            ) from error
        if len(reader) != len(self._index):
            raise VideoError(
                "corrupt",
                f"{self._checked.name}: decord counts {len(reader)} frames where its packets hold "
                f"{len(self._index)}; read it with backend='pyav'",
            )
        self._reader, self._size = reader, (height, width)
        return reader
