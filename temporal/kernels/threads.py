"""A call in several threads.

Not numba's own threads: their pool ends the process when it is used after a fork or from two
threads at once, and readers live in data-loading workers and servers.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

_pools: dict[int, ThreadPoolExecutor] = {}
os.register_at_fork(after_in_child=_pools.clear)  # a fork has the pool but not its threads


def run_in_threads(run: Callable[[], None], num_threads: int) -> None:
    """Call `run` in this thread and in others, side by side, and return when all have returned.

    A thread may come late, since those of torch keep cores busy for milliseconds after they have
    worked: one that has not begun when this thread is done does not begin.

    Args:
        run: does what nobody else has begun (see `turns`) and returns when nothing is left;
            releases Python's lock while it computes.
        num_threads: at most; at least 1.
    """
    if num_threads == 1:
        run()
        return
    pool = _pools.get(num_threads)
    if pool is None:
        new = ThreadPoolExecutor(num_threads - 1, "temporal-kernel")
        pool = _pools.setdefault(num_threads, new)
    others = []
    try:
        for _ in range(num_threads - 1):
            try:
                others.append(pool.submit(run))
            except RuntimeError:  # no thread is to be had: go on with those there are
                break
        run()
    finally:
        begun = [other for other in others if not other.cancel()]
        wait(begun)  # they write to the caller's arrays
    for other in begun:
        other.result()
