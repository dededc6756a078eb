"""An audit in the table after a run: how many answers differ, and what is certain of it."""

from __future__ import annotations

from ..auditing.summary import AuditSummary


def audit_rows(audit: AuditSummary) -> list[tuple[str, str, str, str]]:
    """Rows of the table: name, adaptive, dense, share."""
    rows = []
    if audit.audited:
        share = f"{audit.disagreed / audit.audited:.1%}"
        counts = f"{audit.disagreed:,} of {audit.audited:,}"
        rows.append(("audited answers that differ", counts, "-", share))
    if audit.rows_in_full:
        rows.append(("read in full after the alarm", f"{audit.rows_in_full:,}", "-", "-"))
    return rows


def audit_remarks(audit: AuditSummary) -> list[str]:
    """Sentences below the table."""
    lines = []
    if audit.share and audit.reads_in_full:
        lines.append("audit: everything is read, so that there is nothing to compare")
    elif audit.share:
        low, high = audit.bounds
        seconds = audit.decode_seconds + audit.model_seconds
        lines.append(
            f"audit: more than {low:.1%} and less than {high:.1%} of the answers differ from the "
            f"full reading's ({audit.confidence:.0%} confidence each, at any time); it took "
            f"{seconds:.1f} s beside the rows' own"
        )
        if audit.at_calibration is not None:
            before = audit.at_calibration
            lines.append(
                f"  at calibration {before.disagreed:,} of {before.audited:,} differed, less than "
                f"{audit.calibration_bound:.1%} (exact test)"
            )
        if audit.failed:
            lines.append(f"  {audit.failed:,} more could not be read in full")
    if audit.alarm and audit.max_disagreement is not None:
        lines.append(
            f"alarm: more than {audit.max_disagreement:.1%} of the answers differ; from there on "
            f"inputs were read in full ({audit.rows_in_full:,})"
        )
    if audit.unlike is not None:
        lines.append(f"the inputs are unlike those of the calibration: {audit.unlike.told}")
    elif audit.share and audit.compared is None:
        lines.append(
            "whether inputs are like those of the calibration is not known: it has stored nothing "
            "to compare with (temporal calibrate does)"
        )
    elif audit.compared:
        lines.append("the inputs are like those of the calibration, as far as can be told")
    return lines
