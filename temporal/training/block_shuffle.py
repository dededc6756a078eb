"""The order in which a training takes rows of a stream: block after block, each shuffled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from torch.utils.data import Sampler

Block = tuple[int, ...]


class BlockShuffle(Sampler[int]):
    """Blocks of rows in the order of the stream, each shuffled, another way in each epoch.

    So an epoch goes through the stream once, in every rank and worker; and as with any sampler of
    a `Trainer`, ranks share the rows out without repeats, and a resumed epoch passes over batches
    without making them.

    Args:
        blocks: of each row, increasing.
        seed: of the order.
        lengths: tells the length of a row, when its block has been come to; None: all are alike.
        batch_size: rows of a batch, which are of like length where lengths are told.
    """

    def __init__(
        self,
        blocks: Sequence[Block],
        seed: int,
        *,
        lengths: Callable[[int], int] | None = None,
        batch_size: int = 1,
    ) -> None:
        self.blocks, self.seed, self.epoch = blocks, seed, 0
        self.lengths, self.batch_size = lengths, batch_size

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, and so the order."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.blocks)

    def __iter__(self) -> Iterator[int]:
        for _, rows in groupby(range(len(self.blocks)), key=self.blocks.__getitem__):
            yield from self._shuffled(list(rows))

    def _shuffled(self, rows: list[int]) -> list[int]:
        random = np.random.default_rng([self.seed, self.epoch, rows[0]])
        order = [rows[k] for k in random.permutation(len(rows))]
        if self.lengths is None:
            return order
        # Those of like length share a batch; batches come in any order, the short one last.
        order.sort(key=self.lengths)
        size = self.batch_size
        batches = [order[k : k + size] for k in range(0, len(order), size)]
        last = batches.pop() if len(batches[-1]) < size else []
        return [row for k in random.permutation(len(batches)) for row in batches[k]] + last


def own_order(trainer: Any, dataset: Any) -> Sampler[int] | None:
    """The order that a `Trainer`'s dataset says itself (`train_sampler`); None: it says none.

    Args:
        trainer: of transformers.
        dataset: what is trained on; None: the trainer's own.
    """
    rows = trainer.train_dataset if dataset is None else dataset
    make = getattr(rows, "train_sampler", None)
    if make is None:
        return None
    args = trainer.args
    seed = args.seed if args.data_seed is None else args.data_seed
    sampler: Sampler[int] | None = make(seed, args.train_batch_size)
    return sampler
