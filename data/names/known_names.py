"""`KnownNames`: a set of names whose memory hardly grows with their number.

A name is known by its key (`keys`). The last few are in memory; what came before lies sorted in
files without a name (`sorted_keys`): 16 bytes a name there, and 2 to 4 bytes of a filter in memory,
which answers for nearly all names that are new.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from .key_list import KeyList
from .keys import key_of as key_of
from .keys import keys_of

if TYPE_CHECKING:
    from .sorted_keys import SortedKeys

_MOST_RECENT = 2**16


class KnownNames:
    """Names that can be added and looked up, and not listed; used by one thread at a time.

    Args:
        names: Those that it begins with.
        keeps_order: Keep in which order they are added, on disk: 16 bytes a name.
    """

    def __init__(self, names: Iterable[str] = (), *, keeps_order: bool = False) -> None:
        self._recent: set[bytes] = set()
        self._stored: SortedKeys | None = None
        self._order = KeyList() if keeps_order else None
        self.update(names)

    def add(self, name: str) -> bool:
        """Add a name; return whether it is new."""
        return self.add_key(key_of(name))

    def add_key(self, key: bytes) -> bool:
        """The same of what a name is known by (`key_of`)."""
        if key in self._recent or (self._stored is not None and key in self._stored):
            return False
        self._recent.add(key)
        if self._order is not None:
            self._order.append_key(key)
        if len(self._recent) >= _MOST_RECENT:
            self._store()
        return True

    def put_keys(self, keys: Collection[bytes]) -> None:
        """Add what names are known by that are certainly new."""
        self._recent.update(keys)
        if self._order is not None:
            self._order.extend(keys)
        if len(self._recent) >= _MOST_RECENT:
            self._store()

    def update(self, names: Iterable[str]) -> None:
        """Add many names, which takes less time than one by one."""
        for keys in keys_of(names):
            recent = self._recent
            new: Sequence[bytes] = [key for key in dict.fromkeys(keys) if key not in recent]
            if self._stored is not None:
                new = self._stored.new_of(new)
            self.put_keys(new)

    def settle(self) -> None:
        """Be told that names are looked up from here on, and hardly added: that gets faster."""
        if self._stored is not None:
            self._store()
            self._stored.settle()

    def in_order(self) -> Iterator[list[bytes]]:
        """Yield what they are known by as they were added, many at a time; nothing without order.

        No name may be added meanwhile.
        """
        return iter(()) if self._order is None else self._order.pieces()

    def has_key(self, key: bytes) -> bool:
        """Whether a name that is known by this was added."""
        return key in self._recent or (self._stored is not None and key in self._stored)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.has_key(key_of(name))

    def __len__(self) -> int:
        return len(self._recent) + (0 if self._stored is None else len(self._stored))

    def _store(self) -> None:
        if self._stored is None:
            from .sorted_keys import SortedKeys  # few have so many names as to need it

            self._stored = SortedKeys()
        self._stored.put(self._recent)
        self._recent.clear()
