"""What one rank reads when nobody hands out work: every input, or every so manieth one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from ...data.names.known_names import KnownNames, key_of
from ...data.names.roll_call import RollCall
from .groups import Bounds, Group, Grouping
from .shares import OtherShares
from .table.row import storable

if TYPE_CHECKING:
    from ...data.collection import Item


class OwnShare:
    """The inputs whose position modulo `world_size` is `rank`, without those that have a row.

    Args:
        items: The whole collection; taken one by one, as inputs are handed out.
        bounds: Where its groups end.
        share: `rank` and `world_size`.
        done: Ids of the inputs that have their row.
        is_told_to_stop: Whether to hand out no more.
        joins_groups: Read all groups in one call, where the bits of rows are not the same anyway.
    """

    keeps_partial = True
    """Whether rows of a group that was not read to its end are kept: nobody else reads it."""

    def __init__(
        self,
        items: Iterable[Item],
        bounds: Bounds,
        *,
        share: tuple[int, int],
        done: KnownNames,
        is_told_to_stop: Callable[[], bool],
        joins_groups: bool,
    ) -> None:
        self._grouping = Grouping(items, bounds)
        self._rank, self._world_size = share
        self._roll = RollCall(done)
        self._is_told_to_stop = is_told_to_stop
        self._joins_groups = joins_groups
        self._taken_too_far: deque[tuple[int, int, Item]] = deque()
        self.others = OtherShares()
        self.found_done = 0
        """Inputs of this share that were passed over: they have a row."""
        self.stopped = False
        """Whether inputs are left because the run was told to stop."""

    def calls(self) -> Iterator[Iterator[tuple[Group, int, Item]]]:
        """Yield what is read in one call: its inputs, each with its group and place in this share.

        A call is to be used up before the next one is taken.
        """
        while (first := self._next()) is not None:
            self._taken_too_far.append(first)
            yield self._one_call()

    def _one_call(self) -> Iterator[tuple[Group, int, Item]]:
        group: Group | None = None
        while (taken := self._next()) is not None:
            number, position, item = taken
            if group is None or number != group.number:
                if group is not None:
                    group.is_whole = True
                    if not self._joins_groups:
                        self._taken_too_far.append(taken)
                        return
                group = Group(number=number, first=position)
            group.handed_out += 1
            if self._grouping.ends_here:
                group.is_whole = True
            yield group, position, item
            if group.is_whole and not self._joins_groups:
                return
        if group is not None:
            group.is_whole = not self.stopped

    def _next(self) -> tuple[int, int, Item] | None:
        """The next input of this share that has no row; None: there is none, or it is to stop."""
        if self._taken_too_far:
            return self._taken_too_far.popleft()
        if self.stopped:
            return None
        for number, position, item in self._grouping:
            item_id = storable(item.id)
            key = key_of(item_id)
            met = self._roll.meet(key)
            if met == "again":
                raise ValueError(f"id ({item_id!r}) must be unique among the items")
            if position % self._world_size != self._rank:
                self.others.ids[position % self._world_size].append_key(key)
            elif met == "expected":
                self.found_done += 1
            elif self._is_told_to_stop():
                # Asked only when an input is left: a run that is signalled after its last one is
                # complete, not stopped.
                self.stopped = True
                return None
            else:
                return number, position // self._world_size, item
        return None
