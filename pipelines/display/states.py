"""What became of each unit and each word, for drawing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from temporal.trace import Trace


class State(IntEnum):
    """What a reading did with a unit; of two states the greater one read more."""

    UNREACHED = 0
    """It lies after the point where the reading halted."""

    SKIPPED = 1
    """The reading passed over it."""

    SKIMMED = 2
    """It was looked at with a cheaper computation."""

    READ = 3
    """It was read in full."""


STATE_NAMES = {
    State.READ: "read",
    State.SKIMMED: "skimmed",
    State.SKIPPED: "skipped",
    State.UNREACHED: "not reached",
}
"""What legends call the states."""


@dataclass(frozen=True, kw_only=True)
class Word:
    """A piece of text without spaces."""

    text: str
    """Its characters."""

    state: State
    """The most that was done with one of its units."""

    halts: bool = False
    """The reading halted on this word."""


def reads_forward(trace: Trace) -> bool:
    """Whether units were read in rising order, so that a halt is a point in the source."""
    return all(a < b for a, b in zip(trace.read, trace.read[1:], strict=False))


def unit_states(trace: Trace) -> list[State]:
    """State of every unit, in the source's order.

    A coarse-to-fine reading that halts has no point after which nothing was reached: all that it
    did not read counts as skipped.
    """
    end = trace.units_total
    if trace.halted_at is not None and reads_forward(trace):
        end = trace.halted_at + 1
    states = [State.SKIPPED] * end + [State.UNREACHED] * (trace.units_total - end)
    for unit in trace.skimmed:
        states[unit] = State.SKIMMED
    for unit in trace.read:
        states[unit] = State.READ
    return states


def words(text: str, spans: Sequence[Sequence[int]], trace: Trace) -> list[Word]:
    """Split a text at white space and give each word the state of its units.

    Args:
        text: The text that was read.
        spans: Characters `[start, stop)` of each unit.
        trace: Its reading. A word without a unit (past the reader's limit) is unreached.
    """
    states = unit_states(trace)
    halt_start = None
    if trace.halted_at is not None and reads_forward(trace) and trace.halted_at < len(spans):
        halt_start = spans[trace.halted_at][0]
    units = [(s[0], s[1], state) for s, state in zip(spans, states, strict=False) if s[0] < s[1]]
    found: list[Word] = []
    first = 0
    for match in re.finditer(r"\S+", text):
        start, stop = match.span()
        while first < len(units) and units[first][1] <= start:
            first += 1
        state = State.UNREACHED
        for unit_start, _, unit_state in units[first:]:
            if unit_start >= stop:
                break
            state = max(state, unit_state)
        halts = halt_start is not None and start <= halt_start < stop
        found.append(Word(text=match.group(), state=state, halts=halts))
    return found


def bins(states: Sequence[State], count: int) -> list[State]:
    """Squeeze (or stretch) a timeline to `count` cells; a cell shows the most that was done."""
    total = len(states)
    if total == 0:
        return []
    cells = []
    for cell in range(count):
        start = cell * total // count
        stop = max(start + 1, (cell + 1) * total // count)
        cells.append(max(states[start:stop]))
    return cells
