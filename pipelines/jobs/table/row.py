"""One result as a row of a table, and back: what a job writes and `temporal show` redraws."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...reading import Reading
from ...tasks.columns import arrow_type, stored_prediction
from ...tasks.columns import storable as storable
from ...tasks.registry import TaskRecord, record_of
from .trace_column import StoredTrace, trace_type

if TYPE_CHECKING:
    import pyarrow as pa

    from temporal.trace import Trace

# Costs with a column of their own.
_COST_COLUMNS = ("frames_decoded", "macs", "decode_seconds", "model_seconds")


def row_schema(
    task: str | TaskRecord = "", *, keep_text: bool = False, audited: bool = False
) -> pa.Schema:
    """Names and types of a job's columns, in order; all parts of a run have the same.

    Args:
        task: Its name or record, which says what a prediction holds; default: classes.
        keep_text: Add `text` (the text read) and `spans` (the characters of each unit, from
            `start` up to `end`).
        audited: Add what an audit tells of a row; see `temporal.pipelines.auditing.columns`.

    Returns:
        A schema of Arrow.
    """
    import pyarrow as pa

    record = record_of(task) if isinstance(task, str) else task
    fields = [(name, arrow_type(kind)) for name, kind in record.columns.items()]
    all_of_them = [] if record.is_single else [("predictions", pa.list_(pa.struct(fields)))]
    columns: list[tuple[str, pa.DataType]] = [
        ("id", pa.string()),
        ("status", pa.string()),  # ok | partial | error
        *fields,  # of the best prediction
        *all_of_them,
        ("target", pa.string()),  # the input's own label, where it had one
        ("extra", pa.string()),  # its other columns, as a JSON object; null where it had none
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
        ("trace", trace_type()),
    ]
    if keep_text:
        span = pa.struct([("start", pa.int64()), ("end", pa.int64())])
        columns += [("text", pa.string()), ("spans", pa.list_(span))]
    if audited:
        from ...auditing.columns import audit_fields

        columns += audit_fields(record)
    return pa.schema(columns)


def row_of(
    reading: Reading,
    *,
    task: str | TaskRecord = "",
    target: str | None = None,
    extra: str | None = None,
    source: str | None = None,
    dense_macs: int | None = None,
    lists_units: bool = True,
) -> dict[str, Any]:
    """Make a reading's row (without the columns of `keep_text`); see `row_schema`.

    Args:
        reading: What the pipeline returned.
        task: Its name or record, which says what a prediction holds; default: classes.
        target: The input's own label, where it had one.
        extra: Its other columns; see `extra.extra_text`.
        source: The file that was read.
        dense_macs: Multiply-accumulates of reading everything, where the pipeline knows them.
        lists_units: Give the trace as plain values; False: as a `StoredTrace`, for a writer.

    Raises:
        ValueError: a prediction holds what has no column, or a value of another type.
    """
    trace, error = reading.trace, reading.error
    record = record_of(task) if isinstance(task, str) else task
    predictions = [stored_prediction(one, record.columns) for one in reading.predictions]
    stored = None if trace is None else StoredTrace(trace, dense_macs)
    row: dict[str, Any] = {
        "id": storable(reading.id),
        "status": reading.status,
        **(predictions[0] if predictions else dict.fromkeys(record.columns)),
        **({} if record.is_single else {"predictions": predictions}),
        "target": target,
        "extra": extra,
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
        "trace": stored.value() if stored and lists_units else stored,
    }
    for name in _COST_COLUMNS:
        row[name] = getattr(trace.cost, name) if trace else None
    return row


def spans_value(pipe: Any, text: str | None, trace: Trace | None) -> list[dict[str, int]] | None:
    """The characters of each unit, from `start` up to `end`; None without units.

    Args:
        pipe: A pipeline, with its `tokenizer` if it reads texts.
        text: What was read; None: it is not kept.
        trace: Of its reading.
    """
    tokenizer = getattr(pipe, "tokenizer", None)
    if text is None or trace is None or tokenizer is None:
        return None
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    spans = encoded["offset_mapping"][: trace.units_total]
    return [{"start": span[0], "end": span[1]} for span in spans]


def spans_of(row: Mapping[str, Any]) -> list[tuple[int, int]] | None:
    """The characters of each unit of a row's text, half-open; None where they were not kept."""
    spans = row.get("spans")
    if isinstance(spans, str):  # as older versions wrote them
        return [(start, end) for start, end in json.loads(spans)]
    return None if spans is None else [(span["start"], span["end"]) for span in spans]
