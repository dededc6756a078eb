"""`IsolatedStream`: a stream whose frames are decoded in a worker, each under a deadline."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from temporal.trace import Cost

from ...video import Video
from ..errors import VideoError
from ..streaming.stream import StreamFrame
from .worker import Pool, work_stream
from .worker_link import WorkerLink


class IsolatedStream:
    """An iterator over the frames of `IsolatedVideo.stream`.

    The worker decodes up to the frame that is asked for and then waits, so a stream needs a worker
    only while a frame of it is being made: other videos and streams of the same worker wait for
    one frame, not for the stream's end. The price: when the worker is killed because another of its
    videos hangs or crashes, the stream ends with `worker_crashed`, for its place in the file went
    with it. A stream that must not end so has a pool of its own.

    `close()`, or dropping the iterator, lets go of the worker's decoder.

    Args:
        pool: Where the deadline is read, at each frame.
        link: The worker.
        video: What is streamed; not opened here.
        every_seconds: See `Video.stream`.
        size: See `Video.stream`.
        spend: Is told what each frame cost.
    """

    def __init__(
        self,
        pool: Pool,
        link: WorkerLink,
        video: Video,
        every_seconds: float,
        size: tuple[int, int] | None,
        spend: Callable[[Cost], None],
    ) -> None:
        self._key = pool.next_key()
        self._pool = pool
        self._link = link
        self._recipe: Video | None = video
        self._name = video.id
        self._every_seconds = every_seconds
        self._size = size
        self._spend = spend
        self._image_bytes = 0 if size is None else 3 * size[0] * size[1]
        self._is_open = False  # in the worker
        self._has_ended = False
        self._num_read = 0

    def __iter__(self) -> IsolatedStream:
        return self

    def __next__(self) -> StreamFrame:
        """Return the next frame.

        Raises:
            VideoError: As `Video.stream` raises it; also `timeout`, `worker_crashed` and `oom`.
            RuntimeError: The pool was closed, or made in another process.
        """
        self._link.check_process()
        if self._has_ended:
            raise StopIteration
        try:
            found = self._read_on()
        except VideoError as error:
            self._has_ended, self._is_open = True, False
            error.frames_read = self._num_read
            raise
        if found is None:
            self._has_ended, self._is_open = True, False
            raise StopIteration
        self._num_read += 1
        return found

    def close(self) -> None:
        """End the stream, and have the worker let go of its decoder; waits for nothing."""
        self._has_ended = True
        if self._is_open:
            self._is_open = False
            self._link.forget(self._key)

    def __del__(self) -> None:
        if self._is_open:
            self._link.drop(self._key)

    def _read_on(self) -> StreamFrame | None:
        with self._link.buffers.lend() as buffer:
            # Without a size, the first image goes through the pipe and tells how large they are.
            address = buffer.fit(self._image_bytes) if self._image_bytes else None
            recipe, self._recipe, self._is_open = self._recipe, None, True
            done = self._link.call(
                self._pool.deadline_seconds,
                self._name,
                work_stream,
                self._key,
                recipe,
                self._every_seconds,
                self._size,
                address,
            )
            array = shape = None
            if done is not None and done.value is not None:
                array, shape = done.value
                if shape is not None:
                    array = dataclasses.replace(array, image=buffer.copy(shape))
        if done is None:
            raise VideoError(
                "worker_crashed",
                f"{self._name}: its worker was replaced after another video of it hung or crashed, "
                "and the stream's place is lost",
            )
        self._spend(done.spent)
        if done.error is not None:
            raise done.error
        if array is None:
            return None
        self._image_bytes = array.image.size
        return array.to_frame()
