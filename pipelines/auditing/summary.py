"""What the rows of an audited run add up to: disagreement with its bounds, and likeness."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from temporal.auditing.betting import lower_bound, upper_bound
from temporal.auditing.likeness import Unlike, differing
from temporal.auditing.signals import Counts as CellCounts
from temporal.auditing.signals import add, cells

from .audit import Audit
from .columns import AUDIT_COLUMNS
from .others import Counts

_SUMMED = ("units_read", "frames_decoded", "macs", "decode_seconds", "model_seconds")


@dataclass(frozen=True, kw_only=True)
class AuditSummary:
    """What was audited in a run, over all ranks and all resumed parts."""

    share: float
    """Of the inputs that was to be read in full as well."""

    max_disagreement: float | None = None
    """Share of disagreement that is borne; None: any."""

    confidence: float = 0.95
    """Of each bound."""

    reads_in_full: bool = False
    """The pipeline reads everything anyway: there was nothing to compare."""

    audited: int = 0
    """Inputs that were read both ways."""

    disagreed: int = 0
    """Those of them with two answers."""

    failed: int = 0
    """Inputs that were to be audited and could not be read in full."""

    rows_in_full: int = 0
    """Rows that were read in full because the alarm had been raised."""

    alarm: bool = False
    """Whether it was raised: more than `max_disagreement` of the answers differ."""

    units_read: int = 0
    """Units that the full readings of audits read; no row counts them among its own."""

    frames_decoded: int = 0
    """Frames that they decoded."""

    macs: int = 0
    """Multiply-accumulates that they took."""

    decode_seconds: float = 0.0
    """Seconds that they spent reading units."""

    model_seconds: float = 0.0
    """Seconds of their computation."""

    at_calibration: Counts | None = None
    """Inputs that calibration read both ways at this operating point; None: it noted none."""

    compared: int | None = None
    """Rows that were compared with calibration, in how certain answers are and how much is read;
    None: the operating point stores nothing to compare with."""

    unlike: Unlike | None = None
    """In what they are unlike those of calibration; None: in nothing that was found."""

    @property
    def bounds(self) -> tuple[float, float]:
        """Above which, and below which, the share of disagreement lies.

        Each with `confidence`, at whatever time one looks.
        """
        return (
            lower_bound(self.disagreed, self.audited, self.confidence),
            upper_bound(self.disagreed, self.audited, self.confidence),
        )

    @property
    def calibration_bound(self) -> float | None:
        """Below which the share of disagreement lay at calibration, by an exact test of one look.

        Clopper & Pearson's, with `confidence`; None: calibration noted none.
        """
        if self.at_calibration is None:
            return None
        # Here: summaries of runs are shown without torch.
        from temporal.training.risk import Change, upper_bound

        change = Change(
            num_lost=self.at_calibration.disagreed,
            num_gained=0,
            num_sources=self.at_calibration.audited,
        )
        return upper_bound("disagreement", change, 1 - self.confidence)


def audit_columns(audit: Audit | None, answers: Collection[str]) -> tuple[str, ...]:
    """What an `AuditTally` looks at of rows with these answers, beside what a summary does."""
    if audit is None:
        return ()
    columns: tuple[str, ...] = AUDIT_COLUMNS if audit.share else ()
    if audit.likeness is not None:
        columns += ("exit", "trace.confidences")
        columns += ("score",) if "score" in answers else ()
    return columns


class AuditTally:
    """What rows have added up to so far."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit
        self._sums: Counter[str] = Counter()
        self._seen: CellCounts = {}
        self._compared = 0

    def add(self, row: Mapping[str, Any], trace: Mapping[str, Any] | None) -> None:
        """Take in one row, and its trace as `trace_values` gives it."""
        in_full = bool(row.get("read_in_full"))
        self._sums["rows_in_full"] += in_full
        if (found := row.get("audit")) is not None:
            if found["agreed"] is None:
                self._sums["failed"] += 1
            else:
                self._sums["audited"] += 1
                self._sums["disagreed"] += not found["agreed"]
            for name in _SUMMED:
                self._sums[name] += found[name] or 0
        if self._audit.likeness is None or in_full or row["status"] == "error":
            return
        self._compared += 1
        told = cells(
            score=row.get("score"),
            confidences=(trace or {}).get("confidences") or (),
            exit=row["exit"],
            units_read=row["units_read"],
        )
        add(self._seen, told)

    def summary(self) -> AuditSummary:
        """Of these rows alone."""
        audit, likeness = self._audit, self._audit.likeness
        return AuditSummary(
            share=audit.share,
            max_disagreement=audit.max_disagreement,
            confidence=audit.confidence,
            at_calibration=audit.at_calibration,
            reads_in_full=audit.full is None,
            alarm=audit.alarm or self._sums["rows_in_full"] > 0,
            compared=None if likeness is None else self._compared,
            unlike=None if likeness is None else differing(likeness.stored, self._seen),
            **dict[str, Any](self._sums),
        )
