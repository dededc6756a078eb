"""How decode workers are started: fast, with only what decoding needs, and deaf to Ctrl-C."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing import process, spawn
from typing import Any

_WORKER_NAME = "temporal-decode"
_PRELOAD = ["temporal.data.decode.isolation.worker", "pebble.pool.process"]
_lock = threading.Lock()


class WorkerContext:
    """The multiprocessing context of decode workers, as pebble takes it.

    Where there is a fork server, it imports the decoders once, beginning now; each worker is then
    forked in milliseconds and inherits no open decoder. A process whose parent started that server
    cannot use it, and starts each worker from nothing.
    """

    def __init__(self) -> None:
        has_server = "forkserver" in multiprocessing.get_all_start_methods()
        with _lock:
            _spare_main()
            if has_server:
                has_server = _start_fork_server()
        self._context: Any = multiprocessing.get_context("forkserver" if has_server else "spawn")

    def Process(self, **options: Any) -> Any:  # noqa: N802  # the name in multiprocessing
        """Make a worker process that is known by its name."""
        return self._context.Process(**{**options, "name": _WORKER_NAME})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


def _start_fork_server() -> bool:
    """Start the fork server, unless it runs, with Ctrl-C blocked in it and so in all its workers.

    A terminal sends Ctrl-C to the whole process group, also to those that are just importing and
    cannot have a handler yet. Which reads are stopped is for the parent to decide.

    Returns:
        Whether there is one now; not if the one that there was is another process's.
    """
    from multiprocessing import forkserver, resource_tracker

    multiprocessing.get_context("forkserver").set_forkserver_preload(_PRELOAD)
    resource_tracker.ensure_running()  # before the block: it lifts it when it starts
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    except ChildProcessError:  # a forked child
        return False
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
    return True


def _spare_main() -> None:
    """Keep workers from running the caller's script.

    multiprocessing runs the main script again in every process that it starts, since work may be
    defined there. Decoding is not, and a script's imports (transformers for the `temporal` command)
    take longer than everything else about a worker. Other processes than ours are left alone.
    """
    prepare = spawn.get_preparation_data
    if getattr(prepare, "spares_main", False):
        return

    def get_preparation_data(name: str) -> dict[str, Any]:
        data = prepare(name)
        if name == _WORKER_NAME:
            data.pop("init_main_from_name", None)
            data.pop("init_main_from_path", None)
        return data

    get_preparation_data.spares_main = True  # type: ignore[attr-defined]  # marks ours
    spawn.get_preparation_data = get_preparation_data


def _forget_parents_workers() -> None:
    """In a forked child: leave the workers to the parent, and take no lock of its threads.

    At its end, multiprocessing would wait for them as if they were the child's own.
    """
    global _lock
    _lock = threading.Lock()
    children: set[Any] = getattr(process, "_children", set())
    children.difference_update([child for child in children if child.name == _WORKER_NAME])


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parents_workers)
