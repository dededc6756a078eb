"""`RollCall`: says of each name that comes whether it came before, and whether it is expected.

The rows of a run lie in the order of its inputs, so that one that is gone on with meets their names
in the order in which it found them. A name that is among the next ones is looked up in a set of
these in memory; only what comes out of order is searched for.
"""

from __future__ import annotations

from typing import Literal

from .known_names import KnownNames

Met = Literal["new", "expected", "again"]

_MOST_EARLY = 2**12
"""Names out of order with which those behind the present ones are taken for the next."""

_MOST_HELD = 2**16
"""Such names in memory; with more of them there is no order to go by."""


class RollCall:
    """Used by one thread; memory hardly grows with the names.

    Args:
        expected: Names that may come, in whatever order they were added (`keeps_order`); none is
            added any more.
    """

    def __init__(self, expected: KnownNames) -> None:
        self._expected = expected
        self._met = KnownNames()
        self._pieces = expected.in_order()
        self._piece: set[bytes] = (
            set()
        )  # names next to each other, those of them that came included
        self._next: set[bytes] = set()  # those of them that did not
        self._early: set[bytes] = set()  # names that were met, and are still to come in the order
        self._early_since = 0
        self._go_on()

    def meet(self, key: bytes) -> Met:
        """Meet a name.

        Args:
            key: What it is known by (`key_of`).

        Returns:
            `"again"`: it was met before; else whether it is `"expected"` or `"new"`.
        """
        coming = self._next
        if key in coming:
            coming.remove(key)
            if not coming:
                self._go_on()
            return "expected"
        if key in self._piece or not self._met.add_key(key):
            return "again"
        if not self._expected.has_key(key):
            return "new"
        self._note_early(key)
        return "expected"

    def _go_on(self) -> None:
        """Take the names behind the present ones for the next."""
        self._early_since = 0
        self._met.put_keys(self._piece - self._next)
        self._piece = set()
        for keys in self._pieces:
            self._piece = set(keys) - self._early
            self._early.difference_update(keys)
            if self._piece:
                break
        self._next = set(self._piece)

    def _note_early(self, key: bytes) -> None:
        self._early.add(key)
        self._early_since += 1
        if len(self._early) >= _MOST_HELD:
            self._pieces = iter(())
            self._early.clear()
            self._go_on()
        elif self._early_since >= _MOST_EARLY:
            self._go_on()
