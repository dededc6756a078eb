"""Sequences over threads: each takes a group of them when it is done with one.

A thread may come late, since threads of torch's spin for milliseconds after they have worked, and
readers choose how much of a sequence they compute, so that equal lengths are not equal work.

Not numba's own threads: their pool ends the process when it is used after a fork or from two
threads at once, and readers live in data-loading workers and servers.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait

_FEWEST_TOKENS = 200
"""A thread is not worth waking for less."""

_GROUPS = 4
"""Groups for each thread."""

_pools: dict[int, ThreadPoolExecutor] = {}
os.register_at_fork(after_in_child=_pools.clear)  # a fork has the pool but not its threads


def share_out(lengths: Sequence[int], num_threads: int) -> list[list[int]]:
    """Divide sequences into at most `num_threads` groups of about equal total length.

    The longest first, each to the group that has least so far.
    """
    wanted = max(1, min(num_threads, len(lengths), sum(lengths) // _FEWEST_TOKENS))
    groups: list[list[int]] = [[] for _ in range(wanted)]
    totals = [0] * wanted
    for k in sorted(range(len(lengths)), key=lambda k: -lengths[k]):
        least = min(range(wanted), key=totals.__getitem__)
        groups[least].append(k)
        totals[least] += lengths[k]
    return groups


def run_in_threads(
    run: Callable[[list[int]], None], lengths: Sequence[int], num_threads: int
) -> None:
    """Call `run(sequences)` for groups of sequence numbers, side by side.

    Args:
        run: releases Python's lock while it computes, and writes to places of its own.
        lengths: of all sequences, in tokens.
        num_threads: at most.
    """
    if num_threads == 1 or len(lengths) == 1:
        run(list(range(len(lengths))))
        return
    left = deque(share_out(lengths, _GROUPS * num_threads))

    def work() -> None:
        while True:
            try:
                group = left.popleft()
            except IndexError:
                return
            run(group)

    pool = _pools.get(num_threads)
    if pool is None:
        new = ThreadPoolExecutor(num_threads - 1, "temporal-kernel")
        pool = _pools.setdefault(num_threads, new)
    others = []
    try:
        for _ in range(min(num_threads, len(left)) - 1):
            try:
                others.append(pool.submit(work))
            except RuntimeError:  # no thread is to be had: go on with those there are
                break
        work()
    finally:
        left.clear()  # if this thread has failed
        begun = [other for other in others if not other.cancel()]
        wait(begun)  # they write to the caller's arrays
    for other in begun:
        other.result()
