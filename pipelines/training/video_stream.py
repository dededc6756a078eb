"""The order in which a training on pixels takes clips of a stream: shuffled within a buffer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from ...data.labelled.clips import Clip
from ...data.loading.row_places import Reel, RowOf

_HELD = 64
"""Videos of a stream that are held at a time, as bytes, and shuffled among each other."""


class BlockShuffle(Sampler[int]):
    """Blocks of rows in the order of the stream, each shuffled, another way in each epoch.

    So an epoch goes through the stream once, in every rank and worker; and as with any sampler of
    a `Trainer`, ranks share the rows out without repeats, and a resumed epoch passes over batches
    without reading their videos.

    Args:
        blocks: of each row, increasing.
        seed: of the order.
    """

    def __init__(self, blocks: Sequence[tuple[int, int]], seed: int) -> None:
        self.blocks, self.seed, self.epoch = list(blocks), seed, 0

    @classmethod
    def of(cls, clips: Sequence[Clip], seed: int) -> BlockShuffle | None:
        """Of clips of streams, which will hold a block at a time; None: they are of no stream."""
        reels: list[Reel] = []
        blocks: list[tuple[int, int]] = []
        for clip in clips:
            place = clip.place
            if not isinstance(place, RowOf) or not isinstance(place.rows, Reel):
                return None
            if place.rows not in reels:
                reels.append(place.rows)
                place.rows.hold = _HELD
            blocks.append((reels.index(place.rows), place.number // _HELD))
        return cls(blocks, seed) if blocks else None

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, and so the order."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.blocks)

    def __iter__(self) -> Iterator[int]:
        random = np.random.default_rng([self.seed, self.epoch])
        drawn = random.random(len(self.blocks)).tolist()
        return iter(sorted(range(len(drawn)), key=lambda k: (self.blocks[k], drawn[k])))
