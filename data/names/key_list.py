"""`KeyList`: names to look up later, in their order, of which no process holds many."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterable, Iterator
from typing import IO

from .keys import KEY_BYTES, key_of

_MOST_BYTES = 2**20


class KeyList:
    """Keys of names (`keys.key_of`), 16 bytes each, on disk where there is room."""

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

    def extend(self, keys: Iterable[bytes]) -> None:
        """Add what many names are known by."""
        start = len(self._recent)
        self._recent += b"".join(keys)
        self._count += (len(self._recent) - start) // KEY_BYTES
        if len(self._recent) >= _MOST_BYTES and not self._is_refused:
            self._store()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[bytes]:
        for keys in self.pieces():
            yield from keys

    def pieces(self) -> Iterator[list[bytes]]:
        """Yield all keys, some of them at a time."""
        if self._file is not None:
            place = 0
            while self._file.seek(place) == place and (data := self._file.read(_MOST_BYTES)):
                place += len(data)
                yield _keys_in(data)
        for start in range(0, len(self._recent), _MOST_BYTES):
            yield _keys_in(bytes(self._recent[start : start + _MOST_BYTES]))

    def _store(self) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # as long as this
                weakref.finalize(self, self._file.close)
            start = self._file.seek(0, 2)
            if self._file.write(self._recent) != len(self._recent):
                self._file.truncate(start)
                self._is_refused = True
            else:
                self._recent = bytearray()
        except OSError:  # full, read-only: memory has room
            self._is_refused = True


def _keys_in(data: bytes) -> list[bytes]:
    return [data[place : place + KEY_BYTES] for place in range(0, len(data), KEY_BYTES)]
