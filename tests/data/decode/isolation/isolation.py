"""Looking at the workers of a `DecodePool` from outside."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from multiprocessing.connection import Connection

import psutil


def workers() -> list[psutil.Process]:
    """The decode workers of this process: what its fork server has forked."""
    found = []
    for server in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if "forkserver" in " ".join(server.cmdline()):
                found += server.children()
    return found


def ended(processes: list[psutil.Process]) -> bool:
    """Whether all of them end soon."""
    return not psutil.wait_procs(processes, timeout=10)[1]


def shared_memory_of(pid: int | str) -> list[str]:
    """The pieces of shared memory for frames that a process holds: descriptors and mappings."""
    held = []
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):  # the one that lists them is gone
            held.append(f"{descriptor}: " + os.readlink(f"/proc/{pid}/fd/{descriptor}"))
    with open(f"/proc/{pid}/maps") as maps:
        held += [line.strip() for line in maps]
    return [text for text in held if "temporal-frames" in text]


@contextlib.contextmanager
def counted_pipe(monkeypatch) -> Iterator[list[int]]:
    """Sizes in bytes of the messages that this process gets through pipes."""
    sizes: list[int] = []
    receive = Connection._recv_bytes  # type: ignore[attr-defined]

    def count(self, *args):
        message = receive(self, *args)
        sizes.append(len(message.getvalue()))
        return message

    with monkeypatch.context() as patch:
        patch.setattr(Connection, "_recv_bytes", count)
        yield sizes
