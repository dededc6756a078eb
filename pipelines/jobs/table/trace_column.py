"""The column `trace` of a result: a struct that any reader of parquet or JSON opens as it is.

Older versions wrote JSON into a string; such rows are still read (`trace_values`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from temporal.trace import Cost, Trace, View

if TYPE_CHECKING:
    import pyarrow as pa

# What a clock measured has columns of its own: a trace is the same whenever its source is read.
_MEASURED = ("decode_seconds", "model_seconds")
# What few readers spend lies beside the costs, whose fields every table has had.
_OF_FEW = ("audio_seconds",)
COUNTED = tuple(f.name for f in fields(Cost) if f.name not in (*_MEASURED, *_OF_FEW))
"""Costs that a trace holds as they are counted."""
_BOXES = ("size", "region")
_LISTS = ("read", "skimmed", "confidences", "places", "place_scores")
_TRACE_FIELDS = tuple(f.name for f in fields(Trace) if f.name not in ("views", "cost"))


def trace_type() -> pa.DataType:
    """Give the struct's fields: those of `Trace`, and some that it computes.

    Its `cost` has what is counted; `dense_macs` are the multiply-accumulates of reading everything.
    """
    import pyarrow as pa

    units = pa.list_(pa.int64())
    view = [("units", units), ("is_glance", pa.bool_()), *((name, units) for name in _BOXES)]
    return pa.struct(
        [
            ("unit", pa.string()),
            ("units_total", pa.int64()),
            ("units_read", pa.int64()),
            ("share_read", pa.float64()),
            ("read", units),  # in the order in which they were read
            ("skimmed", units),
            ("halted", pa.bool_()),
            ("halted_at", pa.int64()),
            ("halted_at_seconds", pa.float64()),
            ("exit", pa.int64()),
            ("num_exits", pa.int64()),
            ("token_layers", pa.int64()),
            ("visual_tokens", pa.int64()),
            ("seconds_per_unit", pa.float64()),
            ("preview", pa.string()),
            ("truncated", pa.bool_()),
            ("batches_halved", pa.int64()),
            ("views", pa.list_(pa.struct(view))),
            ("confidences", pa.list_(pa.float64())),
            ("places", units),
            ("place_scores", pa.list_(pa.float64())),
            ("cost", pa.struct([(name, pa.int64()) for name in COUNTED])),
            *((name, pa.float64()) for name in _OF_FEW),
            ("dense_macs", pa.int64()),
        ]
    )


@dataclass(eq=False, slots=True)  # as quick to make, and to tell from None, as can be
class StoredTrace:
    """A trace on its way into a table, where its units need not become lists before."""

    trace: Trace
    """What a reading tells."""

    dense_macs: int | None
    """Multiply-accumulates of reading everything, where they are known."""

    def value(self) -> dict[str, Any]:
        """See `trace_value`."""
        return trace_value(self.trace, dense_macs=self.dense_macs)


def trace_value(trace: Trace, *, dense_macs: int | None = None) -> dict[str, Any]:
    """Write a trace as a value of `trace_type`; it is JSON, too."""
    return {
        "unit": trace.unit,
        "units_total": trace.units_total,
        "units_read": trace.units_read,
        "share_read": trace.share_read,
        "read": list(trace.read),
        "skimmed": list(trace.skimmed),
        "halted": trace.halted,
        "halted_at": trace.halted_at,
        "halted_at_seconds": trace.halted_at_seconds,
        "exit": trace.exit,
        "num_exits": trace.num_exits,
        "token_layers": trace.token_layers,
        "visual_tokens": trace.visual_tokens,
        "seconds_per_unit": trace.seconds_per_unit,
        "preview": trace.preview,
        "truncated": trace.truncated,
        "batches_halved": trace.batches_halved,
        "views": [view_value(view) for view in trace.views],
        "confidences": list(trace.confidences),
        "places": list(trace.places),
        "place_scores": list(trace.place_scores),
        "cost": {name: getattr(trace.cost, name) for name in COUNTED},
        **{name: getattr(trace.cost, name) for name in _OF_FEW},
        "dense_macs": dense_macs,
    }


def trace_values(row: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Give a row's trace as `trace_value` writes it, whichever version wrote the row.

    None where nothing was read.
    """
    found: Mapping[str, Any] | str | None = row["trace"]
    if not isinstance(found, str):
        return found
    values = json.loads(found)
    dense_macs = values.pop("dense_macs")
    read, skimmed = (_unpacked(values.pop(name)) for name in ("read", "skimmed"))
    costs = {name: row[name] for name in COUNTED if name in row} | values.pop("cost")
    trace = Trace(**values, read=read, skimmed=skimmed, cost=Cost(**costs))
    return trace_value(trace, dense_macs=dense_macs)


def trace_of(row: Mapping[str, Any]) -> Trace | None:
    """Rebuild the trace of a row, costs included; None where nothing was read."""
    values = trace_values(row)
    if values is None:
        return None
    found: dict[str, Any] = {
        name: values.get(name) for name in _TRACE_FIELDS
    }  # older rows lack some
    found["batches_halved"] = values.get("batches_halved") or 0
    found |= {name: tuple(values.get(name) or ()) for name in _LISTS}
    found["views"] = tuple(map(_view_of, values.get("views") or ()))
    few: dict[str, Any] = {name: values.get(name) or 0.0 for name in _OF_FEW}
    cost = Cost(**values["cost"], **few, **{name: row[name] for name in _MEASURED})
    return Trace(**found, cost=cost)


def dense_macs_of(row: Mapping[str, Any]) -> int | None:
    """Multiply-accumulates of reading a row's source whole; None where they are not known."""
    values = trace_values(row)
    macs: int | None = values["dense_macs"] if values is not None else None
    return macs


def view_value(view: View) -> dict[str, Any]:
    """One of a trace's views as its row holds it."""
    boxes = {name: getattr(view, name) for name in _BOXES}
    return {
        "units": list(view.units),
        "is_glance": view.is_glance,
        **{name: None if box is None else list(box) for name, box in boxes.items()},
    }


def _view_of(value: Mapping[str, Any]) -> View:
    boxes: dict[str, Any] = {
        name: None if value[name] is None else tuple(value[name]) for name in _BOXES
    }
    return View(units=tuple(value["units"]), is_glance=value["is_glance"], **boxes)


def _unpacked(units: Iterable[int | list[int]]) -> tuple[int, ...]:
    """Units of an older row, in which neighbours are a half-open pair: `[0, 7, [9, 12]]`."""
    found: list[int] = []
    for item in units:
        found += [item] if isinstance(item, int) else range(*item)
    return tuple(found)
