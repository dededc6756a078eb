"""Parts by their names: which files of a directory hold its rows, and in which order."""

from __future__ import annotations

import os
import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .durable import TEMPORARY_SUFFIX

Format = Literal["parquet", "jsonl"]

# Numbers have six digits at least: what comes after 999999 has seven.
_PART = re.compile(
    r"part-(?P<rank>\d{5,})-(?P<first>\d{6,})(-(?P<last>\d{6,}))?\.(?P<format>parquet|jsonl)"
)
# Of a part, or of the hidden digest beside it, which has one dot more.
_TEMPORARY = re.compile(
    rf"\.{{1,2}}part-(?P<rank>\d{{5,}})-[\d-]{{6,}}\.[\w.]+{re.escape(TEMPORARY_SUFFIX)}"
)


@dataclass(frozen=True, kw_only=True)
class Part:
    """A committed part: who wrote it, and its place among the others."""

    rank: int
    """The rank that wrote it."""

    first: int
    """Its number, or that of the first part it was joined from."""

    last: int
    """Number of the last part it was joined from; `first` for a part as it was committed."""

    path: Path
    """The file."""

    @classmethod
    def parse(cls, path: Path) -> Part | None:
        """What a file's name says; None where it is no part's."""
        match = _PART.fullmatch(path.name)
        if match is None:
            return None
        first = int(match["first"])
        last = first if match["last"] is None else int(match["last"])
        return cls(rank=int(match["rank"]), first=first, last=last, path=path)

    def holds(self, other: Part) -> bool:
        """Whether this part has the rows of another one (or is it)."""
        return self.rank == other.rank and self.first <= other.first and other.last <= self.last

    def comes_after(self, other: Part) -> bool:
        """Whether all of this part's rows come after those of another one."""
        return (self.rank, self.first) > (other.rank, other.last)


def part_name(format: str, *, rank: int, first: int, last: int | None = None) -> str:
    """The file name of a part; with `last`, of one that was joined."""
    numbers = f"{first:06d}" if last is None else f"{first:06d}-{last:06d}"
    return f"part-{rank:05d}-{numbers}.{format}"


class FreeNames:
    """Names of parts that nothing stands for yet.

    A part is called by the position of its first input, so that the parts of a run lie in the order
    of its collection, and whoever reads a group a second time has the same name for it. Where an
    earlier run has used that name for other rows, the next column is taken.

    Args:
        directory: of the parts.
        rank: the first column.
        step: columns from one to the next that may be taken.
    """

    def __init__(self, directory: str | os.PathLike[str], *, rank: int = 0, step: int = 1) -> None:
        self._rank, self._step = rank, step
        self._singles: dict[int, set[int]] = defaultdict(set)
        # Of joined parts: the first and the last numbers, in order.
        self._joined: dict[int, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        for part in list_parts(directory)[0]:
            if part.first == part.last:
                self._singles[part.rank].add(part.first)
            else:
                self.take_joined(part)

    def column_for(self, first: int) -> int:
        """The column in which no part stands for this position."""
        column = self._rank
        while first in self._singles[column] or self._is_in_joined(column, first):
            column += self._step
        return column

    def take(self, column: int, first: int) -> None:
        """Note that there is such a part."""
        self._singles[column].add(first)

    def take_joined(self, part: Part) -> None:
        """Note a part that stands for several."""
        firsts, lasts = self._joined[part.rank]
        start, end = bisect_left(firsts, part.first), bisect_right(lasts, part.last)
        firsts[start:end], lasts[start:end] = [part.first], [part.last]
        singles = self._singles[part.rank]
        singles.difference_update([x for x in singles if part.first <= x <= part.last])

    def _is_in_joined(self, column: int, first: int) -> bool:
        firsts, lasts = self._joined[column]
        place = bisect_right(firsts, first) - 1
        return place >= 0 and first <= lasts[place]


def list_parts(directory: str | os.PathLike[str]) -> tuple[list[Part], list[Part]]:
    """The parts by rank and number: those that hold the rows, and those that others stand for.

    A process that is ended while it joins parts leaves both: the joined part, and some of those
    that it was made from. Their rows count once.
    """
    found = map(Part.parse, Path(directory).iterdir())
    parts = sorted(
        (part for part in found if part is not None),
        key=lambda part: (part.rank, part.first, -part.last, part.path.suffix),
    )
    kept: list[Part] = []
    replaced: list[Part] = []
    for part in parts:
        before = kept[-1] if kept else part
        is_within = before.rank == part.rank and part.last <= before.last
        is_as_wide = (part.first, part.last) == (before.first, before.last)
        (replaced if is_within and not is_as_wide else kept).append(part)
    return kept, replaced


def remove_torn(directory: Path, owns: Callable[[int], bool]) -> None:
    """Remove what killed processes were writing, of the ranks that are the caller's."""
    for path in directory.iterdir():
        match = _TEMPORARY.fullmatch(path.name)
        if match and owns(int(match["rank"])):
            path.unlink(missing_ok=True)
