"""Frames on the way: those that may be asked for later are kept when decoding passes them."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from .region import Region, check_region, check_shape

# Frame indices, size, region
_Wish = tuple[tuple[int, ...], tuple[int, int] | None, tuple[int, int, int, int] | None]

_MAX_WHOLE_BYTES = 32 * 2**20
"""Bytes of the whole frames that a video keeps: 10 of 1080p, 24 of 720p, 60 of 480p."""


class WholeFrames:
    """Frames that were glanced at, as the decoder made them: the latest, up to a number of bytes.

    An image of any size and of any region can be made of them, the one that decoding anew gives.

    Args:
        max_bytes: When they have more together, those that were not used for longest go; never the
            latest.
    """

    def __init__(self, max_bytes: int = _MAX_WHOLE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self._frames: OrderedDict[int, tuple[VideoFrame, int]] = OrderedDict()

    def __iter__(self) -> Iterator[int]:
        return iter(list(self._frames))

    def keep(self, frame_index: int, frame: VideoFrame) -> None:
        """Put a frame on the shelf."""
        self.drop([frame_index])
        size_bytes = sum(plane.buffer_size for plane in frame.planes)
        self._frames[frame_index] = frame, size_bytes
        self._num_bytes += size_bytes
        while self._num_bytes > self._max_bytes and len(self._frames) > 1:
            self.drop([next(iter(self._frames))])

    def get(self, frame_index: int) -> VideoFrame | None:
        """Return a frame, if it is there."""
        if frame_index not in self._frames:
            return None
        self._frames.move_to_end(frame_index)
        return self._frames[frame_index][0]

    def drop(self, frame_indices: Iterable[int]) -> None:
        """Let frames go, if they are there."""
        for frame_index in frame_indices:
            _, size_bytes = self._frames.pop(frame_index, (None, 0))
            self._num_bytes -= size_bytes

    def take_over(self, others: WholeFrames) -> None:
        """Keep what others hold, too."""
        for frame_index, (frame, _) in others._frames.items():
            self.keep(frame_index, frame)


class Shelf:
    """Holds the expected frames that decoding has passed, each until it is read.

    A frame on the way to another has been paid for; a reader that goes back and forth would
    otherwise pay for it again. Nothing is decoded for the shelf. It never holds more images than
    frames were expected.

    Args:
        frame_indices: Frames that may be asked for, in the order in which they are likely to be.
        size: (height, width) of the images.
        region: The part of the frames that they show; None: all.
    """

    size: tuple[int, int]
    """(height, width) of the images."""

    region: Region | None
    """The part of the frames that they show; None: all."""

    whole: WholeFrames
    """Frames that were glanced at, for reads of any size and region."""

    is_glance: bool
    """Whether what is read now is a glance, and stays here whole."""

    missing: dict[int, None]
    """Expected frames that no decode has passed yet, in the expected order."""

    images: dict[int, NDArray[np.uint8]]
    """Frame index -> uint8 [3, height, width], passed and not yet read."""

    def __init__(
        self,
        frame_indices: Iterable[int],
        size: tuple[int, int],
        region: Region | None = None,
        whole: WholeFrames | None = None,
    ) -> None:
        self.size = size
        self.region = region
        self.whole = WholeFrames() if whole is None else whole
        self.is_glance = False
        self.missing = dict.fromkeys(frame_indices)
        self.images = {}

    def inherit(self, older: Shelf) -> None:
        """Take over what an older shelf holds and this one expects too."""
        if (older.size, older.region) == (self.size, self.region):
            for frame in older.images.keys() & self.missing.keys():
                self.keep(frame, older.images[frame])

    def keep(self, frame_index: int, image: NDArray[np.uint8]) -> None:
        """Put the image of a missing frame on the shelf."""
        del self.missing[frame_index]
        # A copy where it is a view: a view would hold the decoder's own, larger buffer.
        self.images[frame_index] = np.ascontiguousarray(image)

    def drop(self, frame_indices: Iterable[int]) -> None:
        """Take images away that turned out to be damaged; they are missing again."""
        for frame in frame_indices:
            del self.images[frame]
            self.missing[frame] = None

    def take(self, frame_indices: Sequence[int]) -> dict[int, NDArray[np.uint8]]:
        """Strike frames that are being read off the expected ones; return the images there are."""
        for frame in frame_indices:
            self.missing.pop(frame, None)
        return {frame: self.images.pop(frame) for frame in frame_indices if frame in self.images}


class Expectation:
    """What a video's caller expects to read, and the shelf for it."""

    def __init__(self) -> None:
        self._wish: _Wish = ((), None, None)
        self._met: _Wish = self._wish  # the wish that `_shelf` was made for
        self._shelf = Shelf((), (0, 0))

    def set(
        self,
        frame_indices: Iterable[int],
        size: tuple[int, int] | None,
        region: Sequence[int] | None = None,
    ) -> None:
        """Replace the wish. Waits for no read that is going on: it holds from the next one.

        Args:
            frame_indices: As `Shelf` takes them.
            size: (height, width); None for the region's, or the video's own.
            region: (top, left, height, width); None for the whole frame.
        """
        frames = tuple(int(frame) for frame in frame_indices)
        self._wish = (
            frames,
            None if size is None else check_size(size),
            None if region is None else check_shape(region),
        )

    def get_shelf(self, own_size: tuple[int, int], *, is_glance: bool = False) -> Shelf:
        """Return the shelf for the latest wish, with what it takes over from the one before.

        Args:
            own_size: (height, width) of the video's frames.
            is_glance: Keep what is read now whole.
        """
        wish = self._wish
        if wish is not self._met:
            older, self._shelf, self._met = self._shelf, self._shelf_for(wish, own_size), wish
            self._shelf.inherit(older)
        self._shelf.is_glance = is_glance
        return self._shelf

    def _shelf_for(self, wish: _Wish, own_size: tuple[int, int]) -> Shelf:
        frames, size, named = wish
        try:
            region = check_region(named, own_size, name="the video")
        except ValueError:  # its own read will say so
            frames, region = (), None
        whole = self._shelf.whole if wish[0] else None  # nothing is expected: nothing is kept
        return Shelf(frames, size or (region.size if region else own_size), region, whole)


def check_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return the size as integers.

    Raises:
        ValueError: It is not two whole numbers, or a side is shorter than 1 pixel.
    """
    sides: object = size
    try:
        height, width = map(operator.index, size)
    except (TypeError, ValueError):
        raise ValueError(f"size ({sides!r}) must be (height, width) in whole pixels") from None
    if height < 1 or width < 1:
        raise ValueError(f"size ({sides}) must be (height, width), both >= 1")
    return height, width
