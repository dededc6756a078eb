"""Decoding in worker processes that can be killed: a deadline that a hung decoder cannot ignore.

No `try` and no thread catches a decoder that hangs or takes its process down. A `DecodePool` runs
each read in a worker, kills the worker at the deadline, starts another, and turns what happened
into a `VideoError`. Each video stays with one worker, which keeps it open between reads.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from pebble import ProcessExpired, ProcessPool

from temporal.trace import Cost

from ..video import Backend, Video
from . import plan
from .container import MAX_PIXELS
from .errors import VideoError
from .index import VideoIndex

_OPEN_VIDEOS = 4  # videos that a worker keeps open

ReadFunction = Callable[[Video, "list[int]", "tuple[int, int] | None"], NDArray[np.uint8]]


def read_frames(
    video: Video, frame_indices: list[int], size: tuple[int, int] | None
) -> NDArray[np.uint8]:
    """Read frames in the worker. Tests put a function in its place that hangs or dies."""
    return video.read_array(frame_indices, size=size)


class DecodePool:
    """Worker processes for decoding, each call under a deadline.

    Args:
        workers: Number of processes.
        deadline_seconds: Longest time for one call (opening with its index, or one read).
        max_memory_bytes: Address space of a worker; a video that needs more gets `oom`. None: no
            limit.
        read_function: What workers run for a read; must be importable by them.

    Example:
        >>> with DecodePool(workers=2, deadline_seconds=30.0) as pool:
        ...     video = pool.open("clip.mp4")
        ...     frames = video.read([0], size=(224, 224))
    """

    def __init__(
        self,
        workers: int,
        deadline_seconds: float,
        *,
        max_memory_bytes: int | None = None,
        read_function: ReadFunction = read_frames,
    ) -> None:
        if workers < 1:
            raise ValueError(f"workers ({workers}) must be >= 1")
        if deadline_seconds <= 0:
            raise ValueError(f"deadline_seconds ({deadline_seconds}) must be > 0")
        self.deadline_seconds = deadline_seconds
        self._read_function = read_function
        self._next = 0
        self._lock = threading.Lock()
        context = _process_context()
        # One pool per process, not one pool of many: a video's reads must meet its open decoder.
        self._pools = [
            ProcessPool(
                max_workers=1,
                context=context,
                initializer=_limit_memory,
                initargs=[max_memory_bytes],
            )
            for _ in range(workers)
        ]

    def open(
        self,
        source: str | os.PathLike[str] | bytes | BinaryIO,
        *,
        backend: Backend = "auto",
        id: str | None = None,
        max_pixels: int = MAX_PIXELS,
        root: str | os.PathLike[str] | None = None,
    ) -> IsolatedVideo:
        """Make a video whose decoding happens in a worker; takes what `Video` takes.

        Nothing is opened yet: errors of the source come with the first use.
        """
        video = Video(source, backend=backend, id=id, max_pixels=max_pixels, root=root)
        with self._lock:
            worker = self._next % len(self._pools)
            key = self._next
            self._next += 1
        return IsolatedVideo(self, worker, key, video)

    def close(self) -> None:
        """End all workers, also those that are busy."""
        for pool in self._pools:
            pool.stop()
        for pool in self._pools:
            pool.join()

    def __enter__(self) -> DecodePool:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _call(self, worker: int, name: str, function: Callable[..., Any], *args: Any) -> Any:
        """Run a function in a worker; the deadline counts from when the worker starts on it."""
        future = self._pools[worker].schedule(
            function, args=list(args), timeout=self.deadline_seconds
        )
        try:
            return future.result()
        except FutureTimeoutError as error:
            raise VideoError(
                "timeout", f"{name}: not done after {self.deadline_seconds:g} s; worker was killed"
            ) from error
        except ProcessExpired as error:
            raise VideoError(
                "worker_crashed", f"{name}: its worker died with exit code {error.exitcode}"
            ) from error
        except MemoryError as error:
            raise VideoError("oom", f"{name}: its worker ran out of memory") from error


class IsolatedVideo:
    """A `Video` whose opening and reading happen in a worker of a `DecodePool`.

    Its members are those of `Video`.
    """

    unit = "frame"
    in_memory = False

    def __init__(self, pool: DecodePool, worker: int, key: int, video: Video) -> None:
        self.id = video.id
        self._pool = pool
        self._worker = worker
        self._key = key
        self._video = video  # never opened here: it is the recipe that the worker opens
        self._facts: tuple[VideoIndex, str] | None = None
        self._spent = Cost()
        self._lock = threading.Lock()

    @property
    def index(self) -> VideoIndex:
        """Frames, times, keyframes and prices; read by the worker at the first use."""
        return self._get_facts()[0]

    @property
    def backend(self) -> str:
        """The decoder that reads this file."""
        return self._get_facts()[1]

    def __len__(self) -> int:
        return len(self.index)

    @property
    def spent(self) -> Cost:
        """What the reads so far did cost, counted in the worker; killed reads are not in it."""
        return self._spent

    def cost(self, units: Sequence[int]) -> Cost:
        """What a fresh reader would spend on these frames."""
        return plan.read_cost(self.index, plan.check_frames(self.index, units, name=self.id))

    def read(self, units: Sequence[int], *, size: tuple[int, int] | None = None) -> torch.Tensor:
        """Decode frames in the worker; see `Video.read`.

        Raises:
            VideoError: Also `timeout`, `worker_crashed` and `oom`; the pool survives all three.
            IndexError: An index is not in 0..len - 1.
        """
        frames = plan.check_frames(self.index, units, name=self.id)
        function = self._pool._read_function
        images, error, spent = self._pool._call(
            self._worker, self.id, _work_read, self._key, self._video, frames, size, function
        )
        with self._lock:
            self._spent += spent
        if error is not None:
            raise error
        return torch.from_numpy(images)

    def plan(self, times_seconds: Sequence[float], tolerance_seconds: float = 0.0) -> list[int]:
        """Choose frames for wished times; see `Video.plan`."""
        return plan.nearest_frames(self.index, times_seconds, tolerance_seconds)

    def snap(self, frame_indices: Sequence[int], tolerance_frames: int) -> list[int]:
        """Replace frames by cheaper ones near them; see `Video.snap`."""
        frames = plan.check_frames(self.index, frame_indices, name=self.id)
        return plan.snap_frames(self.index, frames, tolerance_frames)

    def close(self) -> None:
        """Nothing to do: the worker closes videos that it has not read for long."""

    def __enter__(self) -> IsolatedVideo:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _get_facts(self) -> tuple[VideoIndex, str]:
        with self._lock:
            if self._facts is None:
                self._facts = self._pool._call(
                    self._worker, self.id, _work_open, self._key, self._video
                )
            return self._facts


# In the worker

_videos: OrderedDict[int, Video] = OrderedDict()


def _work_open(key: int, video: Video) -> tuple[VideoIndex, str]:
    video = _kept(key, video)
    return video.index, video.backend


def _work_read(
    key: int,
    video: Video,
    frames: list[int],
    size: tuple[int, int] | None,
    read_function: ReadFunction,
) -> tuple[NDArray[np.uint8] | None, VideoError | None, Cost]:
    video = _kept(key, video)
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
    while len(_videos) > _OPEN_VIDEOS:
        _videos.popitem(last=False)[1].close()
    return video


def _limit_memory(max_memory_bytes: int | None) -> None:
    if max_memory_bytes is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (max_memory_bytes, max_memory_bytes))


def _process_context() -> Any:
    """Forkserver where there is one: a worker starts in milliseconds and inherits no decoder."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context
