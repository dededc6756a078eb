"""Which decoder reads a file: the one that was asked for where it is right, else PyAV."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from ..files.container import Opened, open_container
from ..files.sniff import Checked
from ..files.webp import DEMUXER, WebpReader
from ..headers.times import timed_frames
from ..packets.index import VideoIndex
from ..packets.rules import FASTEST_FIRST, why_not
from ..pictures.region import Region
from ..pictures.shelf import Shelf
from .decord import DecordReader
from .pyav import PyavReader
from .torchcodec import TorchcodecReader, check_installed

_HARMLESS_TIMES = 100_000

Backend = Literal["auto", "pyav", "decord", "torchcodec"]


class FrameDecoder(Protocol):
    """Reads frames of one open video, and counts."""

    backend: str
    """The decoder's name."""

    @property
    def frames_decoded(self) -> int:
        """Frames decoded since it was made."""

    @property
    def bytes_read(self) -> int:
        """Bytes of their packets."""

    def read(
        self,
        frame_indices: Sequence[int],
        slots: Mapping[int, int],
        out: NDArray[np.uint8],
        shelf: Shelf,
        region: Region | None = None,
    ) -> None:
        """Decode frames into `out`; see `PyavReader.read`."""

    def close(self) -> None:
        """Let go of the file."""


def check_backend(backend: str) -> None:
    """Refuse what is not the name of a backend.

    Raises:
        ValueError: It is not one of `Backend`.
        ImportError: It is one that cannot be used.
    """
    if backend not in get_args(Backend):
        choices = ", ".join(repr(name) for name in get_args(Backend))
        raise ValueError(f"backend ({backend!r}) must be one of {choices}")
    if backend == "torchcodec":
        check_installed()


def backend_for(wanted: Backend, index: VideoIndex, get_checked: Callable[[], Checked]) -> str:
    """Name the decoder that reads a file: `"pyav"`, `"decord"`, `"torchcodec"` or `"pillow"`.

    Args:
        wanted: What was asked for.
        index: The file's index.
        get_checked: Gives the file, which is asked only where PyAV is not chosen anyway.
    """
    if index.container == DEMUXER:
        return WebpReader.backend
    choices = FASTEST_FIRST if wanted == "auto" else (wanted, "pyav")
    for backend in choices:
        if backend == "pyav":
            break
        if why_not(backend, index) is None and not _times_lie(index, get_checked()):
            return backend
    return "pyav"


def _times_lie(index: VideoIndex, checked: Checked) -> bool:
    """Whether a file has times for far more frames than it has.

    The demuxers of other decoders make room for each of them: gigabytes for a number.
    """
    if index.container != "mov":
        return False
    with checked.open_file() as file:
        return timed_frames(file) > 2 * len(index.packets.pts) + _HARMLESS_TIMES


def open_decoder(
    backend: str,
    checked: Checked,
    index: VideoIndex,
    opened: Opened | None,
    *,
    max_pixels: int,
    num_threads: int,
) -> FrameDecoder:
    """Open a decoder.

    Args:
        backend: As `backend_for` gives it.
        checked: The source.
        index: Its index.
        opened: Its open container, if there is one: it is used or closed.
        max_pixels: Largest frame that is decoded.
        num_threads: Cores that it may use.
    """
    if backend == WebpReader.backend:
        return WebpReader(checked, index)
    if backend != "pyav":
        if opened is not None:
            opened.close()
        kind = DecordReader if backend == "decord" else TorchcodecReader
        return kind(checked, index, num_threads=num_threads)
    opened = opened or open_container(checked, max_pixels=max_pixels)
    return PyavReader(opened, index, max_pixels=max_pixels, num_threads=num_threads)


_most_cores: int | None = None


def count_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        found = len(os.sched_getaffinity(0))
    else:
        found = os.cpu_count() or 1
    return found if _most_cores is None else min(found, _most_cores)


def limit_cores(most: int | None) -> None:
    """Let `count_cores` say no more than this, where others have the rest; None: all there are."""
    global _most_cores
    _most_cores = most
