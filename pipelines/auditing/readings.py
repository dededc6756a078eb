"""Readings of an audited pipeline: adaptive ones, some read in full afterwards, all after an alarm.

An answer is yielded before its input is read in full. Inputs that were taken and have no answer yet
when the alarm is raised are read anew, in full. Audits and signals are counted in the order
of the inputs, whatever is completed first: short texts and easy videos are, and a sequence that
began with those would not be one of draws.
"""

from __future__ import annotations

import itertools
from collections import defaultdict, deque
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..reading import OnError, Reading, handled
from .audit import Audit, Audited, same_answer

if TYPE_CHECKING:
    from temporal.data import Item

_Value = TypeVar("_Value")


def audited_readings(
    pipe: Any, items: Iterator[Item], order: Any, on_error: OnError, top_k: int | None
) -> Generator[Reading, None, None]:
    """As `Pipeline._readings`, of a pipeline with an `audit`."""
    stream = iter(items)
    watched = _Watched(pipe, stream)
    with closing(watched.readings(order, top_k)) as readings:
        for reading in readings:
            yield from handled(reading, on_error)
    if pipe.audit.alarm:
        left = itertools.chain(watched.unanswered(), stream)
        with closing(pipe.in_full()._readings(left, order, "record", top_k)) as readings:
            for reading in readings:
                yield from handled(replace(reading, read_in_full=True), on_error)


class _InOrder(Generic[_Value]):
    """Values that become known in any order, and are taken in the order of their places."""

    def __init__(self) -> None:
        self._known: dict[int, _Value | None] = {}
        self._next = self._places = 0

    def place(self) -> int:
        """The next place."""
        self._places += 1
        return self._places - 1

    def put(self, place: int, value: _Value | None) -> list[_Value]:
        """Say what belongs to a place (None: nothing); what can be taken now."""
        self._known[place] = value
        taken = []
        while self._next in self._known:
            if (first := self._known.pop(self._next)) is not None:
                taken.append(first)
            self._next += 1
        return taken


class _Watched:
    """One call's readings, with what waits to be read in full."""

    def __init__(self, pipe: Any, stream: Iterator[Item]) -> None:
        self.pipe, self.stream = pipe, stream
        self.audit: Audit = pipe.audit
        self.seen: _InOrder[Reading] = _InOrder()
        self.audits: _InOrder[Audited] = _InOrder()
        # By id, which may repeat: place, that among the chosen (None: it is none), and input.
        self.in_flight: dict[str, deque[tuple[int, int | None, Item]]] = defaultdict(deque)
        self.waiting: list[tuple[int, Item, Reading]] = []
        self.num_audited = 0

    def readings(self, order: Any, top_k: int | None) -> Generator[Reading, None, None]:
        """Adaptive readings, until there are no more inputs or the alarm is raised."""
        readings = self.pipe._readings(self._handed_out(), order, "record", top_k)
        with closing(readings):
            for reading in readings:
                self._take(reading)
                yield reading
                if len(self.waiting) >= self._batch_size():
                    self._read_in_full()
                if self.audit.look():
                    break
        if self.waiting:
            self._read_in_full()

    def unanswered(self) -> list[Item]:
        """Inputs that had been taken and not answered when the alarm was raised, in order."""
        left = sorted(itertools.chain(*self.in_flight.values()), key=lambda one: one[0])
        return [item for _, _, item in left]

    def _handed_out(self) -> Iterator[Item]:
        while not self.audit.look():
            item = next(self.stream, None)
            if item is None:
                return
            is_chosen = item.error is None and self.audit.chooses(item.id)
            chosen = self.audits.place() if is_chosen else None
            self.in_flight[item.id].append((self.seen.place(), chosen, item))
            yield item

    def _take(self, reading: Reading) -> None:
        """Note an adaptive reading, before it is given to the caller."""
        place, chosen, item = self.in_flight[reading.id].popleft()
        if not self.in_flight[reading.id]:
            del self.in_flight[reading.id]
        answered = reading if reading.predictions else None
        for one in self.seen.put(place, answered):
            self.audit.see(one)
        if chosen is None:
            return
        if answered is None:
            self._count(chosen, None)
        else:
            self.audit.pending.add(reading.id)
            self.waiting.append((chosen, item, reading))

    def _batch_size(self) -> int:
        """One at first, so that an alarm comes early; then more at a time, which costs less.

        It depends on this call's inputs alone, so that a group of a job has the same bits always.
        """
        return max(1, min(self.pipe.batch_size, self.num_audited // 8))

    def _read_in_full(self) -> None:
        """Read what waits, and compare."""
        waiting, self.waiting = self.waiting, []
        self.num_audited += len(waiting)
        items = (item for _, item, _ in waiting)
        full = self.pipe.in_full()._readings(items, "input", "record", 1)
        with closing(full):
            for (place, item, adaptive), reading in zip(waiting, full, strict=True):
                agreed = None
                if reading.predictions:
                    agreed = same_answer(adaptive, reading, self.pipe.record.columns)
                audited = Audited(id=item.id, agreed=agreed, full=reading)
                self.audit.pending.discard(item.id)
                self.audit.finished.append(audited)
                self._count(place, audited)

    def _count(self, place: int, audited: Audited | None) -> None:
        for one in self.audits.put(place, audited):
            self.audit.count(one)
