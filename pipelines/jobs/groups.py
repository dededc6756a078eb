"""Groups: inputs that follow each other and are read together, apart from all others.

A sum is rounded otherwise in a batch of another size, so that what an input is read together with
can change the last bit of its row. Which group an input is in is decided by the collection alone,
never by who reads it, when, or what was read before: so its row is the same bit for bit on a CPU,
however many ranks there are, and when a run was killed and resumed.

Groups grow with their place: a small collection is shared out finely, and the last group of a
large one is a small part of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...data.collection import Item
    from .table.rows import Readable

_SHARE = 64
"""A group holds no more than one of so many of the inputs before it, but for its least size."""

_MOST_TEXTS, _MOST_CHARACTERS = 256, 256 * 2**10
_MOST_VIDEOS, _MOST_BYTES = 16, 32 * 2**20
_LEAST_VIDEOS = 2  # one is decoded while the other is computed


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Where groups end: after so many inputs, or once they are so large together."""

    least_inputs: int
    """Inputs of the first groups, >= 1."""

    most_inputs: int
    """Inputs of a group behind many others, >= 1."""

    most_weight: int
    """Characters of texts, or bytes of videos' files, with which a group ends."""

    is_video: bool = False
    """Inputs are videos: a str is the path of a file."""

    @classmethod
    def of(cls, pipe: Readable, kind: str, most_rows: int | None = None) -> Bounds:
        """Those for a pipeline: batches of small inputs, and few large ones.

        Args:
            pipe: Its `batch_size`, if it has one, is what it computes at once.
            kind: Of its inputs, `"text"` or `"video"`.
            most_rows: The most inputs of a group, whatever the batch size; None: no limit.
        """
        batch_size = getattr(pipe, "batch_size", None) or 1
        if kind == "video":
            least, most, most_weight = _LEAST_VIDEOS, 2 * batch_size, _MOST_BYTES
            most = max(most, _MOST_VIDEOS)
        else:
            least, most, most_weight = batch_size, max(_MOST_TEXTS, batch_size), _MOST_CHARACTERS
        most = min(most, most_rows or most)
        return cls(
            least_inputs=min(least, most),
            most_inputs=most,
            most_weight=most_weight,
            is_video=kind == "video",
        )

    def inputs_at(self, position: int) -> int:
        """How many inputs a group has that begins there, if they are not too large."""
        return min(self.most_inputs, max(self.least_inputs, position // _SHARE))

    def weight(self, value: Any) -> int:
        """How large an input is: characters, or bytes; 0 where that is not known at once."""
        if isinstance(value, str) and not self.is_video:
            return len(value)
        if isinstance(value, Mapping):
            return sum(map(self.weight, value.values()))
        if isinstance(value, str | os.PathLike) and self.is_video:
            try:
                return os.stat(value).st_size
            except (OSError, ValueError):  # nothing that is there, or a URL
                return 0
        if isinstance(value, str | bytes | bytearray):
            return len(value)
        return int(getattr(value, "num_bytes", 0))  # a member of an archive


def joins_groups(pipe: Any) -> bool:
    """Whether groups are read in one call, since their bits are none that could be kept.

    On an accelerator a reading is rounded otherwise from run to run, and full batches count; a
    pipeline that has no batches reads each input by itself.
    """
    if hasattr(pipe, "rows_of_groups"):  # elsewhere, several at a time
        return True
    device = getattr(pipe, "device", None)
    is_on_cpu = device is None or getattr(device, "type", "cpu") == "cpu"
    return not is_on_cpu or not hasattr(pipe, "batch_size")


class Grouping(Iterator[tuple[int, int, "Item"]]):
    """Counts the groups of a collection as its inputs are taken: yields group, position, input."""

    def __init__(self, items: Iterable[Item], bounds: Bounds) -> None:
        self._items = enumerate(items)
        self._bounds = bounds
        self._group = self._weight = 0
        self._end = bounds.inputs_at(0)  # of this group, were none of its inputs large
        self.ends_here = False
        """Whether the input that was taken last is the last one of its group."""

    def __next__(self) -> tuple[int, int, Item]:
        position, item = next(self._items)
        if self.ends_here:
            self._group += 1
            self._end, self._weight = position + self._bounds.inputs_at(position), 0
        bounds = self._bounds
        self._weight += bounds.weight(item.value)
        self.ends_here = position + 1 >= self._end or self._weight >= bounds.most_weight
        return self._group, position, item


@dataclass(kw_only=True, eq=False)
class Group:
    """A group that is being read: what was handed out of it, and the rows that came back."""

    number: int
    """Its place among the groups of the collection."""

    first: int
    """Position in the collection of the first input that was handed out."""

    end: int = 0
    """Position behind the last input that was handed out."""

    column: int | None = None
    """Where its part's name is free (`store.parts.FreeNames`); None: the writer looks."""

    handed_out: int = 0
    """Inputs that were handed out."""

    answered: int = 0
    """Inputs that were read, with or without a row."""

    skipped: int = 0
    """Those of them that were left without a row."""

    rows: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    """Rows, each with the position of its input."""

    is_whole: bool = False
    """Whether no more inputs will be handed out."""

    @property
    def is_done(self) -> bool:
        """Whether all of it was read."""
        return self.is_whole and self.answered == self.handed_out
