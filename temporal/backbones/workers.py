"""Rows side by side: each worker computes its own, by one thread, and waits for no other.

Torch's own way, all threads at one layer of all rows, has them wait for each other at every layer:
where a core is busy otherwise, for long.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Lock
from typing import Any, TypeVar

import torch
from torch import Tensor

_Given = TypeVar("_Given")
_Result = TypeVar("_Result")


class _Workers:
    """The workers of this process; more are started when more are asked for."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.number = 0
        self.pool: ThreadPoolExecutor | None = None

    def get(self, number: int) -> ThreadPoolExecutor:
        with self.lock:
            if self.pool is None or self.number < number:
                self.pool, self.number = _start(number), number
            return self.pool


def _start(number: int) -> ThreadPoolExecutor:
    # A thread's number of threads is its own, but what was set last is what new threads begin with.
    before = torch.get_num_threads()
    started = Barrier(number + 1)

    def begin() -> None:
        torch.get_num_threads()  # the first question sets it to what others have
        torch.set_num_threads(1)
        started.wait()

    pool = ThreadPoolExecutor(number, "temporal-rows")
    for _ in range(number):
        pool.submit(begin)
    started.wait()
    torch.set_num_threads(before)
    return pool


_workers = _Workers()
if hasattr(os, "register_at_fork"):  # a fork has none of its parent's threads
    os.register_at_fork(after_in_child=_workers.__init__)  # type: ignore[misc]


def beside(fn: Callable[..., _Result], *args: Any) -> _Result:
    """Call a function in a thread that has one thread of torch, where nobody counts operations."""
    return _workers.get(1).submit(fn, *args).result()


def map_rows(fn: Callable[[Tensor], Tensor], pieces: Sequence[Tensor]) -> list[Tensor]:
    """Call a function for each piece of a batch, by as many workers as torch has threads.

    In this thread, one after the other, where only it would be seen: while operations are counted
    or recorded.
    """
    number = min(torch.get_num_threads(), len(pieces))
    if number == 1 or torch._C._len_torch_dispatch_stack() or torch._C._len_torch_function_stack():
        return [fn(piece) for piece in pieces]
    inference = torch.is_inference_mode_enabled()

    def run(piece: Tensor) -> Tensor:
        with torch.inference_mode() if inference else torch.no_grad():
            return fn(piece)

    return list(_workers.get(torch.get_num_threads()).map(run, pieces))
