"""A row holds all that its reading said, in columns that any reader of tables has."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pyarrow as pa

from temporal.pipelines.jobs.table.row import row_of, row_schema, spans_of
from temporal.pipelines.jobs.table.summary import SUMMARY_COLUMNS, summarize
from temporal.pipelines.jobs.table.trace_column import dense_macs_of, trace_of, trace_type
from temporal.pipelines.reading import Reading, ReadingError
from temporal.trace import Cost, Trace, View


def test_a_trace_survives_its_row() -> None:
    cost = Cost(
        frames_decoded=40, bytes_read=999, layers=3, macs=7, decode_seconds=0.5, model_seconds=0.25
    )
    trace = Trace(
        unit="frame",
        units_total=250,
        read=(125, 0, 1, 2, 3, 249),
        skimmed=(5, 6),
        halted_at=249,
        exit=5,
        num_exits=16,
        seconds_per_unit=0.04,
        halted_at_seconds=9.96,
        truncated=True,
        views=(
            View(units=(5, 6), is_glance=True, size=(64, 64)),
            View(units=(0, 1), size=(96, 96), region=(10, 20, 96, 96)),
            View(units=(125,)),
        ),
        confidences=(0.25, 0.5),
        places=(0, 125),
        place_scores=(0.125, 0.75),
        cost=cost,
    )
    error = ReadingError(stage="decode", reason="truncated", message="x" * 900)
    reading = Reading(
        id="a", predictions=({"label": "l", "score": float("nan")},), trace=trace, error=error
    )
    row = row_of(reading, dense_macs=12)
    assert trace_of(row) == trace and dense_macs_of(row) == 12
    assert list(row_schema().names) == sorted(row, key=row_schema().names.index)
    assert (row["status"], row["score"], len(row["error_message"])) == ("partial", None, 500)
    (stored,) = pa.Table.from_pylist([row], schema=row_schema()).to_pylist()
    assert stored == row == json.loads(json.dumps(row))
    assert (stored["trace"]["units_read"], stored["trace"]["halted"]) == (6, True)


def test_every_field_of_a_trace_has_its_place() -> None:
    names = {field.name for field in trace_type()}
    assert {field.name for field in fields(Trace)} <= names
    counted = {field.name for field in trace_type().field("cost").type}
    assert counted == {f.name for f in fields(Cost) if not f.name.endswith("_seconds")}


def test_rows_that_tell_nothing_of_sizes_are_read() -> None:
    trace = Trace(unit="frame", units_total=9, read=(4,), exit=0, num_exits=2)
    row = row_of(Reading(id="a", predictions=({"label": "l", "score": 1.0},), trace=trace))
    for name in ("views", "confidences", "places", "place_scores"):
        del row["trace"][name]
    assert trace_of(row) == trace


def old_row(**changes: Any) -> dict[str, Any]:
    """A row as version 0.1 wrote it, with JSON in a string."""
    trace = Trace(unit="token", units_total=12, read=(0,) * 5, skimmed=(0,) * 3)
    row = row_of(Reading(id="a", predictions=({"label": "l", "score": 1.0},), trace=trace))
    seconds = {"decode_seconds": 0.5, "model_seconds": 0.25}
    written = (
        '{"unit":"token","units_total":12,"read":[0,7,[9,12]],"skimmed":[[1,4]],"halted_at":11,'
        '"exit":1,"num_exits":4,"token_layers":null,"seconds_per_unit":null,'
        '"halted_at_seconds":null,"truncated":false,"cost":{"bytes_read":5,"layers":2},'
        '"dense_macs":80}'
    )
    return {**row, "macs": 40, **seconds, "trace": written, **changes}


def test_rows_of_older_versions_are_read() -> None:
    row = old_row(text="a bc", spans="[[0, 1], [2, 4]]")
    cost = Cost(bytes_read=5, layers=2, macs=40, decode_seconds=0.5, model_seconds=0.25)
    assert trace_of(row) == Trace(
        unit="token",
        units_total=12,
        read=(0, 7, 9, 10, 11),
        skimmed=(1, 2, 3),
        halted_at=11,
        exit=1,
        num_exits=4,
        cost=cost,
    )
    assert dense_macs_of(row) == 80
    assert spans_of(row) == [(0, 1), (2, 4)]
    assert trace_of(old_row(trace=None)) is None
    tops = {name.partition(".")[0] for name in SUMMARY_COLUMNS}
    summary = summarize([{name: row[name] for name in tops}])
    assert (summary.units_read, summary.halted, summary.share_computed) == (5, 1, 0.5)
    assert (summary.exits_computed, summary.exits_total) == (2, 4)
