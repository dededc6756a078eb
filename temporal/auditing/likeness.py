"""Are inputs like those that calibrated a reader? Tested while it reads, without a label.

Each signal of the readings (`signals`) is compared with what calibration stored of it, by an exact
two-sample test (`two_sample`), after 32 inputs, after half as many again, and so on to 4,096; then
anew, so that a change late in a long run is seen as well. Every look has its part of the error:

    level / (2 * signals) * 1 / ((look + 1)(look + 2)) * 1 / ((period + 1)(period + 2))

which add up, over all looks for ever, to half of the level (Bonferroni). The other half is for one
look at a whole run once it is over (`differing`). So inputs like those of calibration raise a false
alarm, ever, with a probability of at most `level`. Both samples are taken as independent draws:
clips of one session, or a collection in the order of its topics, resemble each other more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .signals import SIGNALS, Counts, add
from .two_sample import p_value

_FIRST_LOOK = 32
_PERIOD = 4096


def _looks() -> tuple[int, ...]:
    looks, size = [], _FIRST_LOOK
    while size < _PERIOD:
        looks.append(size)
        size += size // 2
    return (*looks, _PERIOD)


LOOKS = _looks()
"""After how many inputs of a period it is tested."""


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
        Unlike(signal=name, p_value=p_value(stored[name], counts[name]), inputs=sum(counts[name]))
        for name in shared
    ]
    if not found:
        return None
    least = min(found, key=lambda one: one.p_value)
    return least if least.p_value <= level / len(shared) else None


class Likeness:
    """Compares a run with calibration as readings come; see the module.

    Args:
        stored: counts of calibration by signal.
        level: probability of a false alarm, at most; half of it is left for the end of the run.
        first_period: 0, or more where a run is gone on with: its looks have been spent.

    Attributes:
        unlike: the first signal that was found to differ, and when; None so far.
    """

    def __init__(
        self, stored: Mapping[str, Sequence[int]], *, level: float = 0.05, first_period: int = 0
    ) -> None:
        self.stored = stored
        self.level = level / 2
        self.unlike: Unlike | None = None
        self._period = first_period
        self._counts: Counts = {}
        self._inputs = self._look = 0

    def add(self, reading: Mapping[str, int]) -> Unlike | None:
        """Take in the cells of one more reading; what was found just now, if anything was.

        Args:
            reading: of `signals.cells`.
        """
        if self.unlike is not None:
            return None
        add(self._counts, reading)
        self._inputs += 1
        if self._inputs < LOOKS[self._look]:
            return None
        level = self.level / ((self._look + 1) * (self._look + 2))
        level /= (self._period + 1) * (self._period + 2)
        self.unlike = differing(self.stored, self._counts, level=level)
        self._look += 1
        if self._look == len(LOOKS):
            self._period, self._look, self._inputs, self._counts = self._period + 1, 0, 0, {}
        return self.unlike
