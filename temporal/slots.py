"""`Slots`: what a stage remembers for the rows of readers in flight, between their calls.

A reader holds a `Slot`: the right to a row of the pool's tensors, not the row itself. What is
cached stays where it is while calls are joined and split: only slots travel.

    class Cell(nn.LSTMCell):
        def __init__(self, size):
            super().__init__(size, size)
            slots = Slots(fixed={"hidden": (size,), "cell": (size,)}, like=self)
            self.step = Stage(self._step, slots=slots)

        def _step(self, rows_BD, *, memory):                     # of all readers in flight
            hidden, cell = self(rows_BD, (memory.take("hidden"), memory.take("cell")))
            memory.put("hidden", hidden)
            memory.put("cell", cell)
            return hidden

        async def read(self, source):
            slot = self.step.slot()
            for unit in range(len(source)):
                hidden = await self.step(await source.read([unit]), slots=[slot])
            return hidden                                        # the engine frees the slot

`temporal.memory.Memory` is what the function is given.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn

from .slabs import Slabs


class SlotError(RuntimeError):
    """A slot was used by someone who may not, or after it was freed."""


class Slot:
    """A reader's right to one row of a pool. It takes memory from its first call on.

    It is freed by `free()`, when the reader that used it ends (however it ends), or when nobody
    holds it any more; whichever comes first.

    Attributes:
        length: units that were appended so far, those that a window has dropped included.
        start: the first of them that is still kept.
    """

    __slots__ = ("__weakref__", "cell", "first_page", "freed", "length", "owner", "pages", "pool",
                 "start")  # fmt: skip

    def __init__(self, pool: Slots) -> None:
        self.pool = pool
        self.cell: int | None = None
        self.pages: list[int] = []
        self.first_page = 0  # pages that a window has dropped
        self.length = 0
        self.start = 0
        self.owner: object = None
        self.freed = False

    def __repr__(self) -> str:
        return f"Slot(length={self.length}{', freed' if self.freed else ''})"

    def __del__(self) -> None:
        self.free()

    def free(self) -> None:
        """Give its memory back; harmless when that was done before."""
        self.freed, self.owner = True, None
        cell, pages, self.cell, self.pages = self.cell, self.pages, None, []
        if cell is not None:
            self.pool.give_back(cell, pages)

    def claim(self, owner: object) -> None:
        """Let one reader hold it, and nobody else. Called by the engine.

        Raises:
            SlotError: another one holds it.
        """
        if self.owner is not None and self.owner is not owner:
            raise SlotError(
                "a slot belongs to the reader that used it first: each reader must make its own "
                "(slot = stage.slot())"
            )
        self.owner = owner


class HeldSlots:
    """The slots of one reader, freed when it ends; one that it lets go of is freed at once."""

    __slots__ = ("_slots",)

    def __init__(self) -> None:
        self._slots: WeakSet[Slot] | None = None

    def hold(self, slots: Sequence[Slot]) -> None:
        """Note slots that the reader uses: from now on they are its own.

        Raises:
            SlotError: another reader holds one of them.
        """
        if self._slots is None:
            self._slots = WeakSet()
        for slot in slots:
            slot.claim(self)
            self._slots.add(slot)

    def free(self) -> None:
        """Free all, whoever holds them: the traceback of an error holds its reader's."""
        for slot in list(self._slots or ()):
            slot.free()


class Slots:
    """A pool of slots, owned by a stage, or by several that share what they remember.

    Args:
        fixed: fields of one size for each row, by name: a shape (zeros at first), or a tensor: the
            first value, whose dtype the field has.
        growing: fields that get an entry for each unit (keys and values of attention, a stream's
            buffer), by name: the shape of an entry, or a tensor of that shape and of the field's
            dtype. They lie in pages, so that nothing moves when a row or the pool grows.
        page_size: units of a page (at least 1).
        window: of the growing fields only the last so many units are kept; None: all.
        num_first: slots, and pages, that are made at first; more come by doubling (at least 1).
        like: the module whose first floating point parameter has the dtype and the device of fields
            given by shapes; None: float32, on the device of the stage's arguments.

    Attributes:
        elements_read: numbers that functions had copied out of the pool, by `take` and `read`.
        elements_written: numbers that they had stored, by `put` and `write`.
    """

    def __init__(
        self,
        *,
        fixed: Mapping[str, Sequence[int] | Tensor] | None = None,
        growing: Mapping[str, Sequence[int] | Tensor] | None = None,
        page_size: int = 64,
        window: int | None = None,
        num_first: int = 32,
        like: nn.Module | None = None,
    ) -> None:
        self.fixed = {name: _declared(name, field) for name, field in (fixed or {}).items()}
        self.growing = {name: _declared(name, field) for name, field in (growing or {}).items()}
        if not self.fixed and not self.growing:
            raise ValueError(
                "slots need a field: give fixed={name: shape} or growing={name: shape}"
            )
        if both := sorted(self.fixed.keys() & self.growing.keys()):
            raise ValueError(f"fields {both} are fixed and growing: give them two names")
        numbers = {"page_size": page_size, "window": window, "num_first": num_first}
        for name, number in numbers.items():
            if number is not None and number < 1:
                raise ValueError(f"{name} ({number}) must be >= 1")
        self.page_size, self.window, self.num_first = page_size, window, num_first
        self.like = like
        self.lock = threading.RLock()  # held while a stage runs: a pool has one call at a time
        self.elements_read = 0
        self.elements_written = 0
        self._made_for: tuple[torch.dtype, torch.device] | None = None
        self.cells = self.pages = Slabs({}, num_first)

    def __repr__(self) -> str:
        return f"Slots({[*self.fixed, *self.growing]}, in_use={self.in_use}, peak={self.peak})"

    def __getstate__(self) -> dict[str, Any]:
        """A copied or pickled model remembers nothing of its original's readers."""
        return {**self._declaration(), "like": self.like}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]  # as if it were made anew

    @property
    def in_use(self) -> int:
        """Slots that hold memory now."""
        return self.cells.in_use

    @property
    def peak(self) -> int:
        """The most slots that held memory at one time."""
        return self.cells.peak

    @property
    def pages_in_use(self) -> int:
        """Pages that slots hold now."""
        return self.pages.in_use

    def slot(self) -> Slot:
        """A new slot, for one row of one reader."""
        return Slot(self)

    def scratch(self) -> Slots:
        """An empty pool with the same fields, and all units kept, to try a function on."""
        own = {**self._declaration(), "num_first": 1, "window": None}
        return Slots(**own, like=self.like)

    def begin(self, slots: Sequence[Slot], device: torch.device) -> None:
        """Give memory to those that have none yet. Called with the lock held.

        Raises:
            SlotError: a slot was freed, or is there twice; or the pool is in use elsewhere.
        """
        if any(slot.freed for slot in slots):
            raise SlotError(
                "a slot was used after it was freed (it is when its reader ends): make a new one"
            )
        if len(set(map(id, slots))) < len(slots):
            raise SlotError("a slot is there twice in one call: give one for each row")
        self._make(device)
        for slot in slots:
            if slot.cell is None:
                slot.cell = self.cells.take()

    def give_back(self, cell: int, pages: list[int]) -> None:
        """Take a slot's memory back."""
        self.pages.give_back(pages)
        self.cells.give_back([cell])

    def _make(self, device: torch.device) -> None:
        dtype = torch.float32
        weight = None if self.like is None else _first_weight(self.like)
        if weight is not None:
            dtype, device = weight.dtype, weight.device
        if self._made_for == (dtype, device):
            return
        if self.in_use:
            raise SlotError(
                f"slots hold what was cached as {self._made_for}, and rows come as "
                f"{(dtype, device)}: end the readers in flight before the model moves"
            )

        def first(shape: Sequence[int] | Tensor) -> Tensor:
            if isinstance(shape, Tensor):
                return shape.detach().to(device)
            return torch.zeros(tuple(shape), dtype=dtype, device=device)

        # What was freed before belongs to the old slabs, and goes with them.
        self.cells = Slabs({name: first(shape) for name, shape in self.fixed.items()},
                           self.num_first)  # fmt: skip
        pages = {name: torch.zeros_like(first(shape)) for name, shape in self.growing.items()}
        self.pages = Slabs(
            {name: unit.expand(self.page_size, *unit.shape) for name, unit in pages.items()},
            self.num_first,
        )
        self._made_for = (dtype, device)

    def _declaration(self) -> dict[str, Any]:
        names = ("fixed", "growing", "page_size", "window", "num_first")
        return {name: getattr(self, name) for name in names}


def _declared(name: str, field: Sequence[int] | Tensor) -> Sequence[int] | Tensor:
    """A field as it was given: a tensor that changes later changes no first value."""
    if isinstance(field, Tensor):
        if field.is_meta:
            raise ValueError(
                f"field {name!r} must hold a value, and is a meta tensor (from_pretrained makes "
                "models so): make it with device='cpu'"
            )
        return field.detach().clone()
    if isinstance(field, Sequence) and all(isinstance(n, int) for n in field):
        return tuple(field)
    raise TypeError(f"field {name!r} ({field!r}) must be a shape, like (8, 64), or a tensor")


def _first_weight(module: nn.Module) -> Tensor | None:
    return next((w for w in module.parameters() if w.is_floating_point()), None)
