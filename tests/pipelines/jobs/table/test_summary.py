"""What rows add up to is the same by columns and row by row, however they are cut."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from temporal.auditing.signals import cells, counted, counts_of
from temporal.pipelines.auditing.audit import Audit
from temporal.pipelines.jobs.store.ledger import ResultWriter, parts, read_rows, read_tables
from temporal.pipelines.jobs.table.row import row_of, row_schema
from temporal.pipelines.jobs.table.summary import Summary, summarize, summary_columns
from temporal.pipelines.reading import Reading, ReadingError
from temporal.trace import Cost, Trace

from .test_row import old_row

LABELS = ("good", "bad")
ANSWERS = ("label", "score")


def odd_rows(count: int) -> list[dict[str, Any]]:
    """Rows of an audited run with all that can be missing in one."""
    draw = random.Random(0)
    rows = []
    for number in range(count):
        status = draw.choice(["ok", "ok", "ok", "partial", "error"])
        trace = error = None
        if status != "error" or number % 3 == 0:
            exits = draw.choice([(None, None), (2, None), (1, 4), (0, 4)])
            trace = Trace(
                unit=draw.choice(["frame", "frame", "token"]),
                units_total=draw.randrange(5, 40),
                read=tuple(range(draw.randrange(1, 5))),
                skimmed=(4,) * draw.randrange(2),
                halted_at=draw.choice([None, 1]),
                exit=exits[0],
                num_exits=exits[1],
                batches_halved=draw.randrange(3),
                confidences=draw.choice([(), (0.75, 0.5), (0.9,)]),
                cost=Cost(
                    frames_decoded=draw.randrange(9),
                    macs=2**62 + draw.randrange(2**40),  # two of them have no room in 64 bits
                    decode_seconds=draw.random(),
                    model_seconds=draw.random() * 1e9,
                ),
            )
        if status != "ok":
            reason: Any = draw.choice(["truncated", "empty_input", "timeout"])
            error = ReadingError(stage="decode", reason=reason, message=f"said of {number}")
        predictions = ({"label": draw.choice(LABELS), "score": draw.choice([0.75, 0.125])},)
        reading = Reading(
            id=f"row-{number}",
            predictions=predictions if status != "error" else (),
            trace=trace,
            error=error,
        )
        target = draw.choice([None, "good", "bad", "ugly", "odd", "new", "old"])
        row = row_of(reading, target=target, dense_macs=draw.choice([2**62, 7]))
        agreed = draw.choice([True, False, None])
        audit: dict[str, Any] | None = {
            "agreed": agreed,
            "full_label": None if agreed is None else "good",
            "full_score": None if agreed is None else 0.5,
            "units_read": None if agreed is None else 9,
            "frames_decoded": None if agreed is None else draw.randrange(9),
            "macs": None if agreed is None else 2**62,
            "decode_seconds": None if agreed is None else draw.random(),
            "model_seconds": None if agreed is None else draw.random(),
            "error": None,
        }
        if draw.random() < 0.5:
            audit = None
        in_full = draw.choice([None, False, True])
        rows.append({**row, "audit": audit, "read_in_full": in_full})
    return rows


def write(rows: list[dict[str, Any]], out: Path, format: Any, rows_per_part: int) -> None:
    out.mkdir()
    schema = row_schema(audited=True)
    with ResultWriter(out, schema=schema, format=format, rows_per_part=rows_per_part) as writer:
        for row in rows:
            writer.write(row)


def watching_audit() -> Audit:
    audit = Audit(0.5, max_disagreement=0.1)
    stored = counts_of({"certainty": "40:200", "exit": "3:200", "units_read": "1:200"})
    audit.compare_with(stored, level=0.05, inputs_before=0)
    assert audit.likeness is not None
    return audit


@pytest.mark.parametrize("format", ["parquet", "jsonl"])
def test_columns_add_up_to_what_rows_do(tmp_path: Path, format: Any) -> None:
    rows, audit = odd_rows(300), watching_audit()
    options: dict[str, Any] = {"labels": LABELS, "audit": audit}
    whole = summarize(rows, **options)
    for rows_per_part in (7, 300):
        out = tmp_path / str(rows_per_part)
        write(rows, out, format, rows_per_part)
        columns = summary_columns(ANSWERS, audit)
        assert summarize(read_tables(out, columns=columns), **options) == whole
        assert summarize(read_tables(out), **options) == whole
        assert summarize(read_rows(out, columns=columns), **options) == whole
    compare(whole, rows)


def compare(summary: Summary, rows: list[dict[str, Any]]) -> None:
    """Compare with sums of Python over the rows."""
    traced = [row for row in rows if row["trace"] is not None]
    reasons = Counter(row["error_reason"] for row in rows if row["error_reason"] is not None)
    first: dict[str, str] = {}
    for row in rows:
        if row["error_reason"] is not None:
            first.setdefault(row["error_reason"], f"{row['id']}: {row['error_message']}")
    statuses = Counter(row["status"] for row in rows)
    assert dict(statuses) == {name: getattr(summary, name) for name in ("ok", "partial", "error")}
    assert (summary.inputs, summary.first_errors) == (len(rows), first)
    assert list(summary.reasons.items()) == reasons.most_common()
    for name in ("units_total", "units_read", "units_skimmed", "frames_decoded", "macs"):
        assert getattr(summary, name) == sum(row[name] for row in traced)
    for name in ("decode_seconds", "model_seconds"):
        assert getattr(summary, name) == in_order(row[name] for row in traced)
    assert summary.macs > 2**64 and summary.units == "units"
    traces = [row["trace"] for row in traced]
    assert summary.traced == len(traces) < len(rows)
    assert summary.halted == sum(trace["halted"] for trace in traces)
    assert summary.halved == sum(trace["batches_halved"] > 0 for trace in traces)
    assert summary.dense_macs == sum(trace["dense_macs"] for trace in traces)
    exits = [trace for trace in traces if trace["num_exits"] is not None]
    assert summary.exits_computed == sum(trace["exit"] + 1 for trace in exits)
    assert summary.exits_total == 4 * len(exits)
    answered = [row for row in rows if row["label"] is not None and row["target"] is not None]
    own = [row for row in answered if row["target"] in LABELS]
    foreign = [row["target"] for row in answered if row["target"] not in LABELS]
    assert (summary.with_target, summary.foreign) == (len(own), len(foreign))
    assert summary.correct == sum(row["label"] == row["target"] for row in own)
    assert summary.foreign_labels == tuple(dict.fromkeys(foreign))[:3]
    compare_audit(summary, rows)


def compare_audit(summary: Summary, rows: list[dict[str, Any]]) -> None:
    found = summary.audit
    assert found is not None
    audits: list[Mapping[str, Any]] = [row["audit"] for row in rows if row["audit"] is not None]
    agreed = Counter(audit["agreed"] for audit in audits)
    assert (found.failed, found.disagreed) == (agreed[None], agreed[False])
    assert found.audited == agreed[True] + agreed[False]
    for name in ("units_read", "frames_decoded", "macs"):
        assert getattr(found, name) == sum(audit[name] or 0 for audit in audits)
    for name in ("decode_seconds", "model_seconds"):
        assert getattr(found, name) == in_order(audit[name] or 0.0 for audit in audits)
    assert found.rows_in_full == sum(bool(row["read_in_full"]) for row in rows) > 0
    compared = [row for row in rows if not row["read_in_full"] and row["status"] != "error"]
    assert (found.compared, found.alarm) == (len(compared), True)


def in_order(values: Any) -> float:
    """Added one after another, which `sum` of later versions of Python does not."""
    return list(itertools.accumulate(values, initial=0.0))[-1]


def test_readings_that_are_compared_are_those_of_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(
        "temporal.pipelines.auditing.summary.differing", lambda stored, found: seen.append(found)
    )
    rows = odd_rows(200)
    summarize(rows, audit=watching_audit())
    assert seen == [
        counted(
            cells(
                score=row["score"],
                confidences=(row["trace"] or {}).get("confidences") or (),
                exit=row["exit"],
                units_read=row["units_read"],
            )
            for row in rows
            if not row["read_in_full"] and row["status"] != "error"
        )
    ]


def test_rows_that_lack_columns_are_added_up(tmp_path: Path) -> None:
    rows = odd_rows(40)
    write(rows, tmp_path / "out", "parquet", 40)
    (part,) = parts(tmp_path / "out")
    table = pq.read_table(part)
    older = table.drop_columns(["audit", "read_in_full", "target"])
    kept = [field.name for field in table.schema.field("trace").type if field.name != "dense_macs"]
    trace = table["trace"].combine_chunks()
    fields = pa.StructArray.from_arrays(
        [trace.field(name) for name in kept], kept, mask=trace.is_null()
    )
    older = older.set_column(older.schema.get_field_index("trace"), "trace", fields)
    summary = summarize([older], audit=watching_audit())
    full = summarize(rows)
    assert (summary.inputs, summary.units_read) == (40, full.units_read)
    assert (summary.dense_macs, summary.with_target) == (None, 0)
    assert summary.audit is not None and summary.audit.audited == summary.audit.rows_in_full == 0


def test_older_rows_and_newer_ones_are_added_up_in_their_order() -> None:
    rows = odd_rows(3000)  # more than come at once
    old = [old_row(id=f"old-{number}") for number in range(2)]
    table = pa.Table.from_pylist(rows, row_schema(audited=True))
    trace = row_schema().get_field_index("trace")
    texts = row_schema().set(trace, pa.field("trace", pa.string()))
    older = pa.Table.from_pylist(old, texts)
    mixed = summarize([*old, table, table.slice(0, 0), *rows, older])
    assert mixed == summarize([*old, *rows, *rows, *old])
    assert mixed.inputs == 6004
    assert summarize([]) == Summary() == summarize([table.slice(0, 0)])
