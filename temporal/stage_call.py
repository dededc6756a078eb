"""`StageCall`: what a reader awaits of a stage, and what the calls of a batch have in common."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from .packed import Packed
from .rows import join_rows
from .slots import Slot


class StageCall:
    """What a reader awaits: rows that wait for a stage."""

    __slots__ = ("args", "is_halved", "num_rows", "rows", "slots", "stage")

    def __init__(
        self,
        stage: Any,  # a `Stage`
        args: tuple[Any, ...],
        rows: Sequence[int] | None,
        slots: Sequence[Slot] = (),
    ) -> None:
        self.stage = stage
        self.args = args
        self.rows = rows
        self.slots = slots
        self.is_halved = False  # its batch did not fit into memory, and ran in parts
        self.num_rows = len(args[0])
        for arg in args[1:]:
            if len(arg) != self.num_rows:  # joined, the rows of others would slip into the gap
                raise ValueError(
                    f"arguments of stage {stage.name!r} must have one number of rows each, not "
                    f"{[len(arg) for arg in args]}"
                )

    def __await__(self) -> Generator[StageCall, Any, Any]:
        return (yield self)


def join_calls(batch: Sequence[StageCall], *, pad: bool) -> tuple[Any, ...]:
    """The arguments of calls, each put together; `pad`: see `join_rows`."""
    if len(batch) == 1:
        return batch[0].args
    columns = zip(*(call.args for call in batch), strict=True)
    return tuple(join_rows(column, pad=pad) for column in columns)


def without_padding(parts: Sequence[Any], batch: Sequence[StageCall]) -> list[Any]:
    """Take the padding off each call's part of a result that has it: it never travels on."""
    if isinstance(batch[0].args[0], Packed):
        return list(parts)
    longest = max(call.args[0].shape[1] for call in batch)
    return [
        part[:, : call.args[0].shape[1]]
        if part.dim() > 2 and part.shape[1] == longest and call.args[0].dim() > 1
        else part
        for part, call in zip(parts, batch, strict=True)
    ]


def num_elements(batch: Sequence[StageCall]) -> int:
    """Numbers in the arguments of calls."""
    args = (arg for call in batch for arg in call.args)
    return sum((arg.values if isinstance(arg, Packed) else arg).numel() for arg in args)


def halved(batch: Sequence[StageCall]) -> list[list[StageCall]]:
    """Two batches with half of the calls each; a call that stands alone is cut in two."""
    if len(batch) > 1:
        middle = len(batch) // 2
        return [list(batch[:middle]), list(batch[middle:])]
    (call,) = batch
    middle = call.num_rows // 2
    first, second = zip(
        *(arg.split([middle, call.num_rows - middle]) for arg in call.args), strict=True
    )
    rows = (None, None) if call.rows is None else (call.rows[:middle], call.rows[middle:])
    return [
        [StageCall(call.stage, first, rows[0], call.slots[:middle])],
        [StageCall(call.stage, second, rows[1], call.slots[middle:])],
    ]
