"""One decode worker as its caller sees it: calls with a deadline, and a new worker for a lost one.

Each worker has a pebble pool of its own, because a video's reads must meet its open decoder.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from pebble import ProcessExpired, ProcessPool

from ..errors import VideoError
from ..fork import check_own_process
from .processes import WorkerContext
from .shared import SharedBuffers
from .worker import forget, start

_LOOK_SECONDS = 0.5  # how often a waiting call looks whether its pool is still there
_END_SECONDS = 5.0  # how long `join` waits for pools that were replaced
_MAX_TRIES = 3


class WorkerLink:
    """The way to one worker and back.

    Args:
        max_memory_bytes: Address space of the worker; None: no limit.
        max_open: Videos that it keeps open.
    """

    def __init__(self, max_memory_bytes: int | None, max_open: int) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._options = [max_memory_bytes, max_open]
        self._is_closed = False
        self._deadline_seconds: float | None = None  # of the latest call
        self._dropped: deque[int] = deque()
        self._enders: list[threading.Thread] = []
        self.buffers = SharedBuffers()
        self._pool = self._make_pool()

    def check_process(self) -> None:
        """Refuse to work in a forked child.

        Raises:
            RuntimeError: This process is another than the one that made the pool.
        """
        check_own_process(self._process, "this DecodePool")

    def call(
        self, deadline_seconds: float, name: str, function: Callable[..., Any], *args: Any
    ) -> Any:
        """Run a function in the worker; the deadline counts from when the worker starts on it.

        Args:
            deadline_seconds: When the worker is killed.
            name: The video's, for messages.
            function: Importable by the worker.
            *args: Its arguments; they and what it returns are pickled.

        Raises:
            VideoError: `timeout`, `worker_crashed` or `oom`; the next call finds a new worker.
            RuntimeError: The pool was closed, or made in another process.
        """
        self.check_process()
        self._deadline_seconds = deadline_seconds
        if self._dropped:
            self.forget()
        for _ in range(_MAX_TRIES):
            pool = self._get_pool()
            try:
                self._wait(future := _schedule(pool, deadline_seconds, function, args), pool)
                return future.result(timeout=0)
            except (BrokenProcessPool, CancelledError):
                self._replace(pool)  # not the fault of this call, as far as one can know
            except ProcessExpired as error:
                self._replace(pool)
                raise VideoError(
                    "worker_crashed", f"{name}: its worker died with exit code {error.exitcode}"
                ) from error
            except MemoryError as error:
                raise VideoError("oom", f"{name}: its worker ran out of memory") from error
            except FutureTimeoutError as error:
                raise VideoError(
                    "timeout", f"{name}: not done after {deadline_seconds:g} s; worker was killed"
                ) from error
        raise VideoError("worker_crashed", f"{name}: {_MAX_TRIES} workers died as they began")

    def forget(self, *keys: int) -> None:
        """Have the worker close these videos or streams, and do not wait for it."""
        self._dropped.extend(keys)
        if self._process != os.getpid() or self._is_closed:
            return
        gone = []
        with contextlib.suppress(IndexError):
            while True:
                gone.append(self._dropped.popleft())
        with contextlib.suppress(BrokenProcessPool):  # the next worker knows none of them
            # With a deadline: closing can hang, too.
            _schedule(self._pool, self._deadline_seconds, forget, (gone,))

    def drop(self, key: int) -> None:
        """As `forget`, with the next call: takes no lock, so a finalizer may call it anywhere."""
        self._dropped.append(key)

    def stop(self) -> None:
        """Begin to end the worker, also if it is busy. In a forked child: nothing."""
        if self._process == os.getpid():
            self._is_closed = True
            self._pool.stop()

    def join(self) -> None:
        """Wait for the worker's end after `stop`."""
        if self._process == os.getpid():
            self._pool.join()
            self.buffers.free()
            for thread in self._enders:
                thread.join(_END_SECONDS)

    def _make_pool(self) -> ProcessPool:
        context: Any = WorkerContext()
        return ProcessPool(
            max_workers=1, context=context, initializer=start, initargs=self._options
        )

    def _get_pool(self) -> ProcessPool:
        with self._lock:
            if self._is_closed:
                raise RuntimeError("the DecodePool was closed; make a new one")
            return self._pool

    def _replace(self, pool: ProcessPool) -> None:
        """Take a new pool after a worker died that pebble did not end.

        It may have died with a lock in its hand or in the middle of a message; the next worker of
        that pool would wait for the one, or the reading thread here for the rest of the other. And
        when a worker dies while it is idle, pebble gives the whole pool up.
        """
        with self._lock:
            if self._pool is not pool or self._is_closed:
                return
            # Elsewhere: where half a message came, the old pool's reading thread never ends.
            ender = threading.Thread(target=_end, args=(pool,), name="end-decode-worker")
            ender.daemon = True
            ender.start()
            self._enders = [thread for thread in self._enders if thread.is_alive()] + [ender]
            self._pool = self._make_pool()

    def _wait(self, future: Future[Any], pool: ProcessPool) -> None:
        """Wait for a call, but not for one that a broken pool has lost.

        Raises:
            BrokenProcessPool: The pool has stopped and will not answer.
        """
        while not future.done():
            try:
                future.exception(timeout=_LOOK_SECONDS)
            except FutureTimeoutError:
                if not future.done() and not pool.active:
                    raise BrokenProcessPool from None


def _schedule(
    pool: ProcessPool,
    deadline_seconds: float | None,
    function: Callable[..., Any],
    args: tuple[Any, ...],
) -> Future[Any]:
    try:
        return pool.schedule(function, args=list(args), timeout=deadline_seconds)
    except RuntimeError as error:  # pebble has given the pool up, and says so in several ways
        raise BrokenProcessPool from error


def _end(pool: ProcessPool) -> None:
    pool.stop()
    with contextlib.suppress(Exception):  # it is broken already
        pool.join()
