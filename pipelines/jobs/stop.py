"""Stopping a run: the first signal asks, the second one insists."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from temporal.stopping import STOPPED as STOPPED
from temporal.stopping import handling

_ONE_REQUEST_SECONDS = 0.3
"""Signals so close to the first are the same request: `timeout` sends its signal to the process and
to its group, a terminal that closes sends several, and a bouncing Ctrl-C two."""


class Stop:
    """Whether the run was told to stop.

    As `threading.Event`, but without a lock, for which a handler that interrupts itself would wait.
    """

    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        """Tell it."""
        self._is_set = True

    def is_set(self) -> bool:
        """Whether it was told."""
        return self._is_set


class _Handler:
    """Sets the flag at the first signal, and ends the process at one that comes later."""

    def __init__(self) -> None:
        self.stop = Stop()
        self.first_at = 0.0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self.stop.is_set():
            self.first_at = now
            self.stop.set()
        elif now - self.first_at > _ONE_REQUEST_SECONDS:
            end_at_once()


def end_at_once() -> NoReturn:
    """End the process and its children, and wait for nothing; committed parts are whole."""
    for child in multiprocessing.active_children():
        child.kill()
    os._exit(STOPPED)


@contextmanager
def stop_on_signal() -> Iterator[Stop]:
    """Set the yielded flag on SIGINT, SIGTERM or SIGHUP; a second signal ends the process at once.

    Committed parts are whole at any moment, so the immediate end is resumable too. Within another
    `stop_on_signal` the flag is that one's. Outside the main thread, where signals cannot be
    handled, the flag is only ever set by the caller.
    """
    if threading.current_thread() is not threading.main_thread():
        yield Stop()
        return
    outer = signal.getsignal(signal.SIGTERM)
    if isinstance(outer, _Handler):
        yield outer.stop
        return
    handler = _Handler()
    with handling(handler):
        yield handler.stop


@contextmanager
def exit_on_signal(*, debug: bool = False) -> Iterator[None]:
    """Leave with one line and `STOPPED` on a signal, outside `stop_on_signal`.

    For all that goes before the work (imports, arguments) and after it: nothing is left undone.

    Args:
        debug: Show where the process was.
    """
    asked = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:  # on the way out already
            return
        asked = True
        try:
            if debug:
                traceback.print_stack(frame)
            os.write(2, b"stopped\n")  # `print` may have been interrupted, and would refuse
        except (OSError, RuntimeError):
            pass  # whoever read the messages is gone
        raise SystemExit(STOPPED)

    with handling(handle):
        yield
