"""What the rows of an audited run add up to: disagreement with its bounds, and likeness."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from temporal.auditing.betting import lower_bound, upper_bound
from temporal.auditing.likeness import Unlike, differing
from temporal.auditing.signals import Counts as CellCounts
from temporal.auditing.signals import add, cells

from ..jobs.table.row_columns import RowColumns, added, whole_sum
from .audit import Audit
from .columns import AUDIT_COLUMNS
from .others import Counts

_COUNTED = ("units_read", "frames_decoded", "macs")
_MEASURED = ("decode_seconds", "model_seconds")


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
        self._seconds = dict.fromkeys(_MEASURED, 0.0)
        self._seen: CellCounts = {}
        self._compared = 0

    def add(self, rows: RowColumns) -> None:
        """Take in some rows."""
        import pyarrow.compute as pc

        in_full = pc.fill_null(rows["read_in_full"], False)
        self._sums["rows_in_full"] += in_full.true_count
        audited = rows.where(pc.fill_null(rows["audit"], False))
        agreed = audited["audit.agreed"]
        self._sums["failed"] += agreed.null_count
        self._sums["audited"] += len(agreed) - agreed.null_count
        self._sums["disagreed"] += agreed.false_count
        for name in _COUNTED:
            self._sums[name] += whole_sum(audited[f"audit.{name}"])
        for name in _MEASURED:
            self._seconds[name] = added(self._seconds[name], audited[f"audit.{name}"])
        if self._audit.likeness is not None:
            is_read = pc.not_equal(rows["status"], "error")
            self._compare(rows.where(pc.and_(pc.invert(in_full), is_read)))

    def _compare(self, rows: RowColumns) -> None:
        self._compared += len(rows)
        names = ("score", "trace.confidences", "exit", "units_read")
        columns = (rows[name].to_pylist() for name in names)
        for score, confidences, exit, units_read in zip(*columns, strict=True):
            told = cells(
                score=score, confidences=confidences or (), exit=exit, units_read=units_read
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
            **dict[str, Any](self._seconds),
            **dict[str, Any](self._sums),
        )
