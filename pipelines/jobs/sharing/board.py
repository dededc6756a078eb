"""`Board`: what the ranks of a run tell each other, in a store of `torch.distributed`."""

from __future__ import annotations

import pickle
import threading
from typing import Any

_PIECE_BYTES = 4 * 2**20
"""The store takes no more than 8 MiB at once."""


class BoardLost(Exception):
    """The store is gone, and with it whoever held it: the run can be resumed."""


class Board:
    """Numbers and values by name, the same for all ranks.

    Args:
        store: of `torch.distributed`; used by several threads of this process.
        rank: this process.
        world_size: of them all.
    """

    def __init__(self, store: Any, rank: int, world_size: int) -> None:
        self.rank = rank
        self.world_size = world_size
        self._store = store
        self._lock = threading.Lock()

    def add(self, name: str, amount: int = 1) -> int:
        """Add to a number, 0 at first, and return the sum: no two ranks are given the same."""
        return int(self._call("add", name, amount))

    def number(self, name: str) -> int:
        """A number as it is."""
        return self.add(name, 0)

    def put(self, name: str, value: Any) -> None:
        """Write a value; it is there as a whole or not at all."""
        data = pickle.dumps(value)
        first, rest = data[:_PIECE_BYTES], range(_PIECE_BYTES, len(data), _PIECE_BYTES)
        for number, start in enumerate(rest, start=1):
            self._call("set", f"{name}/{number}", data[start : start + _PIECE_BYTES])
        self._call("set", name, len(rest).to_bytes(4, "big") + first)

    def get(self, name: str) -> Any:
        """Read a value; None where there is none (any more)."""
        with self._lock:  # between the look and the reading no thread of this rank removes it
            if not self._call("check", [name]):
                return None
            try:
                first = self._call("get", name)
                pieces = [first[4:]]
                for number in range(1, int.from_bytes(first[:4], "big") + 1):
                    pieces.append(self._call("get", f"{name}/{number}"))
            except BoardLost:
                if not self._call("check", [name]):  # another rank removed it meanwhile
                    return None
                raise
        return pickle.loads(b"".join(pieces))

    def has(self, name: str) -> bool:
        """Whether there is a value."""
        return bool(self._call("check", [name]))

    def remove(self, name: str) -> bool:
        """Remove a value; True for one of the ranks that do so, False for the others."""
        with self._lock:
            count = 0
            if self._call("check", [f"{name}/1"]):
                count = int.from_bytes(self._call("get", name)[:4], "big")
            was_there = bool(self._call("delete_key", name))
            for number in range(1, count + 1):
                self._call("delete_key", f"{name}/{number}")
            return was_there

    def _call(self, method: str, *arguments: Any) -> Any:
        try:
            return getattr(self._store, method)(*arguments)
        except RuntimeError as error:  # all that torch raises of a store
            first = (str(error).splitlines() or [""])[0]
            raise BoardLost(f"the ranks cannot reach each other any more ({first})") from error
