"""`Watch`: a rank's look at the others, a few times a second: who stopped, who is gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from .board import Board, BoardLost

_SECONDS = 0.2
_SECONDS_BETWEEN_LOOKS = 5.0  # at each other rank
_SILENT_SECONDS = 30.0
"""Ranks that say nothing for so long are gone: a rank says something whatever it computes."""


class Watch:
    """Tells the others that this rank lives and whether it was told to stop, and hears them.

    As a context manager it runs in a thread of its own.

    Args:
        board: of the run.
        is_told_to_stop: whether this rank was.
        tick: is called in that thread, time and again.
    """

    def __init__(
        self, board: Board, is_told_to_stop: Callable[[], bool], tick: Callable[[], object]
    ) -> None:
        self._board = board
        self._is_told_to_stop = is_told_to_stop
        self._tick = tick
        self._has_ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="temporal-watch", daemon=True)
        self._heard: dict[int, tuple[int, float]] = {}  # of other ranks: what, and when
        self._gone: set[int] = set()
        self._others_stop = False
        self._deaths, self._look_again_at = 0, 0.0
        self.lost: BoardLost | None = None
        """Why the others cannot be heard any more."""

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._has_ended.set()
        self._thread.join(timeout=5)

    def is_stopped(self) -> bool:
        """Whether a rank was told to stop, or the others cannot be heard."""
        return self._others_stop or self.lost is not None or self._is_told_to_stop()

    def is_gone(self, rank: int) -> bool:
        """Whether a rank has ended, or is silent."""
        return rank in self._gone

    def first_rank(self) -> int:
        """The first of the ranks that are not gone."""
        return next(rank for rank in range(self._board.world_size) if rank not in self._gone)

    def _run(self) -> None:
        try:
            while not self._has_ended.wait(_SECONDS):
                self._look()
                self._tick()
        except BoardLost as error:
            self.lost = error

    def _look(self) -> None:
        board = self._board
        board.add(f"beat/{board.rank}")
        if self._is_told_to_stop():
            board.put("stop", True)
        self._others_stop = board.has("stop")
        now = time.monotonic()
        deaths = board.number("deaths")
        if deaths == self._deaths and now < self._look_again_at:
            return
        self._deaths, self._look_again_at = deaths, now + _SECONDS_BETWEEN_LOOKS
        for rank in range(board.world_size):
            if rank == board.rank:
                continue
            beat = board.number(f"beat/{rank}")
            last, since = self._heard.get(rank, (-1, now))
            if beat != last:
                since = now
            self._heard[rank] = beat, since
            is_gone = now - since > _SILENT_SECONDS or board.has(f"dead/{rank}")
            (self._gone.add if is_gone else self._gone.discard)(rank)
