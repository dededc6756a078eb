"""`SortedKeys`: keys of 16 bytes in sorted runs, on disk where there is room for them.

What is put is a run of its own; eight runs of a size are merged, a block at a time, so that memory
stays small. The files have no name: they are gone with the process, however it ends.
"""

from __future__ import annotations

import mmap
import tempfile
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from struct import Struct

import numpy as np

from .key_filter import KeyFilter

_SPLIT = Struct("=QQ").unpack
_FAN_IN = 8
_BLOCK = 2**17
"""Keys of a block that is merged in memory: some 10 MB with all that this needs."""

_KEYS_PER_START = 64
_LEAST_CAPACITY = 2**18
_LOOKS = 2**14
"""Look-ups in files after which their pages are let go of: they are the kernel's to keep."""

_Blocks = Iterator[tuple[np.ndarray, np.ndarray]]


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
        pairs = np.frombuffer(b"".join(keys), np.uint64).reshape(-1, 2)
        order = np.argsort(pairs[:, 0])
        high, low = pairs[order, 0], pairs[order, 1]
        self._count += len(pairs)
        self._runs.append((0, _Run(lambda: iter([(high, low)]), len(pairs))))
        if self._count <= self._filter.capacity:
            self._filter.add(high, low)
        else:
            self._make_filter()
        while len(last := self._last_of_a_tier()) == _FAN_IN:
            self._merge(last)

    def __contains__(self, key: bytes) -> bool:
        high, low = _SPLIT(key)
        if not self._filter.may_hold(high, low):
            return False
        self._looks += 1
        if self._looks >= _LOOKS:
            self._looks = 0
            for _, run in self._runs:
                run.let_go()
        return any(run.has(high, low) for _, run in self._runs)

    def settle(self) -> None:
        """Merge all runs into one."""
        if len(self._runs) > 1:
            self._merge(self._runs)

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
            for high, low in _merged([run]):
                self._filter.add(high, low)
            run.let_go()


class _Run:
    """Sorted keys: all first halves, and all second ones in the order of the first.

    Args:
        blocks: gives them, block by block; again where the disk does not take them.
        count: how many there are.
    """

    def __init__(self, blocks: Callable[[], _Blocks], count: int) -> None:
        self._maps: list[mmap.mmap] = []
        try:
            self.high, self.low = self._on_disk(blocks())
        except (OSError, ValueError):  # full, read-only, no such place: memory has room
            pairs = list(blocks())
            self.high, self.low = (np.concatenate([pair[i] for pair in pairs]) for i in range(2))
        self._high, self._low = self.high.data, self.low.data
        # Keys are as good as random, so that each of these stretches has as many, nearly.
        bits = max(count // _KEYS_PER_START, 1).bit_length()
        self._shift = 64 - bits
        edges = np.arange(1 << bits, dtype=np.uint64) << np.uint64(self._shift)
        starts = np.append(np.searchsorted(self.high, edges), count).astype(np.uint64)
        self._starts = starts.data
        self.let_go()

    def __len__(self) -> int:
        return len(self._high)

    def has(self, high: int, low: int) -> bool:
        """Whether a key is there."""
        stretch = high >> self._shift
        keys, end = self._high, self._starts[stretch + 1]
        place = bisect_left(keys, high, self._starts[stretch], end)
        while place < end and keys[place] == high:
            if self._low[place] == low:
                return True
            place += 1
        return False

    def let_go(self) -> None:
        """Have no page of the files in this process."""
        if hasattr(mmap, "MADV_DONTNEED"):  # not everywhere
            for one in self._maps:
                one.madvise(mmap.MADV_DONTNEED)

    def _on_disk(self, blocks: _Blocks) -> tuple[np.ndarray, np.ndarray]:
        with tempfile.TemporaryFile() as first, tempfile.TemporaryFile() as second:
            for high, low in blocks:
                first.write(np.ascontiguousarray(high).data)
                second.write(np.ascontiguousarray(low).data)
            for file in (first, second):
                file.flush()
                self._maps.append(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        high, low = (np.frombuffer(one, np.uint64) for one in self._maps)
        return high, low


def _merged(runs: Sequence[_Run]) -> _Blocks:
    """The keys of all runs in order, in blocks that fit in memory."""
    pieces = max(1, sum(map(len, runs)) // _BLOCK)
    starts = [0] * len(runs)
    for piece in range(1, pieces + 1):
        if piece == pieces:
            ends = [len(run) for run in runs]
        else:
            edge = np.uint64((piece << 64) // pieces)
            ends = [int(np.searchsorted(run.high, edge)) for run in runs]
        places = [slice(*ends_of) for ends_of in zip(starts, ends, strict=True)]
        high = _joined(run.high[place] for run, place in zip(runs, places, strict=True))
        low = _joined(run.low[place] for run, place in zip(runs, places, strict=True))
        order = np.argsort(high, kind="stable")
        yield high[order], low[order]
        for run in runs:
            run.let_go()
        starts = ends


def _joined(arrays: Iterable[np.ndarray]) -> np.ndarray:
    return np.concatenate(list(arrays))
