"""`KeyList`: names to look up later, in their order, of which no process holds many."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import IO

from .known_names import KEY_BYTES, key_of

_MOST_BYTES = 2**20


class KeyList:
    """Keys of names (`known_names.key_of`), 16 bytes each, on disk where there is room."""

    def __init__(self) -> None:
        self._recent = bytearray()
        self._file: IO[bytes] | None = None
        self._count = 0
        self._is_refused = False

    def append(self, name: str) -> None:
        """Add a name."""
        self.append_key(key_of(name))

    def append_key(self, key: bytes) -> None:
        """Add what a name is known by."""
        self._recent += key
        self._count += 1
        if len(self._recent) >= _MOST_BYTES and not self._is_refused:
            self._store()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[bytes]:
        if self._file is not None:
            self._file.seek(0)
            while data := self._file.read(_MOST_BYTES):
                yield from _keys_in(data)
        yield from _keys_in(bytes(self._recent))

    def _store(self) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # as long as this
            start = self._file.seek(0, 2)
            if self._file.write(self._recent) != len(self._recent):
                self._file.truncate(start)
                self._is_refused = True
            else:
                self._recent = bytearray()
        except OSError:  # full, read-only: memory has room
            self._is_refused = True


def _keys_in(data: bytes) -> Iterator[bytes]:
    return (data[place : place + KEY_BYTES] for place in range(0, len(data), KEY_BYTES))
