"""`Memory`: what a stage's function is given of its slots: those of the rows of one joined batch.

B rows, n new units of a row, N new units of all rows together.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .packed import Packed
from .slabs import SlabPart
from .slots import Slot, Slots


class Memory:
    """The slots of a batch's rows, for one call of a stage's function.

    Nothing that the function stores counts before its call has succeeded: when it raises, every row
    is as it was, so that the engine can run the calls of a failed batch again one by one.

    Args:
        slots: the pool; its lock is held while this is used.
        rows: B slots, each there once.
        device: of the stage's arguments.

    Attributes:
        cached: how many units of each row are kept from earlier calls.
        positions: how many units of each row came before, those that a window has dropped included:
            the position of its next unit.
    """

    def __init__(self, slots: Slots, rows: Sequence[Slot], device: torch.device) -> None:
        slots.begin(rows, device)
        self.slots, self.rows = slots, rows
        self.cached = [slot.length - slot.start for slot in rows]
        self.positions = [slot.length for slot in rows]
        self.counts = [0] * len(rows)  # new units
        self._parts = slots.cells.parts([slot.cell for slot in rows if slot.cell is not None])
        self._index: dict[str, list[tuple[Tensor, Tensor | None]]] = {}
        self._put: dict[str, Tensor] = {}
        self._num_added = [0] * len(rows)  # pages
        self._places: list[SlabPart] = []  # of new units, counted over the pages of a slab
        self._runs: dict[int, list[tuple[int, int, int]]] = {}

    def __len__(self) -> int:
        return len(self.rows)

    # Fields of one size ------------------------------------------------------------------------

    def parts(self, name: str) -> list[tuple[Tensor, Tensor, Tensor | None]]:
        """Where a fixed field of the rows lies, for a function that reads it in place.

        Returns:
            For each slab that holds some of the rows: its tensor `[slots, ...]`, the int64 indices
            of the rows in it, and which rows these are, int64; None: all, in order.
        """
        tensors = [self._tensor(name, part.slab, "fixed") for part in self._parts]
        return [
            (tensor, inside, which)
            for tensor, (inside, which) in zip(tensors, self._indices("cells"), strict=True)
        ]

    def take(self, name: str) -> Tensor:
        """A fixed field of all rows, `[B, ...]`: what was put last, or its first value."""
        if name in self._put:
            return self._put[name]
        parts = self.parts(name)
        if len(parts) == 1 and parts[0][2] is None:
            tensor, inside, _ = parts[0]
            values = tensor[inside]
        else:
            first = self._known(name, "fixed")
            values = first.new_empty((len(self.rows), *first.shape))
            for tensor, inside, which in parts:
                values[which] = tensor[inside]
        self.slots.elements_read += values.numel()
        return values

    def put(self, name: str, values: Tensor) -> None:
        """Store a fixed field of all rows, `[B, ...]`, in the field's dtype."""
        first = self._known(name, "fixed")
        self._check(name, values, len(self.rows), first)
        self._put[name] = values.detach().to(first.dtype)

    # Fields that grow --------------------------------------------------------------------------

    def extend(self, counts: int | Sequence[int]) -> None:
        """Make room for new units of each row, once in a call and before they are written.

        Args:
            counts: of each row (`packed.lengths`), or one number for all of them.
        """
        if self._num_new or not self.slots.growing:
            raise ValueError("extend() is called once in a call, of a stage with growing fields")
        counts = [counts] * len(self.rows) if isinstance(counts, int) else list(counts)
        if len(counts) != len(self.rows) or min(counts, default=0) < 0:
            raise ValueError(
                f"counts ({counts}) must have a number >= 0 for each of {len(self)} rows"
            )
        size, pages = self.slots.page_size, self.slots.pages
        found: dict[int, SlabPart] = {}
        asked = 0
        for k, (slot, count) in enumerate(zip(self.rows, counts, strict=True)):
            unit, end = slot.length, slot.length + count
            while unit < end:
                number = unit // size - slot.first_page
                if number == len(slot.pages):
                    slot.pages.append(pages.take())
                    self._num_added[k] += 1
                slab, inside = pages.find(slot.pages[number])
                offset = unit % size
                taken = min(size - offset, end - unit)
                part = found.setdefault(slab, SlabPart(slab, [], []))
                part.inside.extend(range(inside * size + offset, inside * size + offset + taken))
                part.asked.extend(range(asked, asked + taken))
                unit, asked = unit + taken, asked + taken
        self.counts = counts
        self._places = list(found.values())

    def write(self, name: str, values: Tensor | Packed) -> None:
        """Store the new units of all rows, `[N, ...]`, row after row, in the field's dtype."""
        values = values.values if isinstance(values, Packed) else values
        self._check(name, values, self._num_new, self._known(name, "growing")[0])
        with torch.no_grad():
            for part, (inside, which) in zip(self._places, self._indices("units"), strict=True):
                units = self._units(name, part.slab)
                chosen = values if which is None else values[which]
                units.index_copy_(0, inside, chosen.detach().to(units.dtype))
        self.slots.elements_written += values.numel()

    def pieces(self, name: str, row: int) -> list[Tensor]:
        """A row's kept and new units, in order and in place: a view `[n, ...]` for each page.

        Attention over them needs no copy: the products with each piece, one softmax over all.
        """
        self._known(name, "growing")
        return [
            self._units(name, slab)[begin : begin + count]
            for slab, begin, count in self._runs_of(row)
        ]

    def read(self, name: str) -> Packed:
        """The kept and new units of all rows, copied end to end; each row needs at least one."""
        pieces = [self.pieces(name, row) for row in range(len(self.rows))]
        lengths = tuple(k + n for k, n in zip(self.cached, self.counts, strict=True))
        if 0 in lengths:
            raise ValueError(f"a row has no unit to read yet: extend() first, not {lengths}")
        first = self._known(name, "growing")[0]
        values = torch.cat(
            [first.new_empty((0, *first.shape)), *(p for row in pieces for p in row)]
        )
        self.slots.elements_read += values.numel()
        return Packed(values, lengths)

    # The end of the call -----------------------------------------------------------------------

    def commit(self) -> None:
        """The call has succeeded: what it stored counts."""
        with torch.no_grad():
            for name, values in self._put.items():
                for tensor, inside, which in self.parts(name):
                    tensor[inside] = values if which is None else values[which]
                self.slots.elements_written += values.numel()
        if not self._num_new:
            return
        for slot, count in zip(self.rows, self.counts, strict=True):
            slot.length += count
            if self.slots.window is not None:
                slot.start = max(slot.start, slot.length - self.slots.window)
                num_out = min(slot.start // self.slots.page_size - slot.first_page, len(slot.pages))
                self.slots.pages.give_back(slot.pages[:num_out])
                del slot.pages[:num_out]
                slot.first_page += num_out

    def undo(self) -> None:
        """The call has failed: every row is as it was."""
        for slot, added in zip(self.rows, self._num_added, strict=True):
            self.slots.pages.give_back(slot.pages[len(slot.pages) - added :])
            del slot.pages[len(slot.pages) - added :]

    # -------------------------------------------------------------------------------------------

    @property
    def _num_new(self) -> int:
        return sum(self.counts)

    def _known(self, name: str, kind: str) -> Tensor:
        """What a cell of a field holds at first, `[...]`; a growing one's is a page."""
        slabs = self.slots.cells if kind == "fixed" else self.slots.pages
        if name not in slabs.first_values:
            raise ValueError(f"field ({name!r}) must be a {kind} one: {sorted(slabs.first_values)}")
        return slabs.first_values[name]

    def _tensor(self, name: str, slab: int, kind: str) -> Tensor:
        self._known(name, kind)
        slabs = self.slots.cells if kind == "fixed" else self.slots.pages
        return slabs.tensors[slab][name]

    def _units(self, name: str, slab: int) -> Tensor:
        """A growing field's slab, page after page: `[pages * page_size, ...]`."""
        return self.slots.pages.tensors[slab][name].flatten(0, 1)

    def _check(self, name: str, values: Tensor, num_rows: int, one: Tensor) -> None:
        if values.shape != (num_rows, *one.shape):
            of = "row" if name in self.slots.fixed else "new unit"
            raise ValueError(
                f"values of field {name!r} must be {[num_rows, *one.shape]}, not "
                f"{[*values.shape]}: one for each {of}"
            )

    def _indices(self, of: str) -> list[tuple[Tensor, Tensor | None]]:
        """The parts of cells or of new units as tensors, made once for all fields."""
        if of not in self._index:
            slabs = self.slots.cells if of == "cells" else self.slots.pages
            device = next(iter(slabs.first_values.values())).device
            parts = self._parts if of == "cells" else self._places
            self._index[of] = [
                (
                    torch.tensor(part.inside, dtype=torch.int64, device=device),
                    None
                    if len(parts) == 1
                    else torch.tensor(part.asked, dtype=torch.int64, device=device),
                )
                for part in parts
            ]
        return self._index[of]

    def _runs_of(self, row: int) -> list[tuple[int, int, int]]:
        """Where a row's units lie: slab, first unit in it, how many; one entry for each page.

        Neighbouring pages are not made one: which are depends on who was there before, and sums
        over other pieces have other last bits.
        """
        if row not in self._runs:
            slot, size, slabs = self.rows[row], self.slots.page_size, self.slots.pages
            runs: list[tuple[int, int, int]] = []
            end = slot.length + self.counts[row]
            for number, page in enumerate(slot.pages, slot.first_page):
                first = max(slot.start - number * size, 0)
                last = min(end - number * size, size)
                if first < last:
                    slab, inside = slabs.find(page)
                    runs.append((slab, inside * size + first, last - first))
            self._runs[row] = runs
        return self._runs[row]
