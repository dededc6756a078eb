"""One rank's work: hand inputs out, take their rows, write them group by group."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ..reading import OnError, Reading, ReadingFailed
from .groups import Group
from .store.ledger import ResultWriter
from .table.row import storable
from .table.rows import readings_and_rows
from .table.trace_column import StoredTrace

if TYPE_CHECKING:
    from ...data.collection import Item
    from .run_output import RunOutput

_LONGEST_HELD_SECONDS = 30.0
"""How long rows wait for those of inputs before them, where groups are read side by side."""


_MANY_UNITS = 100_000
"""Of a group, so that its rows are packed at once: a unit takes 40 bytes as a Python object, with
its characters 250, and 8 or 24 in a table."""


class Share(Protocol):
    """Where a rank's inputs come from."""

    @property
    def keeps_partial(self) -> bool:
        """Whether rows of groups that were not read to their end are kept."""
        ...

    @property
    def found_done(self) -> int:
        """Inputs that were passed over: they have a row."""
        ...

    @property
    def stopped(self) -> bool:
        """Whether inputs are left because the run was told to stop."""
        ...

    def calls(self) -> Iterator[Iterator[tuple[Group, int, Item]]]:
        """Yield what is read in one call: its inputs, each with its group and position."""
        ...


@dataclass
class Progress:
    """What was done so far, for the bar."""

    inputs: int = 0
    """That were read, or passed over because they have a row."""

    skipped: int = 0
    """Bad ones that were left without a row."""

    units_read: int = 0
    units_total: int = 0
    macs: int = 0
    dense_macs: int = 0

    def add(self, row: dict[str, Any]) -> None:
        """Count one more input."""
        self.inputs += 1
        trace = row["trace"]
        if trace is None:
            return
        self.units_read += row["units_read"]
        self.units_total += row["units_total"]
        is_stored = isinstance(trace, StoredTrace)
        if dense_macs := trace.dense_macs if is_stored else trace["dense_macs"]:
            self.macs += row["macs"]
            self.dense_macs += dense_macs

    def __add__(self, other: Progress) -> Progress:
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Progress(*(mine + theirs for mine, theirs in pairs))

    def told(self) -> str:
        """`read 31.0%, computed 20.1%`."""
        if not self.units_total:
            return ""
        shares = f"read {self.units_read / self.units_total:.1%}"
        if self.dense_macs:
            shares += f", computed {self.macs / self.dense_macs:.1%}"
        return shares


class Work:
    """The state of one rank's run: what is in flight, and whether it stopped.

    Args:
        out: What reads the inputs, and what rows are of.
        writer: Takes the rows.
        share: Where inputs come from.
        on_error: See `job.run`.
        is_told_to_stop: Whether the run was.
        tell: Is called with the progress after each input.
        judge: Is called with the row of each input, which may then be the last one.
        most_units_held: Units of rows in memory with which these are committed.
    """

    def __init__(
        self,
        out: RunOutput,
        writer: ResultWriter,
        share: Share,
        *,
        on_error: OnError,
        is_told_to_stop: Callable[[], bool],
        tell: Callable[[Progress], object],
        judge: Callable[[dict[str, Any]], object],
        most_units_held: int,
    ) -> None:
        self.pipe = out.pipe
        self.record = out.record
        self.keep_text = out.keep_text
        self.writer = writer
        self.share = share
        self.on_error = on_error
        self.is_told_to_stop = is_told_to_stop
        self.tell = tell
        self.judge = judge
        self.most_units_held = most_units_held
        self.progress = Progress()
        self.stopped = False
        self._found_done = 0
        self._units_held = 0
        self._open: deque[Group] = deque()  # in order, with rows that are not the writer's yet
        self._in_flight: dict[str, tuple[Group, int]] = {}
        self._rows_of_groups: Any = getattr(out.pipe, "rows_of_groups", None)  # see `RayPipeline`
        self._written_at = time.monotonic()

    def do(self) -> None:
        """Read this rank's inputs, and write a row for each."""
        keep_workers = getattr(self.pipe, "keep_workers", nullcontext)
        try:
            with keep_workers():
                for call in self.share.calls():
                    self._read(call)
        finally:
            self.stopped = self.stopped or self.share.stopped
            self._pass_over()
            if self.share.keeps_partial:
                self._write_partly()  # what was finished is finished work
            else:
                self.writer.discard()

    def _read(self, call: Iterator[tuple[Group, int, Item]]) -> None:
        """Read the inputs of a call, apart from those of all others."""
        given = self._hand_out(call)
        if self._rows_of_groups is not None:  # reads elsewhere, and keeps groups apart there
            made = self._rows_of_groups(given, keep_text=self.keep_text)
        else:
            made = readings_and_rows(
                self.pipe,
                (item for _, item in given),
                record=self.record,
                order="completed",
                keep_text=self.keep_text,
                is_video=self.record.kind == "video",
                lists_units=False,  # the writer takes them from traces
            )
        with closing(made):
            for reading, row in made:
                self._take(reading, row)
        self._write_whole_groups()

    def _hand_out(self, call: Iterator[tuple[Group, int, Item]]) -> Iterator[tuple[Group, Item]]:
        for group, position, item in call:
            if not self._open or self._open[-1] is not group:
                self._open.append(group)
            self._in_flight[storable(item.id)] = group, position
            group.end = position + 1
            yield group, item

    def _take(self, reading: Reading, row: dict[str, Any]) -> None:
        group, position = self._in_flight.pop(reading.id)
        reason = row["error_reason"]
        if reason == "worker_crashed" and self.is_told_to_stop():
            # Ctrl-C reaches the decoders' processes too: this input is not bad, only left undone.
            self.stopped = True
            return
        if reason is not None and self.on_error == "raise":
            raise ReadingFailed(
                reading,
                "resume with on_error='record' (--resume --on-error record) to go on past it",
            )
        group.answered += 1
        if reason is not None and self.on_error == "skip":
            self.progress.skipped += 1
            group.skipped += 1
        else:
            group.rows.append((position, row))
            self._units_held += _units_of(row)
        self.progress.add(row)
        self.judge(row)
        self._pass_over()
        self.tell(self.progress)
        self._write_whole_groups()
        if self._units_held > self.most_units_held and self.writer.rows_per_part is not None:
            # Before the units of long sources fill the memory; groups stay whole.
            self.writer.commit()
            self._units_held = 0

    def _pass_over(self) -> None:
        more = self.share.found_done - self._found_done
        self._found_done += more
        self.progress.inputs += more
        if more:
            self.tell(self.progress)

    def _write_whole_groups(self) -> None:
        while self._open and self._open[0].is_done:
            self._write(self._open.popleft())
        if self._rows_of_groups is not None:
            self._write_behind()

    def _write_behind(self) -> None:
        """Of groups that are read side by side one may take hours: write the others meanwhile."""
        if time.monotonic() - self._written_at > _LONGEST_HELD_SECONDS:
            self._written_at = time.monotonic()
            for group in [group for group in self._open if group.is_done]:
                self._open.remove(group)
                self._write(group)

    def _write_partly(self) -> None:
        for group in self._open:
            self._write(group)

    def _write(self, group: Group) -> None:
        self._written_at = time.monotonic()
        if not group.rows:
            return
        pairs = sorted(group.rows, key=lambda pair: pair[0])
        self.writer.write_group(
            (row for _, row in pairs),
            first=pairs[0][0] if group.column is None else group.first,
            end=group.end,
            column=group.column,
        )
        if sum(_units_of(row) for _, row in pairs) > _MANY_UNITS:
            self.writer.pack()
        group.rows = []


def _units_of(row: dict[str, Any]) -> int:
    units: int = (row["units_read"] or 0) + (row["units_skimmed"] or 0)
    return units + len(row.get("spans") or ())
