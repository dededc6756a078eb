"""One result as a row of a table, and back: what a job writes and `temporal show` redraws."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from temporal.trace import Cost, Trace

from .reading import Reading

if TYPE_CHECKING:
    import pyarrow as pa

# Costs with a column of their own; the others travel in the trace.
_COST_COLUMNS = ("frames_decoded", "macs", "decode_seconds", "model_seconds")
_COST_IN_TRACE = ("bytes_read", "layers")

TEXT_COLUMNS = ("text", "spans")
"""Columns that only a run with `keep_text` has."""


def row_schema(*, keep_text: bool = False) -> pa.Schema:
    """Names and types of a job's columns, in order.

    Args:
        keep_text: Add `text` (the text read) and `spans` (JSON: the characters of each unit).
    """
    import pyarrow as pa

    prediction = pa.struct([("label", pa.string()), ("score", pa.float64())])
    columns: list[tuple[str, pa.DataType]] = [
        ("id", pa.string()),
        ("status", pa.string()),  # ok | partial | error
        ("label", pa.string()),
        ("score", pa.float64()),
        ("predictions", pa.list_(prediction)),
        ("target", pa.string()),  # the input's own label, where it had one
        ("units_total", pa.int64()),
        ("units_read", pa.int64()),
        ("units_skimmed", pa.int64()),
        ("frames_decoded", pa.int64()),
        ("halted_at_seconds", pa.float64()),
        ("exit", pa.int64()),
        ("macs", pa.int64()),
        ("decode_seconds", pa.float64()),
        ("model_seconds", pa.float64()),
        ("backend", pa.string()),
        ("error_stage", pa.string()),
        ("error_reason", pa.string()),
        ("error_message", pa.string()),
        ("source", pa.string()),  # the file that was read, absolute; null for texts and bytes
        ("trace", pa.string()),  # JSON, see `trace_to_json`
    ]
    if keep_text:
        columns += [(name, pa.string()) for name in TEXT_COLUMNS]
    return pa.schema(columns)


def row_of(
    reading: Reading,
    *,
    target: str | None = None,
    source: str | None = None,
    dense_macs: int | None = None,
) -> dict[str, Any]:
    """Make a reading's row (without the columns of `keep_text`); see `row_schema`.

    Args:
        reading: What the pipeline returned.
        target: The input's own label, where it had one.
        source: The file that was read.
        dense_macs: Multiply-accumulates of reading everything, where the pipeline knows them.
    """
    trace, error = reading.trace, reading.error
    predictions = [
        {"label": storable(str(p["label"])), "score": _finite(p["score"])}
        for p in reading.predictions
    ]
    row: dict[str, Any] = {
        "id": storable(reading.id),
        "status": reading.status,
        "label": predictions[0]["label"] if predictions else None,
        "score": predictions[0]["score"] if predictions else None,
        "predictions": predictions,
        "target": target,
        "units_total": trace.units_total if trace else None,
        "units_read": trace.units_read if trace else None,
        "units_skimmed": len(trace.skimmed) if trace else None,
        "halted_at_seconds": trace.halted_at_seconds if trace else None,
        "exit": trace.exit if trace else None,
        "backend": reading.backend,
        "error_stage": error.stage if error else None,
        "error_reason": error.reason if error else None,
        "error_message": storable(error.message)[:500] if error else None,
        "source": storable(source) if source is not None else None,
        "trace": trace_to_json(trace, dense_macs=dense_macs) if trace else None,
    }
    for name in _COST_COLUMNS:
        row[name] = getattr(trace.cost, name) if trace else None
    return row


def trace_to_json(trace: Trace, *, dense_macs: int | None = None) -> str:
    """Write a trace compactly: all fields but the costs that have a column of their own.

    Units are listed in the order in which they were taken; a run of three or more neighbours is a
    pair `[start, stop]`, half-open: `(0, 7, 9, 10, 11)` becomes `[0, 7, [9, 12]]`.
    """
    values: dict[str, Any] = {
        f.name: getattr(trace, f.name) for f in fields(Trace) if f.name != "cost"
    }
    values["read"] = pack_units(trace.read)
    values["skimmed"] = pack_units(trace.skimmed)
    values["cost"] = {name: getattr(trace.cost, name) for name in _COST_IN_TRACE}
    values["dense_macs"] = dense_macs
    return json.dumps(values, separators=(",", ":"))


def trace_of(row: Mapping[str, Any]) -> Trace | None:
    """Rebuild the trace of a row, costs included; None where nothing was read."""
    if row["trace"] is None:
        return None
    values = json.loads(row["trace"])
    values.pop("dense_macs")
    costs = {**values.pop("cost"), **{name: row[name] for name in _COST_COLUMNS}}
    values["read"] = unpack_units(values["read"])
    values["skimmed"] = unpack_units(values["skimmed"])
    return Trace(**values, cost=Cost(**costs))


def dense_macs_of(row: Mapping[str, Any]) -> int | None:
    """Multiply-accumulates of reading a row's source whole; None where they are not known."""
    if row["trace"] is None:
        return None
    macs: int | None = json.loads(row["trace"])["dense_macs"]
    return macs


def pack_units(units: Sequence[int]) -> list[int | list[int]]:
    """Write runs of three or more rising neighbours as half-open pairs; see `trace_to_json`."""
    packed: list[int | list[int]] = []
    start = 0
    for stop in range(1, len(units) + 1):
        if stop < len(units) and units[stop] == units[stop - 1] + 1:
            continue
        run = units[start:stop]
        packed += [[run[0], run[-1] + 1]] if len(run) >= 3 else run
        start = stop
    return packed


def unpack_units(packed: Iterable[int | list[int]]) -> tuple[int, ...]:
    """Undo `pack_units`."""
    units: list[int] = []
    for item in packed:
        units += [item] if isinstance(item, int) else range(*item)
    return tuple(units)


def storable(text: str) -> str:
    r"""Make a string that UTF-8 can hold: a lone surrogate (in a file's name) becomes `\udcff`."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _finite(score: Any) -> float | None:
    value = float(score)
    return value if math.isfinite(value) else None
