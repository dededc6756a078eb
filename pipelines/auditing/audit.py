"""`Audit`: how often adaptive answers differ from those of the full reading, as it goes.

A certificate holds for inputs like those that calibrated it. An audit reads a random share of the
inputs in full as well, once their adaptive answer is given, and bounds the share of disagreement
by a confidence sequence, which may be looked at after any input (`temporal.auditing.betting`).
Beside it, and without reading anything twice, it compares how certain answers are and how much is
read with what calibration stored (`temporal.auditing.likeness`).
"""

from __future__ import annotations

import hashlib
import warnings
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from temporal.auditing.betting import checked_confidence, lower_bound, passes, upper_bound
from temporal.auditing.likeness import Likeness, Unlike
from temporal.auditing.signals import cells
from temporal.trace import Cost

from ..reading import Reading
from .others import Counts, Others

_MOST_FINISHED = 1024


class AuditWarning(UserWarning):
    """An audit has found what its user should know; see `Audit`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Audited:
    """What the full reading said of one input."""

    id: str
    """The input's name."""
    agreed: bool | None
    """Whether its answer is the adaptive one; None: it could not be read in full."""
    full: Reading
    """The full reading, with its trace and cost."""


class Audit:
    """Chooses inputs to read in full, counts disagreements, and raises alarms. Of one pipeline.

    It goes on over calls: what was counted in one counts in the next.

    Args:
        share: of the inputs that is read in full as well, 0 to 1. Which ones depends on their ids
            and the seed alone, not on order, processes or interruptions.
        max_disagreement: share of disagreement that is borne, in [0, 1). Once the lower bound says
            that it is passed, everything is read in full (`alarm`). None: any.
        confidence: of each bound, at all times at once, in (0, 1).
        seed: another one audits other inputs.

    Attributes:
        audited: inputs that were read both ways.
        disagreed: those of them with two answers.
        failed: inputs that could be read adaptively, and not in full.
        cost: of the full readings, which no trace and no row of an input holds.
        alarm: whether everything is read in full from now on.
        at_calibration: inputs that calibration read both ways; None where it did not note it.
        likeness: what compares with calibration; None where that stored nothing to compare with.
        finished: the last `Audited`, at most 1,024; a job takes each of them out.
        tell: what is called with a sentence when an alarm is raised; default: a warning.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        share: float,
        *,
        max_disagreement: float | None = None,
        confidence: float = 0.95,
        seed: int = 0,
    ) -> None:
        if not 0 <= share <= 1:
            raise ValueError(
                f"audit ({share}) must be between 0 and 1: a share of the inputs that is read in "
                "full as well, e.g. 0.02"
            )
        if max_disagreement is not None and not 0 <= max_disagreement < 1:
            raise ValueError(
                f"max_disagreement ({max_disagreement}) must be >= 0 and < 1: a share of the "
                "inputs whose answer may differ from the full reading's"
            )
        if max_disagreement is not None and not share:
            raise ValueError(
                f"max_disagreement ({max_disagreement}) is told by an audit: give audit, a share "
                "of the inputs, as well"
            )
        self.share, self.seed = share, seed
        self.max_disagreement = max_disagreement
        self.confidence = checked_confidence(confidence)
        self.full: tuple[Any, Any] | None = None  # a reader that reads all, and its module
        self.audited = self.disagreed = self.failed = 0
        self.cost = Cost()
        self.alarm = False
        self.at_calibration: Counts | None = None
        self.likeness: Likeness | None = None
        self.finished: deque[Audited] = deque(maxlen=_MOST_FINISHED)
        self.pending: set[str] = set()  # ids that are chosen and answered, and not audited yet
        self.others = Others()
        self._looked_at = Counts()
        self.tell: Callable[[str], None] = _warn

    @property
    def is_idle(self) -> bool:
        """Whether nothing is read twice: no share was asked for, or everything is read anyway."""
        return not self.share or self.full is None

    @property
    def watches(self) -> bool:
        """Whether there is anything to do for it."""
        return bool(self.share) or self.likeness is not None

    @property
    def total(self) -> Counts:
        """What was counted here and by other processes of the run."""
        return self.others.total + Counts(audited=self.audited, disagreed=self.disagreed)

    @property
    def bounds(self) -> tuple[float, float]:
        """Above which, and below which, the share of disagreement lies.

        Each with `confidence`, however often one looks.
        """
        total = self.total
        return (
            lower_bound(total.disagreed, total.audited, self.confidence),
            upper_bound(total.disagreed, total.audited, self.confidence),
        )

    @property
    def unlike(self) -> Unlike | None:
        """In what inputs differ from those of calibration; None: in nothing so far as is known."""
        return None if self.likeness is None else self.likeness.unlike

    def chooses(self, id: str) -> bool:
        """Whether an input of this name is one of the share."""
        if self.is_idle:
            return False
        name = f"{self.seed}:{id}".encode(errors="surrogateescape")
        number = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big")
        return number < self.share * 2**64

    def compare_with(self, stored: Mapping[str, Sequence[int]], **options: Any) -> None:
        """Compare readings with what calibration stored of its own; see `Likeness`."""
        self.likeness = Likeness(stored, **options) if stored else None

    def see(self, reading: Reading | None) -> None:
        """Take in an adaptive reading, in the order of the inputs; None: it has no answer."""
        if self.likeness is None or reading is None or self.likeness.unlike is not None:
            return
        if found := self.likeness.add(cells_of(reading)):
            self.tell(
                f"the inputs are unlike those that the reader was calibrated on: {found.told}"
            )

    def count(self, audited: Audited) -> None:
        """Take in an audit, in the order of the inputs, and look whether it is one too many."""
        if audited.agreed is None:
            self.failed += 1
        else:
            self.audited += 1
            self.disagreed += not audited.agreed
            self.others.publish(self.audited, self.disagreed)
            self.others.look()
        if audited.full.trace is not None:
            self.cost += audited.full.trace.cost
        self.look()

    def look(self) -> bool:
        """Whether the alarm is raised, by what is counted here or elsewhere."""
        if self.alarm or self.max_disagreement is None:
            return self.alarm
        self.others.look()
        total = self.total
        if total == self._looked_at:
            return False
        self._looked_at = total
        if passes(total.disagreed, total.audited, self.max_disagreement, self.confidence):
            self.alarm = True
            self.tell(
                f"the answers of {total.disagreed:,} of {total.audited:,} audited inputs differ "
                f"from the full reading's, which is more than {self.max_disagreement:.1%} with "
                f"{self.confidence:.0%} confidence: what comes is read in full"
            )
        return self.alarm

    def restore(self, *, audited: int, disagreed: int, failed: int, alarm: bool) -> None:
        """Go on with what was counted before, e.g. in the rows of a run that is resumed."""
        self.audited, self.disagreed, self.failed = audited, disagreed, failed
        self.alarm = alarm
        self.others.publish(audited, disagreed)

    @property
    def told(self) -> str:
        """In a few words, for a bar: `audit: 3 of 120 differ (0.6% to 7.9%)`."""
        words = []
        total = self.total
        if not self.is_idle:
            low, high = self.bounds
            seen = f"{total.disagreed:,} of {total.audited:,} differ ({low:.1%} to {high:.1%})"
            words.append(f"audit: {seen}" + (", alarm: all is read" if self.alarm else ""))
        if self.unlike is not None:
            words.append("unlike calibration")
        return ", ".join(words)


def cells_of(reading: Reading) -> dict[str, int]:
    """The signals of a reading with an answer; see `temporal.auditing.signals`."""
    score = reading.predictions[0].get("score") if reading.predictions else None
    trace = reading.trace
    if trace is None:
        return cells(score=score)
    return cells(
        score=score,
        confidences=trace.confidences,
        exit=trace.exit,
        units_read=trace.units_read,
    )


def same_answer(adaptive: Reading, full: Reading, columns: Mapping[str, Any]) -> bool:
    """Whether two readings answer alike: the same class; else the same fields but for numbers.

    Args:
        adaptive, full: with predictions.
        columns: of the task's record.
    """
    if adaptive.classes and full.classes:
        return adaptive.classes[0] == full.classes[0]
    one, other = adaptive.predictions[0], full.predictions[0]
    return all(one.get(name) == other.get(name) for name in compared(columns))


def compared(columns: Mapping[str, Any]) -> list[str]:
    """The fields of a prediction that say what it is: no scores."""
    return [name for name, kind in columns.items() if "float" not in str(kind)]


def _warn(message: str) -> None:
    warnings.warn(message, AuditWarning, stacklevel=2)
