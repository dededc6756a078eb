"""What runs inside a decode worker: open videos, their reads, and an end with the parent's end.

Workers import this module and what it needs, and nothing else: no torch, no model, no script of the
caller (see `processes`).
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from temporal.trace import Cost

from ..video import Video
from .errors import VideoError
from .index import VideoIndex

ReadFunction = Callable[[Video, "list[int]", "tuple[int, int] | None"], NDArray[np.uint8]]

Expected = tuple["list[int]", "tuple[int, int] | None"]
"""Frame indices and size, as `Video.expect` takes them."""

_videos: OrderedDict[int, Video] = OrderedDict()
_max_open = 1


def start(max_memory_bytes: int | None, max_open: int) -> None:
    """Set a new worker up; runs in it before anything else."""
    global _max_open
    _max_open = max_open
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent decides
    _die_with_parent()
    if max_memory_bytes is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (max_memory_bytes, max_memory_bytes))


def read_frames(
    video: Video, frame_indices: list[int], size: tuple[int, int] | None
) -> NDArray[np.uint8]:
    """Read frames. Tests put a function in its place that hangs or dies."""
    return video.read_array(frame_indices, size=size)


def work_open(key: int, video: Video) -> tuple[VideoIndex, str]:
    """Build the video's index; return it and the name of the decoder."""
    video = _kept(key, video)
    return video.index, video.backend


def work_read(
    key: int,
    video: Video,
    frames: list[int],
    size: tuple[int, int] | None,
    expected: Expected | None,
    read_function: ReadFunction,
) -> tuple[NDArray[np.uint8] | None, VideoError | None, Cost]:
    """Read frames; return them or the error, and what was spent in either case."""
    video = _kept(key, video)
    if expected is not None:
        video.expect(expected[0], size=expected[1])
    before = video.spent
    images, failure = None, None
    try:
        images = read_function(video, frames, size)
    except VideoError as error:
        failure = error  # returned, so that what was spent comes back with it
    after = video.spent
    spent = Cost(
        frames_decoded=after.frames_decoded - before.frames_decoded,
        bytes_read=after.bytes_read - before.bytes_read,
        decode_seconds=after.decode_seconds - before.decode_seconds,
    )
    return images, failure, spent


def _kept(key: int, video: Video) -> Video:
    """The worker's own open video of this key, opening it if it is not there."""
    video = _videos.pop(key, video)
    _videos[key] = video
    while len(_videos) > _max_open:
        _videos.popitem(last=False)[1].close()
    return video


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
