"""A table made by columns is, to the last bit, the one that Arrow makes of rows as dicts."""

from __future__ import annotations

import math
import random
import struct
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from temporal.pipelines.jobs.store.pending import Pending
from temporal.pipelines.jobs.table.arrays import array_of, table_of
from temporal.pipelines.jobs.table.row import row_of, row_schema
from temporal.pipelines.jobs.table.trace_column import StoredTrace
from temporal.pipelines.reading import Reading, ReadingError
from temporal.trace import Cost, Trace, View


def some_trace(draw: random.Random, *, longest: int) -> Trace:
    units = draw.sample(range(longest), draw.randrange(min(longest, 40)))
    cut = draw.randrange(len(units) + 1)
    cost = Cost(macs=draw.choice([0, 2**40]), layers=draw.randrange(3), decode_seconds=0.25)
    if draw.random() < 0.5:  # as of a text
        return Trace(
            unit="token",
            units_total=draw.choice([0, longest]),
            read=tuple(units[:cut]),
            skimmed=tuple(units[cut:]),
            truncated=draw.random() < 0.1,
            cost=cost,
        )
    view = View(units=(1, 2**40), is_glance=True, size=(3, 4), region=draw.choice([None, (1,) * 4]))
    return Trace(
        unit="frame",
        units_total=longest,
        read=tuple(units[:cut]),
        halted_at=draw.choice([None, 5]),
        halted_at_seconds=draw.choice([None, 0.0, -0.0, 1.5]),
        exit=draw.choice([None, 0, 3]),
        num_exits=draw.choice([None, 4]),
        preview=draw.choice([None, "sound"]),
        views=draw.choice([(), (view,), (view, View(units=()))]),
        confidences=draw.choice([(), (0.5, -0.0), (0.0, math.nan)]),
        places=draw.choice([(), (7, 2**50)]),
        place_scores=draw.choice([(), (0.5,)]),
        cost=cost + Cost(audio_seconds=draw.choice([0.0, -0.0, 2.5])),
    )


def some_rows(seed: int, count: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The same rows with traces as plain values, and as they come to a writer."""
    draw = random.Random(seed)
    longest = draw.choice([1, 60, 256, 5000])
    plain, stored = [], []
    for number in range(count):
        trace = None if draw.random() < 0.2 * (seed % 3) else some_trace(draw, longest=longest)
        labels = ({"label": "é", "score": 0.25}, {"label": "b", "score": draw.choice([0.0, -0.0])})
        reading = Reading(
            id=f"r{number}",
            predictions=draw.choice([labels[:1], labels, ()]),
            trace=trace,
            error=None if trace else ReadingError(stage="open", reason="not_found", message="no"),
        )
        others: dict[str, Any] = {"target": draw.choice([None, "b"]), "dense_macs": 2**50}
        plain.append(row_of(reading, **others))
        stored.append(row_of(reading, **others, lists_units=False))
    return plain, stored


def bits(table: pa.Table) -> bytes:
    out = pa.BufferOutputStream()
    pq.write_table(table, out, write_page_checksum=True)
    return bytes(out.getvalue())


@pytest.mark.parametrize("seed", range(12))
def test_rows_become_the_same_table(seed: int) -> None:
    schema = row_schema()
    plain, stored = some_rows(seed, (1, 2, 40)[seed % 3])
    due = pa.Table.from_pylist(plain, schema=schema)
    due.validate(full=True)
    for rows in (plain, stored, [*stored[:1], *plain[1:]]):
        made = table_of(rows, schema)
        made.validate(full=True)
        assert made.schema == schema and bits(made) == bits(due)


def test_texts_and_audits_as_well() -> None:
    schema = row_schema(keep_text=True, audited=True)
    _, rows = some_rows(0, 5)
    spans = [None, [], [{"start": 0, "end": 2}], [{"start": 3, "end": 9}] * 2, None]
    audits: list[Any] = [None, {"agreed": True, "macs": 3}, None, {"agreed": None}, {}]
    for row, some, audit in zip(rows, spans, audits, strict=True):
        row |= {"text": "a b", "spans": some, "audit": audit, "read_in_full": False}
    trace = [row["trace"].value() if row["trace"] else None for row in rows]
    plain = [row | {"trace": one} for row, one in zip(rows, trace, strict=True)]
    assert bits(table_of(rows, schema)) == bits(pa.Table.from_pylist(plain, schema=schema))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0.0, -0.0, 0.0], pa.float64()),
        ([7, 7, 7], pa.int64()),
        (["a", None, "a"], pa.string()),
        ([[0.0], [-0.0]], pa.list_(pa.float64())),
        ([[[1.0], []], [], None], pa.list_(pa.list_(pa.float32()))),
        ([{"a": None}, None, {}], pa.struct([("a", pa.string())])),
    ],
)
def test_columns_of_other_kinds(values: list[Any], kind: pa.DataType) -> None:
    due, made = pa.array(values, kind), array_of(values, kind)
    assert made.type == kind and made.to_pylist() == due.to_pylist()
    if pa.types.is_floating(kind):
        assert [struct.pack("d", one) for one in made.to_pylist()] == [
            struct.pack("d", one) for one in values
        ]


def test_a_value_of_another_type_is_refused() -> None:
    with pytest.raises(pa.ArrowException):
        table_of(
            [{"n": 1, "s": "a"}, {"n": "x", "s": "a"}], pa.schema({"n": "int64", "s": "string"})
        )


@pytest.mark.parametrize("format", ["parquet", "jsonl"])
def test_a_writer_takes_rows_of_both_forms(format: str) -> None:
    plain, stored = some_rows(1, 30)
    parts = []
    for rows in (plain, stored):
        pending = Pending(row_schema(), format)
        for row in rows:
            if format == "parquet" or not row["trace"] or no_nan(row["trace"]):
                pending.add(row)
        parts.append(pending.part())
    assert parts[0] == parts[1] and len(parts[0]) > 1000


def no_nan(trace: Any) -> bool:
    values = trace.value() if isinstance(trace, StoredTrace) else trace
    return not any(map(math.isnan, values["confidences"]))
