"""What runs inside a decode worker: open videos, their reads, and its end when the parent ends.

Workers import this module and what it needs, and nothing else: no torch, no model, no script of the
caller (see `processes`).
"""

from __future__ import annotations

import dataclasses
import functools
import multiprocessing
import os
import signal
import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from temporal.trace import Cost

from ...video import Video
from ..errors import VideoError
from ..packets.index import VideoIndex
from ..pictures import glimpse
from ..pictures.region import Box, Size
from ..sound import Sound, Span
from ..streaming.stream import StreamArray
from .shared import Address, map_shared

ReadFrames = Callable[..., NDArray[np.uint8]]
"""As `read_frames`."""


class Pool(Protocol):
    """What a video in another process needs of the `DecodePool` that opened it."""

    deadline_seconds: float
    """Time that one call may take."""

    read_function: ReadFrames
    """What reads its frames there."""

    def next_key(self) -> int:
        """A number that no other video or stream of the pool has."""
        ...


Expected = tuple["list[int]", "Size | None", "Box | None"]
"""Frame indices, size and region, as `Video.expect` takes them."""

_videos: OrderedDict[int, Video] = OrderedDict()
_streams: dict[int, tuple[Video, Generator[StreamArray, None, None]]] = {}
_max_open = 1


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Done:
    """What comes back through the pipe."""

    value: Any
    """What the work gave; None when it failed."""

    error: VideoError | None
    """Why it failed: returned and not raised, so that what was spent comes with it."""

    spent: Cost
    """What was spent in either case."""


def start(max_memory_bytes: int | None, max_open: int) -> None:
    """Set a new worker up; runs in it before anything else."""
    global _max_open
    _max_open = max_open
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent decides
    _die_with_parent()
    if max_memory_bytes is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (max_memory_bytes, max_memory_bytes))


def work(key: int, recipe: Video | None, function: Callable[..., Any], *args: Any) -> Done | None:
    """Run a function on a video.

    Args:
        key: Which of the caller's videos.
        recipe: The video, to be opened here if it is not yet; None: it should be known.
        function: Called with the video as it is kept here, and `args`.
        *args: Further arguments of the function.

    Returns:
        What came of it; None: the recipe is needed after all, for this worker does not know the
        video or does not know it any more.
    """
    kept = _videos.pop(key, recipe)
    if kept is None:
        return None
    _videos[key] = kept
    while len(_videos) > _max_open:
        _videos.popitem(last=False)[1].close()
    return _account(kept, lambda: function(kept, *args))


def work_stream(
    key: int,
    recipe: Video | None,
    every_seconds: float,
    size: tuple[int, int] | None,
    address: Address | None,
) -> Done | None:
    """Read the next frame of a stream, whose value is a `StreamArray` and where its image is.

    Its value is None at the end. Otherwise a pair: the frame, and the shape of its image if that
    was written to the shared memory (then the frame has an empty one).

    Args:
        key: Which of the caller's streams.
        recipe: Its video, for the first frame; None: the stream was begun.
        every_seconds: See `Video.stream`.
        size: See `Video.stream`.
        address: Memory for the image.

    Returns:
        What came of it; None: this worker does not know the stream.
    """
    if recipe is not None:
        _streams[key] = recipe, recipe.stream_arrays(every_seconds, size=size)
    elif key not in _streams:
        return None
    video, arrays = _streams.pop(key)

    def read_on() -> tuple[StreamArray, tuple[int, ...] | None] | None:
        array = next(arrays, None)
        if array is None:
            return None
        _streams[key] = video, arrays
        memory = map_shared(address, array.image.size)
        if memory is None:
            return array, None
        memory[:] = array.image.ravel()
        return dataclasses.replace(array, image=np.empty((3, 0, 0), np.uint8)), array.image.shape

    return _account(video, read_on)


def forget(keys: Sequence[int]) -> None:
    """Close the videos and streams with these keys."""
    for key in keys:
        if key in _videos:
            _videos.pop(key).close()
        if key in _streams:
            _streams.pop(key)[1].close()


# What `work` does


def read_facts(video: Video) -> tuple[VideoIndex, str]:
    """Build the video's index; return it and the name of the decoder."""
    return video.index, video.backend


def read_frames(
    video: Video,
    frame_indices: list[int],
    size: tuple[int, int] | None,
    out: NDArray[np.uint8] | None,
    *,
    region: Box | None = None,
) -> NDArray[np.uint8]:
    """Read frames, into `out` if it is given. Tests put a function in its place that hangs or dies.

    Args:
        video: The video.
        frame_indices: As `Video.read` takes them.
        size: As `Video.read` takes it.
        out: uint8, with as many elements as the result.
        region: As `Video.read` takes it; only named where there is one.
    """
    return video.read_array(frame_indices, size=size, region=region, out=out)


def read_expected(
    video: Video,
    frames: list[int],
    size: Size | None,
    region: Box | None,
    expected: Expected | None,
    address: Address | None,
    read_function: ReadFrames,
) -> NDArray[np.uint8] | None:
    """Read frames; return them, or None when they were written to the shared memory."""
    _expect(video, expected)
    height, width = size or (region or (video.index.height, video.index.width))[-2:]
    out = map_shared(address, len(frames) * 3 * height * width)
    if region is not None:
        read_function = functools.partial(read_function, region=region)
    images = read_function(video, frames, size, out)
    return images if out is None else None


def read_glance(
    video: Video,
    frames: list[int],
    size: Size,
    expected: Expected | None,
    address: Address | None,
) -> NDArray[np.uint8] | None:
    """Look at frames; return them, or None when they were written to the shared memory."""
    _expect(video, expected)
    out = map_shared(address, len(frames) * 3 * size[0] * size[1])
    images = video.glance_array(frames, size=size, out=out)
    return images if out is None else None


def _expect(video: Video, expected: Expected | None) -> None:
    if expected is not None:
        video.expect(expected[0], size=expected[1], region=expected[2])


def read_small(
    video: Video,
    frames: list[int],
    size: tuple[int, int],
    options: Mapping[str, str],
    address: Address | None,
) -> tuple[NDArray[np.uint8] | None, Cost]:
    """Decode small frames; return them, or None when they were written to the shared memory."""
    out = map_shared(address, len(frames) * 3 * size[0] * size[1])
    images, cost = glimpse.decode_small(video, frames, size, options, out=out)
    return (images if out is None else None), cost


def read_sound(video: Video, between: Span | None) -> Sound | None:
    """Decode the video's sound."""
    return video.audio(between=between)


def _account(video: Video, function: Callable[[], Any]) -> Done:
    before = video.spent
    value, failure = None, None
    try:
        value = function()
    except VideoError as error:
        failure = error
    return Done(value=value, error=failure, spent=video.spent - before)


def _die_with_parent() -> None:
    """End this process when the one that asks for frames is gone, however that one ended.

    A worker that waits for work notices that its pipe is closed; one whose decoder hangs never
    does. Asking who the system's parent process is does not help: that is the fork server, which
    stays as long as its workers do.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return  # not a worker: called directly

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="die-with-parent", daemon=True).start()
