"""A row holds all that its reading said."""

from __future__ import annotations

from temporal.pipelines.reading import Reading, ReadingError
from temporal.pipelines.row import (
    dense_macs_of,
    row_of,
    row_schema,
    trace_of,
)
from temporal.trace import Cost, Trace


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
