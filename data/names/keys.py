"""What a name is known by: 128 bits of its BLAKE2b digest, however long it is.

Two of n names have one key with a probability below n² / 2^129: 1.5e-25 for 10^7 names, 1.5e-23 for
10^8. Then the second one would pass for known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import islice

KEY_BYTES = 16

_AT_ONCE = 2**12

_last = ("", blake2b(digest_size=KEY_BYTES).digest())


def key_of(name: str) -> bytes:
    """What a name is known by; also one with what UTF-8 does not have (lone surrogates)."""
    global _last  # the same name is often asked for again at once, by another set
    last, key = _last
    if name is not last:
        key = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).digest()
        _last = name, key
    return key


def keys_of(names: Iterable[str]) -> Iterator[list[bytes]]:
    """The same of many names, some of them at a time."""
    names = iter(names)
    while some := list(islice(names, _AT_ONCE)):
        yield [
            blake2b(name.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).digest()
            for name in some
        ]
