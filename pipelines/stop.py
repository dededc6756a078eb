"""Stopping a run: the first signal asks, the second one insists."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPED = 75
"""Exit code of a run that stopped and can be resumed (EX_TEMPFAIL of sysexits.h)."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """Set the yielded event on SIGINT or SIGTERM; a second signal ends the process at once.

    Committed parts are whole at any moment, so the immediate end is resumable too. Outside the
    main thread, where signals cannot be handled, the event is only ever set by the caller.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            for child in multiprocessing.active_children():
                child.kill()
            os._exit(STOPPED)
        stop.set()

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def exit_on_signal(*, debug: bool = False) -> Iterator[None]:
    """Leave with one line and `STOPPED` on SIGINT or SIGTERM, outside of `stop_on_signal`.

    For all that goes before the work (imports, arguments) and after it: nothing is left undone.

    Args:
        debug: Show where the process was.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        if debug:
            traceback.print_stack(frame)
        os.write(2, b"stopped\n")  # `print` may have been interrupted, and would refuse
        raise SystemExit(STOPPED)

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
