"""`KnownNames`: a set of names whose memory hardly grows with their number.

A name is known by 128 bits of its BLAKE2b digest, however long it is. The last few are in memory;
what came before lies sorted in files without a name (`sorted_keys`): 16 bytes a name there, and 2
to 4 bytes of a filter in memory, which answers for nearly all names that are new.

Two of n names have one key with a probability below n² / 2^129: 1.5e-25 for 10^7 names, 1.5e-23 for
10^8. Then the second one would pass for known.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .sorted_keys import SortedKeys

KEY_BYTES = 16
_MOST_RECENT = 2**16


_last = ("", blake2b(digest_size=KEY_BYTES).digest())


def key_of(name: str) -> bytes:
    """What a name is known by; also one with what UTF-8 does not have (lone surrogates)."""
    global _last  # the same name is often asked for again at once, by another set
    last, key = _last
    if name is not last:
        key = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).digest()
        _last = name, key
    return key


class KnownNames:
    """Names that can be added and looked up, and not listed; used by one thread at a time.

    Args:
        names: Those that it begins with.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._recent: set[bytes] = set()
        self._stored: SortedKeys | None = None
        self.update(names)

    def add(self, name: str) -> bool:
        """Add a name; return whether it is new."""
        return self.add_key(key_of(name))

    def add_key(self, key: bytes) -> bool:
        """The same of what a name is known by (`key_of`)."""
        if key in self._recent or (self._stored is not None and key in self._stored):
            return False
        self._recent.add(key)
        if len(self._recent) >= _MOST_RECENT:
            self._store()
        return True

    def update(self, names: Iterable[str]) -> None:
        """Add many names."""
        for name in names:
            self.add(name)

    def settle(self) -> None:
        """Be told that names are looked up from here on, and hardly added: that gets faster."""
        if self._stored is not None:
            self._store()
            self._stored.settle()

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
