"""`SharedWork`: what a rank reads where ranks share their work: block by block, to the last."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ..groups import Bounds, Group
from ..store.ledger import ResultWriter
from .blocks import Block, Blocks
from .board import Board, BoardLost

if TYPE_CHECKING:
    from ....data.collection import Item

_POLL_SECONDS = 0.02


class SharedWork:
    """Hands a rank the inputs of its blocks, and commits each block as a part.

    Args:
        board: of the run.
        writer: of this rank; it commits when it is told to.
        bounds: where groups end.
        joins_groups: read the groups of a block in one call.
        is_stopped: whether the run was told to stop.
        is_gone: whether a rank is known to have ended.
    """

    found_done = 0  # the lister counts them

    def __init__(
        self,
        board: Board,
        writer: ResultWriter,
        bounds: Bounds,
        *,
        joins_groups: bool,
        is_stopped: Callable[[], bool],
        is_gone: Callable[[int], bool],
    ) -> None:
        self._board = board
        self._writer = writer
        self._joins_groups = joins_groups
        self._is_stopped = is_stopped
        self._blocks = Blocks(
            board,
            most_inputs=bounds.most_inputs,
            joins_groups=joins_groups,
            is_stopped=is_stopped,
            is_gone=is_gone,
        )
        self._block: Block | None = None
        self._read: list[Group] = []  # of the block
        self._name: tuple[int, int] | None = None  # of the block's part: first position, column
        self.stopped = False
        """Whether inputs are left because the run was told to stop."""

    def calls(self) -> Iterator[Iterator[tuple[Group, int, Item]]]:
        """Yield what is read in one call: its inputs, each with its group and position.

        A call is to be used up before the next one is taken.
        """
        while (block := self._blocks.take()) is not None:
            began = time.monotonic()
            self._block, self._name, self._read = block, None, []
            groups = self._groups(block)
            if self._joins_groups:
                yield (taken for group in groups for taken in group)
            else:
                yield from groups
            if self.stopped:
                return
            if self._blocks.is_open(block):
                self._writer.commit()
            else:
                self._writer.discard()  # another rank was faster
            skipped = sum(group.skipped for group in self._read)
            inputs = sum(group.handed_out for group in self._read)
            seconds = time.monotonic() - began
            self._blocks.finish(block, seconds, inputs=inputs, skipped=skipped)
            if self._board.get("speaker") == self._board.rank:
                self._writer.join_neighbours(below=self._blocks.first_unwritten)
            self._block = None
        self.stopped = self._is_stopped() and not self._blocks.is_over()

    @property
    def keeps_partial(self) -> bool:
        """Whether the rows of a block that was not read to its end are to be kept.

        The part that has its name may be another rank's, of the whole block.
        """
        if self._block is None:
            return True
        try:
            is_open = self._blocks.is_open(self._block)
        except BoardLost:
            is_open = True
        return is_open and not (self._name and self._writer.has_part(*self._name))

    def _groups(self, block: Block) -> Iterator[Iterator[tuple[Group, int, Item]]]:
        for number in range(block.first, block.end):
            laid_out = self._laid_out(number)
            if self.stopped:
                return
            if laid_out is not None:
                first, column, items = laid_out
                self._name = self._name or (first, column)
                self._read.append(Group(number=number, first=first, column=column))
                yield self._inputs(self._read[-1], items)

    def _inputs(
        self, group: Group, items: list[tuple[int, Item]]
    ) -> Iterator[tuple[Group, int, Item]]:
        for position, item in items:
            if self._is_stopped():
                self.stopped = True
                return
            group.handed_out += 1
            group.is_whole = group.handed_out == len(items)
            yield group, position, item

    def _laid_out(self, number: int) -> Any:
        """A group as it was laid out; None: nothing is left of it, or it is none."""
        board = self._board
        while board.number("listed") <= number:  # it was taken a little early
            if self._is_stopped():
                self.stopped = True
                return None
            if board.has("all_listed"):
                return None
            time.sleep(_POLL_SECONDS)
        return board.get(f"group/{number}")
