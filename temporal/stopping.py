"""The signals that ask a process to stop, and leaving at once; imports next to nothing.

What a handler does may interrupt itself: a second signal comes while the first is being handled.
So nothing here takes a lock (`threading.Event.set` does, and would wait for itself).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

STOPPED = 75
"""Exit code of a run that stopped and can be resumed (EX_TEMPFAIL of sysexits.h)."""

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP


def stop_signals() -> tuple[int, ...]:
    """SIGINT, SIGTERM, and SIGHUP unless it is ignored, as `nohup` has it."""
    numbers = [int(getattr(signal, name)) for name in _NAMES if hasattr(signal, name)]
    hangup = getattr(signal, "SIGHUP", None)
    ignored = hangup is not None and signal.getsignal(hangup) == signal.SIG_IGN
    return tuple(number for number in numbers if not (ignored and number == hangup))


@contextmanager
def handling(handle: Callable[[int, Any], object]) -> Iterator[None]:
    """Have `handle(number, frame)` called on the signals, and afterwards what was there before."""
    before = {number: signal.signal(number, handle) for number in stop_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def leave_at_once(number: int, frame: Any) -> None:
    """End the process with one line and `STOPPED`, where nothing is left undone: a handler."""
    with suppress(OSError):  # whoever read the messages may be gone
        os.write(2, b"stopped\n")
    os._exit(STOPPED)
