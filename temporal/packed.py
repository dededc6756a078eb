"""`Packed`: sequences of different lengths end to end, without padding.

N units of all sequences together, B sequences, T units of the longest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


@dataclass(frozen=True, slots=True)
class Packed:
    """A batch whose rows are sequences. A stage joins and splits it by rows, as it does tensors.

    values   a a a b b c c c c        lengths   3 2 4
    """

    values: Tensor
    """`[N, ...]`: one entry for each unit, sequence after sequence."""

    lengths: tuple[int, ...]
    """Units of each sequence, B numbers of at least 1 whose sum is N."""

    def __len__(self) -> int:
        return len(self.lengths)

    @staticmethod
    def of(sequences: Sequence[Tensor]) -> Packed:
        """Put tensors `[T, ...]` of different lengths end to end."""
        return Packed(torch.cat(list(sequences)), tuple(row.shape[0] for row in sequences))

    @staticmethod
    def join(parts: Sequence[Packed]) -> Packed:
        """One batch with the rows of all parts, in order."""
        values = torch.cat([part.values for part in parts])
        return Packed(values, tuple(length for part in parts for length in part.lengths))

    def split(self, sizes: Iterable[int]) -> list[Packed]:
        """Undo `join`: batches of so many rows each. Their values are views."""
        parts, row, unit = [], 0, 0
        for size in sizes:
            lengths = self.lengths[row : row + size]
            parts.append(Packed(self.values[unit : unit + sum(lengths)], lengths))
            row, unit = row + size, unit + sum(lengths)
        return parts

    def sequences(self) -> tuple[Tensor, ...]:
        """The values of each row, `[T, ...]`. They are views."""
        return self.values.split(self.lengths)

    def select(self, rows: Sequence[int]) -> Packed:
        """Only some rows, in the order given."""
        sequences = self.sequences()
        return Packed.of([sequences[row] for row in rows])

    def keep(self, kept_N: Tensor) -> Packed:
        """Only some units: those where a bool `[N]` is true, at least one in each row."""
        counts_B = torch.stack([part.sum() for part in kept_N.split(self.lengths)])
        return Packed(self.values[kept_N], tuple(counts_B.tolist()))

    def padded(self) -> Tensor:
        """The rows as `[B, T, ...]`, with zeros after the shorter ones."""
        return pad_sequence(list(self.sequences()), batch_first=True)
