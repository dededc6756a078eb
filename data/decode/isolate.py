"""Decoding in worker processes that can be killed: a deadline that a hung decoder cannot ignore.

No `try` and no thread catches a decoder that hangs or takes its process down. A `DecodePool` runs
each read in a worker, kills the worker at the deadline, starts another, and turns what happened
into a `VideoError`. Each video stays with one worker, which keeps it open between reads.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING, Any, BinaryIO

from pebble import ProcessExpired, ProcessPool

from temporal.trace import Cost

from ..video import Video
from . import plan, price
from .backends import Backend
from .container import MAX_PIXELS
from .errors import VideoError
from .index import VideoIndex
from .processes import WorkerContext
from .urls import AllowRemote
from .worker import Expected, ReadFunction, read_frames, start, work_open, work_read

if TYPE_CHECKING:
    import torch


class DecodePool:
    """Worker processes for decoding, each call under a deadline.

    Args:
        workers: Number of processes.
        deadline_seconds: Longest time for one call (opening with its index, or one read).
        max_memory_bytes: Address space of a worker; a video that needs more gets `oom`. None: no
            limit.
        max_open: Videos that are read at the same time; each worker keeps its share of them open. A
            video that is read again after others took its place is decoded anew.
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
        max_open: int = 8,
        read_function: ReadFunction = read_frames,
    ) -> None:
        if workers < 1:
            raise ValueError(f"workers ({workers}) must be >= 1")
        if deadline_seconds <= 0:
            raise ValueError(f"deadline_seconds ({deadline_seconds}) must be > 0")
        if max_open < 1:
            raise ValueError(f"max_open ({max_open}) must be >= 1")
        self.deadline_seconds = deadline_seconds
        self._read_function = read_function
        self._next = 0
        self._lock = threading.Lock()
        context: Any = WorkerContext()
        # One pool per process, not one pool of many: a video's reads must meet its open decoder.
        self._pools = [
            ProcessPool(
                max_workers=1,
                context=context,
                initializer=start,
                initargs=[max_memory_bytes, -(-max_open // workers)],
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
        index_cache_dir: str | os.PathLike[str] | None = None,
        allow_remote: AllowRemote = False,
    ) -> IsolatedVideo:
        """Make a video whose decoding happens in a worker; takes what `Video` takes.

        Nothing is opened yet: errors of the source come with the first use.
        """
        video = Video(
            source,
            backend=backend,
            id=id,
            max_pixels=max_pixels,
            root=root,
            index_cache_dir=index_cache_dir,
            allow_remote=allow_remote,
        )
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
        self._expected: tuple[dict[int, None], tuple[int, int] | None] | None = None
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
        frames = plan.check_frames(self.index, units, name=self.id)
        return price.read_cost(self.index, frames, discards=self.backend == "pyav")

    def read(self, units: Sequence[int], *, size: tuple[int, int] | None = None) -> torch.Tensor:
        """Decode frames in the worker; see `Video.read`.

        Raises:
            VideoError: Also `timeout`, `worker_crashed` and `oom`; the pool survives all three.
            IndexError: An index is not in 0..len - 1.
        """
        import torch

        index = self.index
        frames = plan.check_frames(index, units, name=self.id)
        expected, function = self._expected, self._pool._read_function
        # All of what is expected goes along with every read: the worker may be a new one.
        wish: Expected | None = None if expected is None else (list(expected[0]), expected[1])
        images, error, spent = self._pool._call(
            self._worker, self.id, work_read, self._key, self._video, frames, size, wish, function
        )
        with self._lock:
            self._spent += spent
        if error is not None:
            raise error
        if expected is not None and _same_size(index, size, expected[1]):
            for frame in frames:
                expected[0].pop(frame, None)
        return torch.from_numpy(images)

    def expect(self, units: Sequence[int], *, size: tuple[int, int] | None = None) -> None:
        """Name frames that may be read later; see `Video.expect`. Goes along with the next read."""
        self._video.expect(units, size=size)  # checks them
        self._expected = (dict.fromkeys(int(unit) for unit in units), size)

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
                    self._worker, self.id, work_open, self._key, self._video
                )
            return self._facts


def _same_size(
    index: VideoIndex, size: tuple[int, int] | None, other: tuple[int, int] | None
) -> bool:
    own = (index.height, index.width)
    return tuple(size or own) == tuple(other or own)
