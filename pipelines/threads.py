"""Threads of the model beside other processes: no more than the cores that are free.

A product over two threads waits for the slower one. Where another process keeps a core busy, that
is the rule, and a video then takes longer with two threads than with one (2 to 70 times, measured).
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator
from typing import TypeVar

import torch

_Result = TypeVar("_Result")
_CHOSEN_BY = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_DEFAULT = torch.get_num_threads()
_LOAD = "/proc/loadavg"
_LOOKS = 5
_SECONDS_BETWEEN_LOOKS = 0.005
_KNOWN_SECONDS = 30.0  # one text takes less than a look
_known: tuple[float, int | None] | None = None  # until when, and how many others run


def model_threads() -> int:
    """How many threads the model takes: what the user chose, or at most the cores that are free.

    Looks for some 20 ms, at most every 30 s. A number that a variable of the environment says, or
    that `torch.set_num_threads` set, stays as it is, and keeps results the same bit for bit
    whatever else runs: a sum over other threads is rounded otherwise.
    """
    now = torch.get_num_threads()
    if now == 1 or now != _DEFAULT or any(os.environ.get(name) for name in _CHOSEN_BY):
        return now
    if (others := _others()) is None:
        return now
    return max(1, min(now, (os.cpu_count() or now) - others))


def _others() -> int | None:
    """Threads of the machine that keep a core busy besides this one; None: not told."""
    global _known
    if _known is not None and time.monotonic() < _known[0]:
        return _known[1]
    looks = [num_running()]
    while looks[-1] is not None and len(looks) < _LOOKS:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
        looks.append(num_running())
    told = [look for look in looks if look is not None]
    # What runs for a moment only is no neighbour.
    others = max(0, min(told) - 1) if told else None
    _known = (time.monotonic() + _KNOWN_SECONDS, others)
    return others


def num_running() -> int | None:
    """Threads of the machine that run or wait for a core, this one included; None: not told."""
    try:
        with open(_LOAD, encoding="ascii") as file:
            return int(file.read().split()[3].partition("/")[0])
    except (OSError, ValueError, IndexError):
        return None


def with_threads(results: Iterator[_Result]) -> Generator[_Result, None, None]:
    """Yield what comes, made with `model_threads()` threads; outside, they are as they were."""
    try:
        num_threads = model_threads()
        while True:
            before = torch.get_num_threads()
            torch.set_num_threads(num_threads)
            try:
                result = next(results)
            except StopIteration:
                return
            finally:
                torch.set_num_threads(before)
            yield result
    finally:
        close = getattr(results, "close", None)
        if close is not None:
            close()
