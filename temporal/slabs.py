"""`Slabs`: preallocated cells of tensors. More come in new slabs, so nothing that is stored moves.

n cells of a slab or of a call; a cell may belong to several fields, each with its own shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class SlabPart(NamedTuple):
    """Where some of the cells that were asked for lie: all those in one slab."""

    slab: int
    """Which slab."""

    inside: list[int]
    """Their numbers inside the slab."""

    asked: list[int]
    """Their positions among those asked for, rising."""


class Slabs:
    """Cells numbered from 0, each with one tensor for every field.

    Every new slab has as many cells as all before it, so there are few; the tensors of old ones
    stay where they are, and so does what views, kernels and captured graphs know of them.

    Args:
        first_values: of each field: what a cell holds when it is handed out, `[...]`. Its dtype and
            device are those of the slabs.
        num_first: cells of the first slab.

    Attributes:
        tensors: of each slab, the fields' tensors `[n, ...]`.
        starts: of each slab, the number of its first cell.
        peak: the most cells that were in use at one time.
    """

    def __init__(self, first_values: Mapping[str, Tensor], num_first: int) -> None:
        self.first_values = dict(first_values)
        self.num_first = num_first
        self.tensors: list[dict[str, Tensor]] = []
        self.starts: list[int] = []
        self.peak = 0
        self._num_cells = 0
        self._num_touched = 0  # cells from here on were never handed out
        self._free: list[int] = []

    @property
    def in_use(self) -> int:
        """Cells that are handed out."""
        return self._num_touched - len(self._free)

    def take(self) -> int:
        """Hand out a cell with its first values. One thread at a time."""
        if not self.in_use:
            # The same order whatever happened before, so that the same calls find the same cells.
            # All are here: nobody can give one back meanwhile.
            self._free = sorted(self._free, reverse=True)
        if self._free:
            cell = self._free.pop()
            slab, inside = self.find(cell)
            for name, tensor in self.tensors[slab].items():
                tensor[inside].copy_(self.first_values[name])
        else:
            if self._num_touched == self._num_cells:
                self._add_slab()
            cell = self._num_touched
            self._num_touched += 1
        self.peak = max(self.peak, self.in_use)
        return cell

    def give_back(self, cells: Iterable[int]) -> None:
        """Take cells back. May be called at any time: by the garbage collector, too."""
        self._free.extend(cells)  # one step for Python: no lock, which its caller might hold

    def find(self, cell: int) -> tuple[int, int]:
        """In which slab a cell lies, and its number inside."""
        slab = len(self.starts) - 1
        while cell < self.starts[slab]:
            slab -= 1
        return slab, cell - self.starts[slab]

    def parts(self, cells: Sequence[int]) -> list[SlabPart]:
        """Sort cells by slab."""
        if len(self.starts) == 1:
            return [SlabPart(0, list(cells), list(range(len(cells))))]
        found: dict[int, SlabPart] = {}
        for k, cell in enumerate(cells):
            slab, inside = self.find(cell)
            part = found.setdefault(slab, SlabPart(slab, [], []))
            part.inside.append(inside)
            part.asked.append(k)
        return list(found.values())

    def _add_slab(self) -> None:
        count = self._num_cells or self.num_first
        # Made in inference mode they could not be written outside it.
        with torch.inference_mode(False), torch.no_grad():
            self.tensors.append(
                {
                    name: first.expand(count, *first.shape).clone(
                        memory_format=torch.contiguous_format
                    )
                    for name, first in self.first_values.items()
                }
            )
        self.starts.append(self._num_cells)
        self._num_cells += count
