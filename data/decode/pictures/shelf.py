"""Frames on the way: those that may be asked for later are kept when decoding passes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

_Wish = tuple[tuple[int, ...], tuple[int, int] | None]  # frame indices, size


class Shelf:
    """Holds the expected frames that decoding has passed, each until it is read.

    A frame on the way to another has been paid for; a reader that goes back and forth would
    otherwise pay for it again. Nothing is decoded for the shelf. It never holds more images than
    frames were expected.

    Args:
        frame_indices: Frames that may be asked for, in the order in which they are likely to be.
        size: (height, width) of the images.
    """

    size: tuple[int, int]
    """(height, width) of the images."""

    missing: dict[int, None]
    """Expected frames that no decode has passed yet, in the expected order."""

    images: dict[int, NDArray[np.uint8]]
    """Frame index -> uint8 [3, height, width], passed and not yet read."""

    def __init__(self, frame_indices: Iterable[int], size: tuple[int, int]) -> None:
        self.size = size
        self.missing = dict.fromkeys(frame_indices)
        self.images = {}

    def inherit(self, older: Shelf) -> None:
        """Take over what an older shelf holds and this one expects too."""
        if older.size == self.size:
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
        self._wish: _Wish = ((), None)
        self._met: _Wish = self._wish  # the wish that `_shelf` was made for
        self._shelf = Shelf((), (0, 0))

    def set(self, frame_indices: Iterable[int], size: tuple[int, int] | None) -> None:
        """Replace the wish. Waits for no read that is going on: it holds from the next one.

        Args:
            frame_indices: As `Shelf` takes them.
            size: (height, width); None for the video's own.
        """
        frames = tuple(int(frame) for frame in frame_indices)
        self._wish = (frames, None if size is None else check_size(size))

    def get_shelf(self, own_size: tuple[int, int]) -> Shelf:
        """Return the shelf for the latest wish, with what it takes over from the one before."""
        wish = self._wish
        if wish is not self._met:
            older, self._shelf, self._met = self._shelf, Shelf(wish[0], wish[1] or own_size), wish
            self._shelf.inherit(older)
        return self._shelf


def check_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return the size as integers.

    Raises:
        ValueError: A side is shorter than 1 pixel.
    """
    height, width = size
    if height < 1 or width < 1:
        raise ValueError(f"size ({size}) must be (height, width), both >= 1")
    return int(height), int(width)
