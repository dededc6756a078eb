"""`KeyFilter`: says of nearly all keys that are not in a set that they are not (a Bloom filter).

All bits of a key lie in one word of 64 bits, so that it is looked up in one place.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_KEYS_PER_WORD = 4
"""16 bits a key: of 200 keys that are not there, about one passes."""


class KeyFilter:
    """A filter of keys, each two numbers of 64 bits that are as good as random.

    Args:
        capacity: keys that it is made for; it takes 2 to 4 bytes for each.
    """

    def __init__(self, capacity: int) -> None:
        bits = max(1, capacity // _KEYS_PER_WORD - 1).bit_length()
        self.capacity = _KEYS_PER_WORD << bits
        self._mask = (1 << bits) - 1
        self._words = np.zeros(1 << bits, np.uint64)
        self._view = self._words.data  # its items are plain numbers at once

    def add(self, high: np.ndarray, low: np.ndarray) -> None:
        """Add keys, as two arrays of `uint64`."""
        np.bitwise_or.at(self._words, self._places(high), _pattern(low))

    def may_hold(self, high: int, low: int) -> bool:
        """Whether a key may be there; False is certain."""
        word = self._view[high & self._mask]
        if not word >> (low & 63) & 1:  # so it is for most that are not there, and takes half
            return False
        pattern: int = _pattern(low)
        return word & pattern == pattern

    def may_hold_each(self, high: np.ndarray, low: np.ndarray) -> np.ndarray:
        """The same of many keys, bool."""
        pattern = _pattern(low)
        held: np.ndarray = self._words[self._places(high)] & pattern == pattern
        return held

    def _places(self, high: np.ndarray) -> np.ndarray:
        return (high & np.uint64(self._mask)).astype(np.intp)


def _pattern(low: Any) -> Any:
    """Four bits of a word (some of them may be one), of a number or of an array of them."""
    return 1 << (low & 63) | 1 << (low >> 6 & 63) | 1 << (low >> 12 & 63) | 1 << (low >> 18 & 63)
