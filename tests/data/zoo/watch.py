"""Witnesses: who opens a file, and who calls a port. They see a decoder's own calls, too."""

from __future__ import annotations

import ctypes
import os
import select
import socket
import struct
import sys
import threading
from pathlib import Path

_OPENED = 0x20  # IN_OPEN


class OpenWatch:
    """Counts how often a file is opened, by whomever: the kernel tells (Linux only)."""

    is_possible = sys.platform == "linux"

    def __init__(self, path: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._queue = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if libc.inotify_add_watch(self._queue, os.fsencode(path), _OPENED) < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch", str(path))

    def count(self) -> int:
        """Return how often since the last call."""
        found = 0
        while select.select([self._queue], [], [], 0)[0]:
            data = os.read(self._queue, 65536)
            place = 0
            while place < len(data):
                found += 1
                place += 16 + struct.unpack_from("I", data, place + 12)[0]
        return found

    def close(self) -> None:
        """Stop watching."""
        os.close(self._queue)


class Listener:
    """A port of this machine that hangs up on every caller and counts them."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.calls = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                caller, _ = self._socket.accept()
            except OSError:
                return  # closed
            self.calls += 1
            caller.close()

    def close(self) -> None:
        """Stop listening."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(timeout=5)
