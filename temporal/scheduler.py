"""The scheduler under the engine: which readers are ready, what waits for a stage, what is read."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import torch

from .handle import Handle, ReadRequest
from .rows import WrongRowsError
from .slots import HeldSlots
from .source import Source
from .stage import Stage, StageCall
from .stage_queue import StageQueue
from .trace import Trace

ReadFunction = Callable[..., Coroutine[Any, Any, Any]]
"""`async def read(handle)` for one source, or `async def read(handles)` for a cohort."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineSettings:
    """The engine's arguments; see `Engine`."""

    max_in_flight: int
    max_batch_size: int | None
    num_threads: int
    deterministic: bool
    count_macs: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of one source."""

    index: int
    """Position of the source in the input, counted over the members of cohorts."""

    source: Source
    """The source itself."""

    value: Any = None
    """What the reader returned for it; None after an error."""

    trace: Trace | None = None
    """What the reader read, skipped and halted, up to the error if there was one."""

    error: Exception | None = None
    """The exception that ended this reader."""

    fault: Exception | None = None
    """The first exception that a reader worked around: `value` comes from what else it read."""


class _Reader:
    """One coroutine in flight, for one source or a cohort."""

    __slots__ = ("coroutine", "handles", "is_cohort", "slots", "start")

    def __init__(self, read: ReadFunction, item: Source | Sequence[Source], start: int) -> None:
        self.is_cohort = isinstance(item, list | tuple)
        sources: list[Any] = list(item) if isinstance(item, list | tuple) else [item]
        self.handles = [Handle(source) for source in sources]
        self.start = start
        self.slots = HeldSlots()
        self.coroutine = read(self.handles if self.is_cohort else self.handles[0])


class EngineRun:
    """The state of one `Engine.run`."""

    def __init__(
        self, settings: EngineSettings, read: ReadFunction, items: Iterator[Any], *, in_order: bool
    ) -> None:
        self.settings = settings
        self.read = read
        self.items = items
        self.in_order = in_order
        self.exhausted = False
        self.held_back: Any = None  # an item that was taken from the stream but does not fit yet
        self.in_flight = 0  # sources
        self.next_index = 0  # of the next source that is admitted
        self.next_out = 0  # of the next source in input order that is to be yielded
        self.finished: dict[int, Outcome] = {}
        self.ready: deque[tuple[_Reader, Any, Exception | None]] = deque()
        self.readers: set[_Reader] = set()
        self.alone: deque[tuple[Source, int]] = deque()  # members of a failed cohort
        self.waiting = StageQueue()
        self.reading: dict[Future[Any], _Reader] = {}  # in the order asked
        self.threads: ThreadPoolExecutor | None = None
        self.arrival_seconds = 0.0  # moving mean of the time between two finished reads
        self.last_arrival = time.perf_counter()

    def outcomes(self) -> Iterator[Outcome]:
        """Drive everything, and yield outcomes as they come."""
        while True:
            self._admit()
            if self.ready:
                self._step(*self.ready.popleft())
            elif (stage := self._stage_to_run()) is not None:
                self._run_stage(stage)
            elif self.reading:
                self._take_reads(block=True)
            elif self.exhausted and not self.alone and not self.readers:
                yield from self._pass_on()
                return
            yield from self._pass_on()

    def close(self) -> None:
        """Cancel what is in flight and free it."""
        for future in self.reading:
            future.cancel()
        errors = []
        for reader in self.readers:
            try:
                reader.coroutine.close()
            except Exception as error:  # a reader's own clean-up failed: the others' must still run
                errors.append(error)
            reader.slots.free()
        self.readers.clear()
        self.waiting.clear()
        self.reading.clear()
        if self.threads is not None:
            self.threads.shutdown(wait=True, cancel_futures=True)
        if errors:
            raise errors[0]

    def _admit(self) -> None:
        limit = self.settings.max_in_flight
        while self.alone and (self.in_flight < limit):
            source, index = self.alone.popleft()
            self._start(_Reader(self.read, [source], index))
        # Outcomes that wait for their turn hold memory too, so they count, at a lower rate: one
        # slow reader must not stop the others at once.
        while not self.exhausted and len(self.finished) < 4 * limit:
            if self.held_back is None:
                try:
                    self.held_back = next(self.items)
                except StopIteration:
                    self.exhausted = True
                    return
            size = len(self.held_back) if isinstance(self.held_back, list | tuple) else 1
            if self.in_flight and self.in_flight + size > limit:
                return
            item, self.held_back = self.held_back, None
            if size:
                self._start(_Reader(self.read, item, self.next_index))
                self.next_index += size

    def _start(self, reader: _Reader) -> None:
        self.in_flight += len(reader.handles)
        self.readers.add(reader)
        self.ready.append((reader, None, None))

    def _step(self, reader: _Reader, value: Any, error: Exception | None) -> None:
        """Let a reader run to its next await, and queue what it asks for."""
        try:
            with torch.inference_mode():
                if error is None:
                    request = reader.coroutine.send(value)
                else:
                    request = reader.coroutine.throw(error)
                while isinstance(request, StageCall) and self._is_alone():
                    request = self._run_alone(reader, request)
        except StopIteration as stop:
            self._finish(reader, stop.value, None)
        except Exception as exception:
            self._finish(reader, None, exception)
        else:
            if isinstance(request, StageCall):
                self.waiting.add(reader, request)
            elif isinstance(request, ReadRequest):
                self._read(reader, request)
            else:
                self._step(
                    reader,
                    None,
                    TypeError(
                        f"a reader awaited {type(request).__name__}: inside a reader await only "
                        "stages and the source's handle (asyncio has no loop here)"
                    ),
                )

    def _is_alone(self) -> bool:
        """Whether one reader is all there is: its stages have no company to wait for."""
        return len(self.readers) == 1 and not self.alone

    def _run_alone(self, reader: _Reader, call: StageCall) -> Any:
        """Run a stage for one reader, and let it run to its next await. Returns what it awaits."""
        try:
            (result,) = self._compute(call.stage, [call], [reader])
        except Exception as error:
            return reader.coroutine.throw(error)
        return reader.coroutine.send(result)

    def _finish(self, reader: _Reader, value: Any, error: Exception | None) -> None:
        self.readers.discard(reader)
        reader.slots.free()
        self.in_flight -= len(reader.handles)
        if error is None and reader.is_cohort:
            count = len(value) if isinstance(value, Sequence) else None
            if count != len(reader.handles):
                error = ValueError(
                    f"a cohort of {len(reader.handles)} returned {count} values: "
                    "read must return a list with one per source"
                )
        if error is not None and not isinstance(error, WrongRowsError) and len(reader.handles) > 1:
            self.alone.extend(
                (handle.source, reader.start + k) for k, handle in enumerate(reader.handles)
            )
            return
        for k, handle in enumerate(reader.handles):
            index = reader.start + k
            self.finished[index] = Outcome(
                index=index,
                source=handle.source,
                value=None if error is not None else value[k] if reader.is_cohort else value,
                trace=handle.trace(),
                error=error,
                fault=handle.faults[0] if handle.faults else None,
            )

    def _pass_on(self) -> Iterator[Outcome]:
        if self.in_order:
            while self.next_out in self.finished:
                outcome = self.finished.pop(self.next_out)
                self.next_out += 1
                yield outcome
        else:
            while self.finished:
                yield self.finished.pop(next(iter(self.finished)))

    # Reads -------------------------------------------------------------------------------------

    def _read(self, reader: _Reader, request: ReadRequest) -> None:
        if request.handle.source.in_memory:
            try:
                self.ready.append((reader, request.run(), None))
            except Exception as error:
                self.ready.append((reader, None, error))
            return
        if self.threads is None:
            self.threads = ThreadPoolExecutor(self.settings.num_threads, "temporal-read")
        self.reading[self.threads.submit(request.run)] = reader

    def _take_reads(self, *, block: bool) -> None:
        """Move finished reads to the ready readers."""
        if self.settings.deterministic:
            done = [next(iter(self.reading))]  # the oldest, whichever is done first
        else:
            done = [future for future in self.reading if future.done()]
            if not done and block:
                # With rows waiting for a stage, no longer than joining one more call could save.
                limit = self.waiting.fixed_seconds
                finished = wait(self.reading, limit, return_when=FIRST_COMPLETED).done
                done = [future for future in self.reading if future in finished]
        for future in done:
            reader = self.reading.pop(future)
            error = future.exception()
            if error is not None and not isinstance(error, Exception):
                raise error
            self.ready.append((reader, None if error else future.result(), error))
            now = time.perf_counter()
            self.arrival_seconds = 0.8 * self.arrival_seconds + 0.2 * (now - self.last_arrival)
            self.last_arrival = now

    # Stages ------------------------------------------------------------------------------------

    def _stage_to_run(self) -> Stage | None:
        """The stage whose batch should run now; None: wait for reads first."""
        if not self.waiting:
            return None
        longest, num_rows = self.waiting.longest()
        limit = self.settings.max_batch_size
        if not self.reading or (limit is not None and num_rows >= limit):
            return self.waiting.overdue() or longest
        if self.settings.deterministic:
            return None
        # A read that is done costs no wait. Else: joining one more call to the batch saves a
        # batch's fixed cost, while the stage idles until the next read arrives.
        if any(future.done() for future in self.reading):
            return None
        arrival_seconds = max(self.arrival_seconds, time.perf_counter() - self.last_arrival)
        return longest if longest.fixed_seconds <= arrival_seconds else None

    def _run_stage(self, stage: Stage) -> None:
        """Join what waits for a stage, run it, and hand each reader its rows."""
        batch, readers = self.waiting.take(stage, self.settings.max_batch_size)
        try:
            results = self._compute(stage, batch, readers)
        except Exception as error:
            if isinstance(error, WrongRowsError):
                # A stage that loses rows is not to be trusted with fewer of them, either.
                own = (WrongRowsError(*error.args) for _ in readers)
                self.ready.extend((reader, None, e) for reader, e in zip(readers, own, strict=True))
                return
            if len(batch) == 1:
                self.ready.append((readers[0], None, error))
                return
            for reader, call in zip(readers, batch, strict=True):  # find the guilty call
                try:
                    (result,) = self._compute(stage, [call], [reader])
                except Exception as own_error:
                    self.ready.append((reader, None, own_error))
                else:
                    self.ready.append((reader, result, None))
            return
        self.ready.extend(
            (reader, result, None) for reader, result in zip(readers, results, strict=True)
        )

    def _compute(self, stage: Stage, batch: list[StageCall], readers: list[_Reader]) -> list[Any]:
        if stage.slots is not None:
            for call, reader in zip(batch, readers, strict=True):
                reader.slots.hold(call.slots)
        with torch.inference_mode():
            results, seconds, macs = stage.run(batch, count_macs=self.settings.count_macs)
        whole = sum(macs)
        start = 0
        for call, reader in zip(batch, readers, strict=True):
            end = start + call.num_rows
            if call.rows is None:  # all members alike
                owners: Sequence[int] = range(len(reader.handles))
                charges: Sequence[float] = [sum(macs[start:end]) / len(owners)] * len(owners)
            else:
                owners, charges = call.rows, macs[start:end]
            even = call.num_rows / max(len(macs) * len(owners), 1)
            for row, charge in zip(owners, charges, strict=True):
                share = charge / whole if whole else even
                reader.handles[row].charge(charge, seconds * share)
            if call.is_halved:
                for row in set(owners):
                    reader.handles[row].batches_halved += 1
            start = end
        return results
