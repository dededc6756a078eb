"""Are inputs like those that calibrated a reader? Tested while it reads, without a label.

Each signal of the readings (`signals`) is compared with what calibration stored of it, by an exact
two-sample test (`two_sample`), after 32 inputs, after half as many again, and so on to the end of a
period; then anew. Periods of 128 inputs see a change soon, whenever it comes; beside them, periods
of 4,096 see smaller ones. Every look has its part of the error:

    level / (4 * signals) * 1 / ((look + 1)(look + 2)) * 1 / ((period + 1)(period + 2))

which add up, over all looks of both for ever, to half of the level (Bonferroni). The other half is
for one look at a whole run once it is over (`differing`). So inputs like those of calibration raise
a false alarm, ever, with a probability of at most `level`. Both samples are taken as independent
draws: clips of one session, or a collection in the order of its topics, resemble each other more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .signals import SIGNALS, Counts, add
from .two_sample import p_value

_FIRST_LOOK = 32
_PERIODS = (128, 4096)


@dataclass(frozen=True, kw_only=True, slots=True)
class Unlike:
    """A signal that is not distributed as at calibration."""

    signal: str
    """One of `SIGNALS`."""
    p_value: float
    """How likely so large a difference is where there is none."""
    inputs: int
    """After so many inputs."""

    @property
    def told(self) -> str:
        """It in words."""
        return f"{SIGNALS[self.signal]} differs (p = {self.p_value:.1g} on {self.inputs:,} inputs)"


def differing(
    stored: Mapping[str, Sequence[int]],
    counts: Mapping[str, Sequence[int]],
    *,
    level: float = 0.025,
) -> Unlike | None:
    """The signal that differs most between calibration and a run, once; None: none does.

    Args:
        stored: counts of calibration by signal.
        counts: those of the run.
        level: probability of telling one where none differs, at most.
    """
    shared = [name for name in stored if any(counts.get(name, ()))]
    found = [
        Unlike(signal=name, p_value=p, inputs=sum(counts[name]))
        for name in shared
        if (p := p_value(stored[name], counts[name], up_to=level / len(shared))) is not None
    ]
    return min(found, key=lambda one: one.p_value, default=None)


class Likeness:
    """Compares a run with calibration as readings come; see the module.

    Args:
        stored: counts of calibration by signal.
        level: probability of a false alarm, at most; half of it is left for the end of the run.
        inputs_before: of a run that is gone on with: their looks have been spent.

    Attributes:
        unlike: the first signal that was found to differ, and when; None so far.
    """

    def __init__(
        self, stored: Mapping[str, Sequence[int]], *, level: float = 0.05, inputs_before: int = 0
    ) -> None:
        self.stored = stored
        self.unlike: Unlike | None = None
        self._periods = [
            _Period(length, level / 2 / len(_PERIODS), inputs_before) for length in _PERIODS
        ]

    def add(self, reading: Mapping[str, int]) -> Unlike | None:
        """Take in the cells of one more reading; what was found just now, if anything was.

        Args:
            reading: of `signals.cells`.
        """
        if self.unlike is None:
            found = [period.add(reading, self.stored) for period in self._periods]
            self.unlike = next(filter(None, found), None)
            return self.unlike
        return None


class _Period:
    """Looks at inputs from the first of a period on, period after period."""

    def __init__(self, length: int, level: float, inputs_before: int) -> None:
        self._length, self._level = length, level
        self._number = 1 + inputs_before // length if inputs_before else 0
        self._begin()

    def _begin(self) -> None:
        self._inputs = self._look = 0
        self._next_look = _FIRST_LOOK
        self._counts: Counts = {}

    def add(self, reading: Mapping[str, int], stored: Mapping[str, Sequence[int]]) -> Unlike | None:
        add(self._counts, reading)
        self._inputs += 1
        if self._inputs < self._next_look:
            return None
        level = self._level / ((self._look + 1) * (self._look + 2))
        found = differing(
            stored, self._counts, level=level / ((self._number + 1) * (self._number + 2))
        )
        self._look += 1
        self._next_look = min(self._next_look + self._next_look // 2, self._length)
        if self._inputs == self._length:
            self._number += 1
            self._begin()
        return found
