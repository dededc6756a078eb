"""Decoding in worker processes that can be killed: a deadline that a hung decoder cannot ignore.

No `try` and no thread catches a decoder that hangs or takes its process down. A `DecodePool` runs
each read in a worker, kills the worker at the deadline, starts another, and turns what happened
into a `VideoError`. Each video stays with one worker, which keeps it open between reads. Frames
come back through shared memory (see `shared`).
"""

from __future__ import annotations

import itertools
import os
from typing import BinaryIO, NoReturn

from ...places.content import Content
from ...video import Video
from ..decoders.backends import Backend, count_cores
from ..files.container import MAX_PIXELS
from ..files.sniff import portable, source_name
from ..remote.urls import AllowRemote
from .isolated import IsolatedVideo
from .worker import ReadFrames, read_frames
from .worker_link import WorkerLink


class DecodePool:
    """Worker processes for decoding, each call under a deadline.

    It may be used by several threads. In a forked child it gives a `RuntimeError`: a child makes
    its own.

    Args:
        workers: Number of processes.
        deadline_seconds: Longest time for one call (opening with its index, one read, one kind of
            evidence, or one frame of a stream).
        max_memory_bytes: Address space of a worker; a video that needs more gets `oom`. None: no
            limit.
        max_open: Videos that are read at the same time; each worker keeps its share of them open. A
            video that is read again after others took its place is decoded anew. Streams do not
            count: each is open until it ends or is closed.
        read_function: What workers run for a read: takes what `read_frames` does (a region only
            where there is one), and must be importable by them.

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
        read_function: ReadFrames = read_frames,
    ) -> None:
        if workers < 1:
            raise ValueError(f"workers ({workers}) must be >= 1")
        if deadline_seconds <= 0:
            raise ValueError(f"deadline_seconds ({deadline_seconds}) must be > 0")
        if max_open < 1:
            raise ValueError(f"max_open ({max_open}) must be >= 1")
        self.deadline_seconds = deadline_seconds
        self.read_function = read_function
        self._keys = itertools.count()
        self._links = [
            WorkerLink(max_memory_bytes, -(-max_open // workers)) for _ in range(workers)
        ]

    def open(
        self,
        source: str | os.PathLike[str] | bytes | BinaryIO | Content,
        *,
        backend: Backend = "auto",
        id: str | None = None,
        max_pixels: int = MAX_PIXELS,
        root: str | os.PathLike[str] | None = None,
        num_threads: int | None = None,
        index_cache_dir: str | os.PathLike[str] | None = None,
        allow_remote: AllowRemote = False,
    ) -> IsolatedVideo:
        """Make a video whose decoding happens in a worker; takes what `Video` takes.

        Nothing is opened yet: errors of the source come with the first use. But a file object is
        read now, as a whole: its place stays here.

        Raises:
            TypeError: The source is a file that cannot seek, or one of text.
            RuntimeError: The pool was made in another process.
        """
        self._links[0].check_process()
        video = Video(
            portable(source),
            backend=backend,
            id=source_name(source) if id is None else id,
            max_pixels=max_pixels,
            root=root,
            num_threads=num_threads or max(1, count_cores() // len(self._links)),
            index_cache_dir=index_cache_dir,
            allow_remote=allow_remote,
        )
        key = self.next_key()
        return IsolatedVideo(self, self._links[key % len(self._links)], key, video)

    def next_key(self) -> int:
        """Return a number that no other video or stream of this pool has."""
        return next(self._keys)  # one step of the interpreter: threads cannot get the same

    def close(self) -> None:
        """End all workers, also those that are busy. In a forked child: nothing."""
        for link in self._links:
            link.stop()
        for link in self._links:
            link.join()

    def __enter__(self) -> DecodePool:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a DecodePool cannot go to another process; make one there")
