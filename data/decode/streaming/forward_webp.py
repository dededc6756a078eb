"""Reading an animated WebP forward: a stream as `forward.ForwardReader` gives it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ..errors import VideoError
from ..files.sniff import Checked
from ..files.webp import WebpReader, build_webp_index
from ..pictures.shelf import Shelf
from .clock import StreamClock
from .due import DueTimes


class ForwardWebp:
    """Decodes one animation forward and gives the frames that are due; what it reads it holds.

    Args:
        checked: The source; one that cannot seek is read as a whole first.
        every_seconds: As `ForwardReader` takes it.
        size: As `ForwardReader` takes it.
        max_pixels: Largest frame that is decoded.
    """

    packets_lost = 0
    num_yielded = 0

    def __init__(
        self,
        checked: Checked,
        *,
        every_seconds: float,
        size: tuple[int, int] | None,
        max_pixels: int,
    ) -> None:
        with checked.open_file() as file:
            held = io.BytesIO(file.read())
        self.checked = replace(checked, path=None, file=held, is_seekable=True, is_remote=False)
        self._index = build_webp_index(self.checked, max_pixels)
        self._reader = WebpReader(self.checked, self._index)
        self._size = size or (self._index.height, self._index.width)
        self._due = DueTimes(every_seconds, self._index.time_base)
        self.clock = StreamClock(self._index.time_base, Fraction(1, 10))

    @property
    def frames_decoded(self) -> int:
        """Frames that were decoded."""
        return self._reader.frames_decoded

    @property
    def bytes_read(self) -> int:
        """Their bytes."""
        return self._reader.bytes_read

    def frames(self) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        """Yield (seconds, uint8 [3, height, width]) of each frame that is due.

        Raises:
            VideoError: `corrupt` or, at the end, `truncated`.
        """
        for frame, ticks in enumerate(self._index.pts.tolist()):
            if not self._due.includes(ticks):
                continue
            self._due.give(ticks)
            out = np.empty((1, 3, *self._size), dtype=np.uint8)
            try:
                self._reader.read([frame], {frame: 0}, out, Shelf((), self._size))
            except VideoError as error:
                error.frames_read = self.num_yielded
                raise
            yield float(self._index.timestamps_seconds[frame]), out[0]
        if self._index.fault == "truncated":
            raise VideoError(
                "truncated",
                f"{self.checked.name}: its end cannot be decoded",
                frames_read=self.num_yielded,
            )

    def close(self) -> None:
        """Let go of the animation."""
        self._reader.close()
