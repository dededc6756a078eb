"""`UniqueNames`: gives each input of a collection a name that no other has."""

from __future__ import annotations

from .known_names import KnownNames, key_of

_MOST_COUNTS = 2**12


class UniqueNames:
    """A name that came before gets `#2`, `#3` ... at its end; memory hardly grows with them."""

    def __init__(self) -> None:
        self._known = KnownNames()
        self._again = KnownNames()  # "3 name": it came for the third time
        self._counts: dict[str, int] = {}  # of names that came again lately

    def take(self, name: str) -> str:
        """The name itself, the first time; later the first that is free with a number."""
        if self._known.add_key(key_of(name)):
            return name
        times = self._times_before(name) + 1
        self._again.add(f"{times} {name}")
        if len(self._counts) >= _MOST_COUNTS:
            self._counts.clear()
        self._counts[name] = times
        while not self._known.add(f"{name}#{times}"):
            times += 1
        return f"{name}#{times}"

    def _times_before(self, name: str) -> int:
        """How often a name came, or was given."""
        if (times := self._counts.get(name)) is not None:
            return times
        above = 2
        while f"{above} {name}" in self._again:
            above *= 2
        known = above // 2  # it came so often, and less often than `above`
        while above - known > 1:
            middle = (above + known) // 2
            if f"{middle} {name}" in self._again:
                known = middle
            else:
                above = middle
        return known
