"""`ClipList`: labelled videos that are known from the start, in little memory."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa

from ..decode.remote.urls import AllowRemote
from ..item import InputError, InputReason
from .order import Order
from .row import ClipRow, Member, class_order
from .split_names import ALL, is_wanted

_BATCH_ROWS = 4096
_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("path", pa.string()),
        ("offset", pa.int64()),  # in an archive
        ("num_bytes", pa.int64()),
        ("labels", pa.list_(pa.string())),
        ("is_list", pa.bool_()),
        ("group", pa.string()),
        ("camera", pa.string()),
        ("split", pa.string()),
        ("start_seconds", pa.float64()),
        ("end_seconds", pa.float64()),
        ("reason", pa.string()),
        ("message", pa.string()),
    ]
)


class ClipList:
    """Rows of labelled videos in an Arrow table: some 100 bytes a row, shared by forked workers.

    Made by `load_clips`. `clips[3]` is a `ClipRow`; rows that cannot be read are among them, and
    say why.

    Args:
        table: Of the schema that `from_rows` gives it.
        class_names: Names of the classes in the order of their numbers.
        allow_remote: Which URLs may be read, as for `Video`.
    """

    def __init__(
        self, table: pa.Table, class_names: Sequence[str], allow_remote: AllowRemote = False
    ) -> None:
        self._table = table
        self.class_names: list[str] | None = list(class_names)
        self.allow_remote = allow_remote

    @classmethod
    def from_rows(
        cls,
        rows: Iterable[ClipRow],
        *,
        name: str,
        split: str | None = None,
        class_names: Sequence[str] | None = None,
        allow_remote: AllowRemote = False,
    ) -> ClipList:
        """Take rows in.

        Args:
            rows: The rows; they are not held as objects.
            name: What messages call the list.
            split: Keep those of this split, and those that say none; "all": those of any; None:
                all, which must then be of one.
            class_names: The classes and their order; None: those that occur.
            allow_remote: Which URLs may be read.

        Raises:
            ValueError: No row is left that could be read; or rows are of several splits and none
                was chosen; or a label is none of `class_names`.
        """
        splits: set[str] = set()
        batches: list[pa.RecordBatch] = []
        held: list[dict[str, Any]] = []
        problem: str | None = None
        is_readable = False
        for row in rows:
            if row.split is not None:
                splits.add(row.split)
            if not is_wanted(row.split, split):
                continue
            is_readable |= row.error is None
            problem = problem or (row.error.message if row.error else None)
            held.append(_cells(row))
            if len(held) == _BATCH_ROWS:
                batches.append(pa.RecordBatch.from_pylist(held, _SCHEMA))
                held = []
        batches.append(pa.RecordBatch.from_pylist(held, _SCHEMA))
        if split is None and len(splits) > 1:
            raise ValueError(f"{name} holds the splits {sorted(splits)}: choose one by split=")
        if splits and split not in (None, ALL) and not any(is_wanted(s, split) for s in splits):
            raise ValueError(f"split ({split!r}) must be one that {name} holds: {sorted(splits)}")
        if not is_readable:
            why = f": {problem}" if problem else ""
            raise ValueError(f"{name} holds no labelled video{why}")
        table = pa.Table.from_batches(batches, _SCHEMA).combine_chunks()
        found = table["labels"].combine_chunks().flatten().unique().to_pylist()
        names = class_order(found) if class_names is None else list(map(str, class_names))
        strange = sorted(set(found) - set(names))
        if strange:
            raise ValueError(f"{name} has the labels {strange[:5]}, which class_names lacks")
        return cls(table, names, allow_remote)

    def __len__(self) -> int:
        return self._table.num_rows

    def __getitem__(self, place: int) -> ClipRow:
        if not -len(self) <= place < len(self):
            raise IndexError(f"row {place} of {len(self)}")
        cells = self._table.slice(place % len(self), 1).to_pylist()[0]
        if cells["message"] is not None:
            reason = cast(InputReason, cells["reason"])
            error = InputError(reason=reason, message=cells["message"])
            return ClipRow(id=cells["id"], split=cells["split"], error=error)
        source: str | Member = cells["path"]
        if cells["offset"] is not None:
            source = Member(cells["path"], cells["offset"], cells["num_bytes"])
        names = cells["labels"]
        return ClipRow(
            id=cells["id"],
            source=source,
            label=tuple(names) if cells["is_list"] else names[0],
            split=cells["split"],
            group=cells["group"],
            camera=cells["camera"],
            start_seconds=cells["start_seconds"],
            end_seconds=cells["end_seconds"],
        )

    def __iter__(self) -> Iterator[ClipRow]:
        return (self[place] for place in range(len(self)))

    @property
    def groups(self) -> list[str]:
        """The group of each row; "" of one without."""
        return [group or "" for group in self._table["group"].to_pylist()]

    @property
    def is_multilabel(self) -> bool:
        """Whether some clip has a list of labels: then all are told by a 0 or 1 for each class."""
        return bool(np.any(self._table["is_list"].to_numpy()))

    def select(self, places: Sequence[int]) -> ClipList:
        """These rows, in this order; the classes stay."""
        table = self._table.take(pa.array(places, pa.int64())).combine_chunks()
        return ClipList(table, self.class_names or [], self.allow_remote)

    def hold_out(self, share: float, seed: int) -> tuple[ClipList, ClipList]:
        """Split into the rest and a held-out share of the groups, each whole.

        A clip without a group is one by itself.
        """
        if not 0 < share < 1:
            raise ValueError(f"share ({share}) must be between 0 and 1")
        groups = [group or f"\0{place}" for place, group in enumerate(self.groups)]
        names = sorted(set(groups))
        random.Random(seed).shuffle(names)
        held = set(names[: int(share * len(names))])
        return (
            self.select([k for k, group in enumerate(groups) if group not in held]),
            self.select([k for k, group in enumerate(groups) if group in held]),
        )

    def walk(self, order: Order, state: dict[str, Any] | None) -> Iterator[WalkStep]:
        """Yield the rows of one share of an epoch, each with the place after it.

        Args:
            order: The epoch, and whose share.
            state: What came with the last row that was used; None: from the start.
        """
        rows = order.own_rows(len(self))
        for place in range(0 if state is None else state["position"], len(rows)):
            number = int(rows[place])
            yield {"position": place + 1}, number, self[number]


WalkStep = tuple[dict[str, Any], int, ClipRow]
"""Where to go on after a row, the row's number, and the row."""


def _cells(row: ClipRow) -> dict[str, Any]:
    cells: dict[str, Any] = {"id": row.id, "labels": [], "is_list": False, "split": row.split}
    if row.error is not None:
        return {**cells, "reason": row.error.reason, "message": row.error.message}
    if isinstance(row.source, Member):
        cells.update(zip(("path", "offset", "num_bytes"), row.source, strict=True))
    else:
        cells["path"] = row.source
    is_list = isinstance(row.label, tuple)
    return {
        **cells,
        "labels": row.label if is_list else [row.label],
        "is_list": is_list,
        "group": row.group,
        "camera": row.camera,
        "start_seconds": row.start_seconds,
        "end_seconds": row.end_seconds,
    }
