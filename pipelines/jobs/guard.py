"""A rank and its guard: the launcher sees the guard, so that one dead rank does not end all others.

`torchrun` and `accelerate launch` end every rank when one ends badly. Here the process that they
start only waits for a child, which is the rank, and imports next to nothing before that is dead.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import NoReturn

from temporal.stopping import STOPPED, handling

_ENDED_BY_ITSELF = (0, 2, 3, 4, STOPPED)
"""Exit codes of the command line that are no accident."""

_POLL_SECONDS = 0.2


def guard_rank() -> None:
    """Return in a child of this process, where a launcher started it as one of several ranks.

    The parent leaves with the child's exit code. When the child dies, it lets the other ranks know
    and stays until they have done the rest.
    """
    is_launched = os.environ.get("TORCHELASTIC_RUN_ID") and os.environ.get("WORLD_SIZE") != "1"
    if not is_launched or not hasattr(os, "fork") or threading.active_count() > 1:
        return
    parent_lives, held_open = os.pipe()
    rank = os.fork()
    if rank == 0:
        os.close(held_open)
        threading.Thread(target=_end_with, args=(parent_lives,), daemon=True).start()
        return
    os.close(parent_lives)
    code = 1
    try:
        code = _wait_for(rank)
    finally:
        os._exit(code)


def _end_with(parent_lives: int) -> None:
    """Ask this process to stop once its parent is gone."""
    os.read(parent_lives, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def _wait_for(rank: int) -> int:
    told = 0

    def pass_on(number: int, frame: object) -> None:
        nonlocal told
        told = number
        os.kill(rank, number)

    with handling(pass_on):
        code = os.waitstatus_to_exitcode(os.waitpid(rank, 0)[1])
    if code in _ENDED_BY_ITSELF:
        return code
    if told:
        return STOPPED
    if code < 0:
        name = signal.Signals(-code).name
        print(
            f"\nrank {os.environ.get('RANK')} was ended by {name}; others read what it had taken",
            file=sys.stderr,
            flush=True,
        )
    with handling(_stop):
        return _others_do_the_rest(code)


def _stop(number: int, frame: object) -> NoReturn:
    os._exit(STOPPED)


def _others_do_the_rest(code: int) -> int:
    """Tell the others, and wait for them; the exit code is that of the run."""
    import torch.distributed as dist

    from .sharing.board import Board, BoardLost

    store, rank, world_size = next(dist.rendezvous("env://"))
    board = Board(dist.PrefixStore("temporal", store), rank, world_size)
    try:
        if not board.has("ready"):  # the others wait for it in vain: they are to be ended
            return code if code > 0 else 128 - code
        if not board.has(f"dead/{rank}"):
            board.put(f"dead/{rank}", True)
            board.add("deaths")
        while not board.has("over"):
            if board.has("stop") or board.number("deaths") >= world_size:
                return STOPPED
            time.sleep(_POLL_SECONDS)
    except BoardLost:
        return STOPPED
    return 0
