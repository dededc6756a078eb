"""`Session`: one rank's part in a run whose ranks share their work, from its begin to its end."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING

from ....data.names.known_names import KnownNames
from ..groups import Bounds
from ..store.parts import FreeNames
from ..table.row import storable
from ..work import Progress
from .board import Board, BoardLost
from .lister import Lister
from .watch import Watch

if TYPE_CHECKING:
    from ....data.collection import Item

_LAST_SECONDS = 1.0
"""What a rank is given to leave by itself, once all is written by others."""

_LONGEST_START_SECONDS = 600.0
_TELL_SECONDS = 0.2
_POLL_SECONDS = 0.02


class Session:
    """Keeps a rank in touch with the others while it works; used as a context manager.

    The first rank speaks for all: it lists the collection, sums the rows and shows them. When it is
    gone, the next one does.

    Args:
        board: of the run.
        output: the run's directory.
        items: the whole collection.
        bounds: where its groups end.
        done: finds the ids of inputs that have a row; asked for by the rank that lists.
        is_told_to_stop: whether this rank was.
        show: is called with what all ranks have done, by the one that speaks.
        may_exit: end this process when it still reads what others have written meanwhile.
    """

    def __init__(
        self,
        board: Board,
        output: str | os.PathLike[str],
        items: Iterable[Item],
        bounds: Bounds,
        *,
        done: Callable[[], KnownNames],
        is_told_to_stop: Callable[[], bool],
        show: Callable[[Progress], object],
        may_exit: bool,
    ) -> None:
        self.board = board
        self.watch = Watch(board, is_told_to_stop, self._tick)
        self.speaks = False
        """Whether this rank speaks for all."""
        self._output = output
        self._items = items
        self._bounds = bounds
        self._done = done
        self._show = show
        self._may_exit = may_exit
        self._lister: Lister | None = None
        self._turn = threading.Lock()  # of beginning to list, and of ending
        self._is_over = False
        self._told_at = 0.0
        self._over_since: float | None = None

    def __enter__(self) -> Session:
        if self.board.rank == 0:
            self._speak()
            self.board.put("ready", True)
        self.watch.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._may_exit = False
        with self._turn:
            self._is_over = True
        if self._lister is not None:
            self._lister.stop()
        self.watch.__exit__(kind, error, traceback)

    def tell(self, progress: Progress, *, at_once: bool = False) -> None:
        """Let the others know what this rank has done."""
        now = time.monotonic()
        if at_once or now - self._told_at > _TELL_SECONDS:
            self._told_at = now
            self.board.put(f"progress/{self.board.rank}", progress)

    def all_done(self) -> Progress:
        """What all ranks have done; once all is written, no input counts twice."""
        board = self.board
        total = Progress()
        for rank in range(board.world_size):
            total += board.get(f"progress/{rank}") or Progress()
        inputs = board.number("read") if self._is_written() else total.inputs
        passed = board.get("passed") or 0
        return replace(total, inputs=passed + inputs, skipped=board.number("skipped"))

    def end(self) -> None:
        """Be told that all is written; return once the rank that speaks knows it as well.

        Who still reads what others have written leaves it then.
        """
        self._may_exit = False
        while not self.board.has("over"):
            if self.speaks:
                self.board.put("over", True)
            elif self.watch.is_stopped():
                return
            else:
                time.sleep(_POLL_SECONDS)

    def left_open(self) -> dict[int, list[str]]:
        """Ids of the inputs in blocks that ended each rank which read them, by such a rank."""
        left: dict[int, list[str]] = {}
        seen: set[int] = set()  # a block may have ended several ranks
        for rank in range(self.board.world_size):
            first, end = self.board.get(f"held/{rank}") or (0, 0)
            if first not in seen and self.board.has(f"open/{first}"):
                seen.add(first)
                groups = (self.board.get(f"group/{number}") for number in range(first, end))
                items = (item for group in groups if group is not None for _, item in group[2])
                left[rank] = [storable(item.id) for item in items]
        return left

    def fault(self) -> Exception | None:
        """What went wrong with listing the collection, in whichever rank."""
        return self.board.get("fault")

    def leave(self) -> None:
        """Go; the rank that holds the store waits for the others, as long as they live."""
        board = self.board
        board.add("left")
        if board.rank != 0:
            return
        deadline = time.monotonic() + 3 * _LAST_SECONDS
        while board.number("left") < board.world_size and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)

    def _speak(self) -> None:
        self.speaks = True
        self.board.put("speaker", self.board.rank)
        names = FreeNames(self._output)
        lister = Lister(self.board, self._items, self._bounds, done=self._done(), names=names)
        with self._turn:
            if self._is_over:  # this rank has ended meanwhile: the next one lists
                return
            self._lister = lister
            lister.start()

    def _tick(self) -> None:
        board = self.board
        speaker = board.get("speaker")
        self.speaks = speaker == board.rank
        is_next = self.watch.first_rank() == board.rank
        if is_next and not self.speaks and self.watch.is_gone(speaker):
            self._speak()
        if self.speaks:
            self._show(self.all_done())
        if self._may_exit and self._is_written():
            now = time.monotonic()
            self._over_since = self._over_since or now
            if now - self._over_since > _LAST_SECONDS:
                self._leave_the_rest()

    def _is_written(self) -> bool:
        board = self.board
        return board.has("all_listed") and board.number("done") >= board.number("listed")

    def _leave_the_rest(self) -> None:
        """End this process: what it still reads, others have written. Another rank speaks."""
        if self.speaks:
            others = range(self.board.world_size)
            others_here = [r for r in others if r != self.board.rank and not self.watch.is_gone(r)]
            if not others_here:
                return
            self.board.put("speaker", others_here[0])
        self.board.add("left")
        for child in multiprocessing.active_children():
            child.kill()
        os._exit(0)


def wait_until_ready(board: Board, is_stopped: Callable[[], bool]) -> bool:
    """Wait for the first rank to have made the output ready; False: stopped before.

    Raises:
        BoardLost: it is gone.
        Exception: what went wrong with listing the collection, which this rank came too late for.
    """
    deadline = time.monotonic() + _LONGEST_START_SECONDS
    while not board.has("ready"):
        if is_stopped():
            return False
        if board.has("stop"):
            if (fault := board.get("fault")) is not None:
                raise fault
            return False
        is_lost = board.has("dead/0") or time.monotonic() > deadline
        if is_lost and not board.has("ready"):  # it may have come and ended since the first look
            raise BoardLost("rank 0 has ended before the work began")
        time.sleep(_POLL_SECONDS)
    return True
