"""In which order rows are read in an epoch, and by whom: seeded, without repeats or losses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """The order of one epoch, and the share of one worker in it."""

    shuffle: bool
    """Rows are read in another order in each epoch; else as they are listed."""

    buffer_size: int
    """Rows of a stream that are shuffled among each other."""

    seed: int
    epoch: int

    shard: int
    """Which of the shares is read, from 0."""

    num_shards: int
    """Ranks times workers: so many shares, which differ by one row at most."""

    def own_rows(self, count: int) -> NDArray[np.int64]:
        """The rows of this share of `count`, in the order in which they are read."""
        if not self.shuffle:
            return np.arange(self.shard, count, self.num_shards)
        # The same in all workers: each takes every so-many-th row of one permutation.
        order = np.random.default_rng([self.seed, self.epoch]).permutation(count)
        return order[self.shard :: self.num_shards].copy()

    def own_block(self, block: int, count: int) -> NDArray[np.int64]:
        """The order of `count` rows that a stream gave for the buffer, for the so-many-th time."""
        if not self.shuffle:
            return np.arange(count)
        return np.random.default_rng([self.seed, self.epoch, self.shard, block]).permutation(count)

    def row_seed(self, *place: int) -> int:
        """A seed for what is drawn for one row, whoever reads it."""
        state = np.random.SeedSequence([self.seed, self.epoch, *place]).generate_state(1, np.uint64)
        return int(state[0] >> np.uint64(1))
