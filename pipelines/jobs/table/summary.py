"""What a run's rows add up to: `Summary`, always computed from the rows themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from ...auditing.audit import Audit
from ...auditing.summary import AuditSummary, AuditTally, audit_columns
from .row_columns import RowColumns, added, counted, row_columns, whole_sum

if TYPE_CHECKING:
    import pyarrow as pa

SUMMARY_COLUMNS = (
    *("id", "status", "label", "target", "error_reason", "error_message"),
    *("units_total", "units_read", "units_skimmed", "frames_decoded", "macs"),
    *("decode_seconds", "model_seconds"),
    *("trace.unit", "trace.halted", "trace.exit", "trace.num_exits", "trace.dense_macs"),
    "trace.batches_halved",
)
"""What `summarize` looks at: not the units of each row, which are most of a long text's."""


def summary_columns(answers: Collection[str], audit: Audit | None = None) -> tuple[str, ...]:
    """`SUMMARY_COLUMNS`, as far as rows with these answers have them (a task may have no label).

    And what is added up of a pipeline's audit.
    """
    columns = tuple(name for name in SUMMARY_COLUMNS if name != "label" or name in answers)
    return columns + audit_columns(audit, answers)


_FEW = 3
"""Labels that are named as examples."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Counts and costs of a run, over all ranks and all resumed parts."""

    inputs: int = 0
    """Rows: `ok + partial + error`."""

    ok: int = 0
    """Rows without an error."""

    partial: int = 0
    """Rows with predictions and an error: a part of the source could not be read."""

    error: int = 0
    """Rows without predictions."""

    reasons: Mapping[str, int] = field(default_factory=dict)
    """How many rows have each `error_reason`."""

    first_errors: Mapping[str, str] = field(default_factory=dict)
    """For each `error_reason`, the first row that has it, as `id: message`."""

    skipped: int = 0
    """Bad inputs that were left without a row (`on_error="skip"`), in this process."""

    stopped: bool = False
    """The run was stopped with inputs left; it can be resumed."""

    too_many_errors: str | None = None
    """Why it stopped by itself: more inputs than `max_error_rate` bears have an error."""

    unread: Mapping[int, int] = field(default_factory=dict)
    """Inputs without a row by rank, of ranks that no process works as: the run is not complete."""

    at_work: tuple[int, ...] = ()
    """Other ranks that were still at work when this one ended; the last one tells for all."""

    units: str = "units"
    """What the inputs are made of: `"frames"`, `"tokens"` ..., or `"units"` when mixed."""

    units_total: int = 0
    """Units in the sources that could be read."""

    units_read: int = 0
    """Units read in full."""

    units_skimmed: int = 0
    """Units looked at with the cheaper computation."""

    frames_decoded: int = 0
    """Frames that decoders produced."""

    traced: int = 0
    """Rows that have a trace: the readings that `halted` is a share of."""

    halted: int = 0
    """Readings that stopped, over time or depth, before everything was computed."""

    halved: int = 0
    """Readings a batch of which did not fit into memory and was computed in parts."""

    macs: int = 0
    """Multiply-accumulates that ran."""

    dense_macs: int | None = None
    """Those of reading everything; None unless every row with a trace tells."""

    exits_computed: int = 0
    """Exits up to and including the one that answered, summed over the readings."""

    exits_total: int = 0
    """Exits that the reader has for these sources, summed over the readings."""

    decode_seconds: float = 0.0
    """Seconds spent reading units, summed over the inputs."""

    model_seconds: float = 0.0
    """Seconds of model computation, summed over the inputs."""

    tokenized_by: str | None = None
    """What tokenized this process's texts, and why it did; None for videos."""

    with_target: int = 0
    """Rows whose input had a label of its own, one of the model's, and that have a prediction."""

    correct: int = 0
    """Those of them whose prediction is that label."""

    foreign: int = 0
    """Rows with a prediction whose input had a label that is none of the model's: neither right nor
    wrong."""

    foreign_labels: tuple[str, ...] = ()
    """The first few labels that are none of the model's."""

    model_labels: tuple[str, ...] = ()
    """The first few labels of the model, where there are others."""

    audit: AuditSummary | None = None
    """How answers compare with those of the full reading; None: nothing was audited."""

    @property
    def share_read(self) -> float:
        """Units read in full over units in the sources, 0 to 1."""
        return self.units_read / self.units_total if self.units_total else 0.0

    @property
    def share_computed(self) -> float | None:
        """MACs that ran over those of reading everything; None where these are not known."""
        return self.macs / self.dense_macs if self.dense_macs else None

    @property
    def accuracy(self) -> float | None:
        """Share of correct predictions, 0 to 1; None without labels."""
        return self.correct / self.with_target if self.with_target else None

    @property
    def exit_code(self) -> int:
        """0: every row is ok. 3: some are partial or error. 4 and 75: it can be resumed.

        4: more inputs than `max_error_rate` bears have an error. 75: it was stopped otherwise, or a
        rank that is not at work has not done its share.
        """
        if self.stopped and self.too_many_errors:
            return 4
        if self.stopped or self.unread:
            return 75
        return 3 if self.partial or self.error else 0


def summarize(
    rows: Iterable[Mapping[str, Any] | pa.Table],
    *,
    skipped: int = 0,
    stopped: bool = False,
    too_many_errors: str | None = None,
    unread: Mapping[int, int] | None = None,
    at_work: Iterable[int] = (),
    labels: Collection[str] | None = None,
    audit: Audit | None = None,
    tokenized_by: str | None = None,
) -> Summary:
    """Add up rows, some at a time (they need not fit in memory).

    Args:
        rows: As `store.ledger.read_tables` yields them, or `read_rows`, which takes longer; with
            `summary_columns` at least.
        skipped: Bad inputs without a row.
        stopped: Whether inputs are left.
        too_many_errors: Why the run stopped by itself.
        unread: Inputs without a row by rank, of ranks that no process works as.
        at_work: Other ranks that are still at work.
        labels: The model's; an input's own label that is none of them tells nothing about the
            prediction. None or empty: not known, and every label may be one.
        audit: The pipeline's.
        tokenized_by: What tokenized the texts of this process.
    """
    tally = _Tally(labels or ())
    audits = None if audit is None else AuditTally(audit)
    for some in row_columns(rows):
        tally.add(some)
        if audits is not None:
            audits.add(some)
    return replace(
        tally.summary(),
        skipped=skipped,
        stopped=stopped,
        too_many_errors=too_many_errors,
        unread=dict(unread or {}),
        at_work=tuple(at_work),
        audit=None if audits is None else audits.summary(),
        tokenized_by=tokenized_by,
    )


class _Tally:
    """What rows have added up to so far.

    Args:
        labels: the model's, in their order; empty: not known.
    """

    def __init__(self, labels: Collection[str]) -> None:
        self._labels = labels
        self._known = set(labels)
        self._statuses: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._first_errors: dict[str, str] = {}
        self._foreign_labels: dict[str, None] = {}
        self._kinds: set[str] = set()
        self._sums: Counter[str] = Counter()
        self._decode_seconds = self._model_seconds = 0.0
        self._dense_macs: int | None = 0

    def add(self, rows: RowColumns) -> None:
        """Take in some rows."""
        self._statuses.update(counted(rows["status"]))
        self._add_errors(rows)
        target, label = rows["target"], rows["label"]
        if target.null_count < len(rows) and label.null_count < len(rows):
            self._add_targets(target, label)
        traced = rows.where(rows["trace"])
        if len(traced):
            self._add_costs(traced)

    def _add_errors(self, rows: RowColumns) -> None:
        reasons = rows["error_reason"]
        counts = counted(reasons)
        self._reasons.update(counts)
        for reason in counts:
            if reason not in self._first_errors:
                place = reasons.index(reason).as_py()
                one, message = (rows[name][place].as_py() for name in ("id", "error_message"))
                self._first_errors[reason] = f"{one}: {message}"

    def _add_targets(self, target: pa.Array, label: pa.Array) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        both = pc.and_(target.is_valid(), label.is_valid())
        target, label = target.filter(both), label.filter(both)
        if self._known:
            known = pc.is_in(target, value_set=pa.array(self._known, pa.string()))
            foreign = target.filter(pc.invert(known))
            target, label = target.filter(known), label.filter(known)
            self._sums["foreign"] += len(foreign)
            for name in foreign.unique().to_pylist():
                if len(self._foreign_labels) < _FEW:
                    self._foreign_labels[name] = None
        self._sums["with_target"] += len(target)
        self._sums["correct"] += pc.equal(target, label).true_count

    def _add_costs(self, rows: RowColumns) -> None:
        import pyarrow.compute as pc

        sums = self._sums
        self._kinds.update(rows["trace.unit"].unique().to_pylist())
        sums["traced"] += len(rows)
        sums["halted"] += rows["trace.halted"].true_count
        # Older rows have no such field.
        sums["halved"] += pc.not_equal(rows["trace.batches_halved"], 0).true_count
        for name in ("units_total", "units_read", "units_skimmed", "frames_decoded", "macs"):
            sums[name] += whole_sum(rows[name])
        exit, num_exits = rows["trace.exit"], rows["trace.num_exits"]
        both = pc.and_(exit.is_valid(), num_exits.is_valid())
        sums["exits_computed"] += whole_sum(exit.filter(both)) + both.true_count
        sums["exits_total"] += whole_sum(num_exits.filter(both))
        self._decode_seconds = added(self._decode_seconds, rows["decode_seconds"])
        self._model_seconds = added(self._model_seconds, rows["model_seconds"])
        if self._dense_macs is not None:
            macs = rows["trace.dense_macs"]
            self._dense_macs = None if macs.null_count else self._dense_macs + whole_sum(macs)

    def summary(self) -> Summary:
        """Of these rows alone."""
        return Summary(
            inputs=sum(self._statuses.values()),
            ok=self._statuses["ok"],
            partial=self._statuses["partial"],
            error=self._statuses["error"],
            reasons=dict(self._reasons.most_common()),
            first_errors=self._first_errors,
            foreign_labels=tuple(self._foreign_labels),
            model_labels=tuple(islice(self._labels, _FEW)) if self._foreign_labels else (),
            units=f"{next(iter(self._kinds))}s" if len(self._kinds) == 1 else "units",
            dense_macs=self._dense_macs if self._sums["traced"] else None,
            decode_seconds=self._decode_seconds,
            model_seconds=self._model_seconds,
            **dict[str, Any](self._sums),
        )
