"""`SortedKeys`: keys of 16 bytes in sorted runs, on disk where there is room for them.

What is put is a run of its own; eight runs of a size are merged, a block at a time, so that memory
stays small. The files have no name: they are gone with the process, however it ends.
"""

from __future__ import annotations

import mmap
import tempfile
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Sequence
from struct import Struct

import numpy as np

from .key_filter import KeyFilter

_KEY_BYTES = 16
_SPLIT = Struct("=QQ").unpack
_FAN_IN = 8
_BLOCK = 2**17
"""Keys of a block that is merged in memory: some 10 MB with all that this needs."""

_KEYS_PER_START = 32
_LEAST_CAPACITY = 2**18
_LOOKS = 2**14
"""Look-ups in files after which their pages are let go of: they are the kernel's to keep."""

_Blocks = Iterator[np.ndarray]
"""Of keys, `uint64` `[n, 2]`, in the order of their first halves."""


class SortedKeys:
    """A set of keys; none is put twice."""

    def __init__(self) -> None:
        self._runs: list[tuple[int, _Run]] = []  # each with its tier, the largest first
        self._filter = KeyFilter(_LEAST_CAPACITY)
        self._count = self._looks = 0

    def __len__(self) -> int:
        return self._count

    def put(self, keys: Collection[bytes]) -> None:
        """Add keys that are not there yet."""
        if not keys:
            return
        pairs = _pairs(keys)
        pairs = pairs[np.argsort(pairs[:, 0])]
        self._count += len(pairs)
        self._runs.append((0, _Run(lambda: iter([pairs]), len(pairs))))
        if self._count <= self._filter.capacity:
            self._filter.add(*pairs.T)
        else:
            self._make_filter()
        while len(last := self._last_of_a_tier()) == _FAN_IN:
            self._merge(last)

    def __contains__(self, key: bytes) -> bool:
        high, low = _SPLIT(key)
        return self._filter.may_hold(high, low) and self._finds(key, high)

    def new_of(self, keys: Sequence[bytes]) -> Sequence[bytes]:
        """Those of some keys that are not there."""
        if not keys:
            return keys
        pairs = _pairs(keys)
        may_be_there = self._filter.may_hold_each(*pairs.T)
        if not may_be_there.any():
            return keys
        return [
            key
            for key, high, may in zip(keys, pairs[:, 0].tolist(), may_be_there, strict=True)
            if not (may and self._finds(key, high))
        ]

    def settle(self) -> None:
        """Merge all runs into one."""
        if len(self._runs) > 1:
            self._merge(self._runs)

    def _finds(self, key: bytes, high: int) -> bool:
        self._looks += 1
        if self._looks >= _LOOKS:
            self._looks = 0
            for _, run in self._runs:
                run.let_go()
        for _, run in self._runs:  # noqa: SIM110  # `any` takes twice as long
            if run.has(key, high):
                return True
        return False

    def _last_of_a_tier(self) -> list[tuple[int, _Run]]:
        last = self._runs[-_FAN_IN:]
        return [pair for pair in last if pair[0] == last[-1][0]]

    def _merge(self, runs: Sequence[tuple[int, _Run]]) -> None:
        """Make one run of the last ones."""
        sources = [run for _, run in runs]
        count = sum(map(len, sources))
        merged = _Run(lambda: _merged(sources), count)
        self._runs[-len(runs) :] = [(runs[0][0] + 1, merged)]

    def _make_filter(self) -> None:
        self._filter = KeyFilter(self._count)
        for _, run in self._runs:
            for pairs in _merged([run]):
                self._filter.add(*pairs.T)
            run.let_go()


class _Run:
    """Sorted keys.

    Args:
        blocks: gives them, block by block; again where the disk does not take them.
        count: how many there are.
    """

    def __init__(self, blocks: Callable[[], _Blocks], count: int) -> None:
        self._data: mmap.mmap | bytes
        try:
            self._data = self._on_disk(blocks())
        except (OSError, ValueError):  # full, read-only, no such place: memory has room
            self._data = b"".join(pairs.tobytes() for pairs in blocks())
        self.pairs = np.frombuffer(self._data, np.uint64).reshape(-1, 2)
        """The keys, as they lie."""
        # They are as good as random, so that each of these stretches has as many, nearly.
        bits = max(count // _KEYS_PER_START, 1).bit_length()
        self._shift = 64 - bits
        starts = np.zeros((1 << bits) + 1, np.int64)
        for first in range(0, count, _BLOCK):
            stretches = self.pairs[first : first + _BLOCK, 0] >> np.uint64(self._shift)
            starts[1:] += np.bincount(stretches.astype(np.intp), minlength=1 << bits)
        self._starts = (np.cumsum(starts) * _KEY_BYTES).data
        self.let_go()

    def __len__(self) -> int:
        return len(self.pairs)

    def has(self, key: bytes, high: int) -> bool:
        """Whether a key, whose first half is `high`, is there."""
        stretch, starts = high >> self._shift, self._starts
        keys = self._data[starts[stretch] : starts[stretch + 1]]
        place = keys.find(key)
        while place % _KEY_BYTES:  # halves of two keys, or -1
            if place < 0:
                return False
            place = keys.find(key, place + 1)
        return True

    def first_from(self, high: int) -> int:
        """Where the first key lies whose first half is no less than this."""
        return bisect_left(self.pairs[:, 0], np.uint64(high))

    def let_go(self) -> None:
        """Have no page of the file in this process."""
        if isinstance(self._data, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):  # not everywhere
            self._data.madvise(mmap.MADV_DONTNEED)

    @staticmethod
    def _on_disk(blocks: _Blocks) -> mmap.mmap:
        with tempfile.TemporaryFile() as file:
            for pairs in blocks:
                file.write(np.ascontiguousarray(pairs).data)
            file.flush()
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _pairs(keys: Collection[bytes]) -> np.ndarray:
    """Keys as two numbers each, `uint64` `[n, 2]`."""
    return np.frombuffer(b"".join(keys), np.uint64).reshape(-1, 2)


def _merged(runs: Sequence[_Run]) -> _Blocks:
    """The keys of all runs in order, in blocks that fit in memory."""
    pieces = max(1, sum(map(len, runs)) // _BLOCK)
    starts = [0] * len(runs)
    for piece in range(1, pieces + 1):
        if piece == pieces:
            ends = [len(run) for run in runs]
        else:
            ends = [run.first_from((piece << 64) // pieces) for run in runs]
        pairs = np.concatenate(
            [run.pairs[start:end] for run, start, end in zip(runs, starts, ends, strict=True)]
        )
        yield pairs[np.argsort(pairs[:, 0], kind="stable")]
        for run in runs:
            run.let_go()
        starts = ends
