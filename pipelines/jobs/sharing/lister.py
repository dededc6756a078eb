"""`Lister`: one rank goes through the collection, once, and lays groups out for all ranks.

    group/N    inputs of group N that have no row; gone once these are written
    listed     groups laid out so far, those of which nothing is left included
    drawn      groups that ranks have taken, in their order
    all_listed that there are no more
    passed     inputs that have a row already

It is a little ahead of the ranks and no more, so that no process holds the whole collection.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ....data.names.known_names import KnownNames, key_of
from ....data.names.roll_call import RollCall
from ..groups import Bounds, Grouping
from ..store.parts import FreeNames
from ..table.row import storable
from .board import Board, BoardLost

if TYPE_CHECKING:
    from ....data.collection import Item

_GROUPS_AHEAD = 32
"""For each rank: blocks are shared out of as many."""

_EMPTY_AT_ONCE = 64
"""Groups of which nothing is left, that are told at once."""

_POLL_SECONDS = 0.02


class Lister:
    """Lays groups out in a thread of its own, from where another one was, if there was one.

    Args:
        board: of the run.
        items: the whole collection, in the order that it has every time.
        bounds: where groups end.
        done: ids of inputs that have a row.
        names: of parts, as they were before the run.
    """

    def __init__(
        self,
        board: Board,
        items: Iterable[Item],
        bounds: Bounds,
        *,
        done: KnownNames,
        names: FreeNames,
    ) -> None:
        self._board = board
        self._items = items
        self._bounds = bounds
        self._roll = RollCall(done)
        self._names = names
        self._is_over = False
        self._has_begun = False
        self._start = self._empty = 0
        self._thread = threading.Thread(target=self._run, name="temporal-lister", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End before the collection does, and wait for it."""
        self._is_over = True
        self._thread.join(timeout=10)

    def _run(self) -> None:
        try:
            self._list_all()
        except BoardLost:
            pass  # all ranks see it
        except Exception as error:
            self._board.put("fault", error if _travels(error) else RuntimeError(repr(error)))
            self._board.put("stop", True)

    def _list_all(self) -> None:
        start = self._start = self._board.number("listed")
        self._has_begun = start > 0
        passed = self._board.get("passed") or 0
        group: list[tuple[int, Item]] = []
        grouping = Grouping(self._items, self._bounds)
        number = -1
        for number, position, item in grouping:
            if self._is_over:
                return
            if number >= start:
                met = self._roll.meet(key_of(item_id := storable(item.id)))
                if met == "again":
                    raise ValueError(f"id ({item_id!r}) must be unique among the items")
                if met == "expected":
                    passed += 1
                else:
                    group.append((position, item))
            if grouping.ends_here:
                self._lay_out(number, group, passed)
                group = []
        if not grouping.ends_here and number >= 0:
            self._lay_out(number, group, passed)
        if self._empty and self._board.get("speaker") == self._board.rank:
            self._pass_over(passed)
        if not self._is_over:
            self._board.put("all_listed", True)

    def _lay_out(self, number: int, group: list[tuple[int, Item]], passed: int) -> None:
        if number < self._start:
            return  # another one has
        if not group and not self._has_begun:
            self._empty += 1
            if self._empty < _EMPTY_AT_ONCE:
                return
        board = self._board
        if number < board.number("listed"):
            return
        if board.get("speaker") != board.rank:  # another one thinks that this rank is gone
            self._is_over = True
            return
        self._pass_over(passed)
        if not group and not self._has_begun:
            return
        if group:
            self._has_begun = True
            ahead = _GROUPS_AHEAD * board.world_size
            _wait(lambda: self._is_over or board.number("drawn") + ahead > number)
            if self._is_over:
                return
            first = group[0][0]
            board.put(f"group/{number}", (first, self._names.column_for(first), group))
        board.put("passed", passed)
        board.add("listed", 1)

    def _pass_over(self, passed: int) -> None:
        """Of what comes first nothing is left: nobody needs to look at it."""
        board, count = self._board, self._empty
        self._empty = 0
        if not count:
            return
        board.add("drawn", count)
        board.add("done", count)
        board.put("passed", passed)
        board.add("listed", count)


def _wait(is_over: Callable[[], bool]) -> None:
    while not is_over():
        time.sleep(_POLL_SECONDS)


def _travels(error: Exception) -> bool:
    """Whether another process can be given an exception."""
    import pickle

    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return False
    return True
