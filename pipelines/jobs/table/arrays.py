"""Rows as a table of Arrow, made column by column.

What is the same in all rows, or nothing, is most of a row, and is written down once. Numbers of
units are taken from their tuples at once: no row lists them as Python objects of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from .trace_column import StoredTrace, trace_type, view_value

if TYPE_CHECKING:
    import pyarrow as pa

    from temporal.trace import Trace


def table_of(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Make a table of rows, which `Table.from_pylist` would make of them as dicts.

    Args:
        rows: One or more, with the columns of the schema; traces may be `StoredTrace`.
        schema: Names and types of the columns.

    Raises:
        pyarrow.ArrowException: a value is of another type than its column.
    """
    import pyarrow as pa

    columns = _columns(rows, schema.names)
    arrays = [array_of(*pair) for pair in zip(columns, schema.types, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def array_of(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Make a column of its values, as `pyarrow.array` does."""
    import pyarrow as pa

    count = len(values)
    if values.count(None) == count:
        return pa.nulls(count, kind)
    if pa.types.is_nested(kind):
        if any(isinstance(value, StoredTrace) for value in values):
            return _traces(values)
    # Of numbers that are equal one may be -0.0.
    elif not pa.types.is_floating(kind) and values.count(values[0]) == count:
        return pa.repeat(pa.scalar(values[0], kind), count)
    return pa.array(values, kind)


def _columns(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Iterable[Sequence[Any]]:
    """What rows have by these names."""
    if len(names) < 2:
        return [[row[name] for row in rows] for name in names]
    return zip(*map(itemgetter(*names), rows), strict=True)


def _lists_of(lists: Sequence[tuple[int, ...]]) -> pa.Array:
    """The column of lists of units."""
    import pyarrow as pa

    lengths = list(map(len, lists))
    try:  # twice as fast, where none is above 255
        flat = np.frombuffer(b"".join(map(bytes, lists)), np.uint8).astype(np.int64)
    except ValueError:
        flat = np.fromiter(chain.from_iterable(lists), np.int64, sum(lengths))
    return _cut(pa.array(flat), lengths, pa.list_(pa.int64()))


def _cut(flat: pa.Array, lengths: Sequence[int], kind: pa.ListType) -> pa.Array:
    """Lists of these lengths."""
    import pyarrow as pa

    ends = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, dtype=np.int32, out=ends[1:])
    return pa.ListArray.from_arrays(pa.array(ends), flat, type=kind)


_UNITS = ("read", "skimmed", "places")
_OFTEN_ALIKE = (
    *("unit", "halted_at", "exit", "num_exits", "token_layers", "visual_tokens"),
    *("preview", "truncated", "batches_halved", "views", "places"),
)
"""What the traces of one reader mostly have in common: it is looked at together. No numbers with a
fraction: of two that are equal one may be -0.0."""


def _traces(values: Sequence[Any]) -> pa.Array:
    """The column of traces, of rows some of which may have none."""
    import pyarrow as pa

    kind = trace_type()
    if not all(value is None or isinstance(value, StoredTrace) for value in values):
        plain = [one.value() if isinstance(one, StoredTrace) else one for one in values]
        return pa.array(plain, kind)
    stored = [value for value in values if value is not None]
    traces = [one.trace for one in stored]
    costs = [trace.cost for trace in traces]
    found = _alike(traces)
    found["views"] = [list(map(view_value, views)) if views else () for views in found["views"]]
    found["audio_seconds"] = _each(costs, "audio_seconds")
    found["dense_macs"] = [one.dense_macs for one in stored]
    arrays = []
    for field in kind:
        if field.name == "cost":
            arrays.append(_attributes(costs, field.type))
            continue
        column = found.get(field.name) or _each(traces, field.name)
        if pa.types.is_list(field.type) and not any(column):
            arrays.append(_cut(pa.nulls(0, field.type.value_type), [0] * len(column), field.type))
        else:
            is_units = field.name in _UNITS
            arrays.append(_lists_of(column) if is_units else array_of(column, field.type))
    array = pa.StructArray.from_arrays(arrays, fields=list(kind))
    if len(stored) == len(values):
        return array
    places = iter(range(len(stored)))
    return array.take(pa.array([None if one is None else next(places) for one in values]))


def _alike(traces: Sequence[Trace]) -> dict[str, Sequence[Any]]:
    """Columns that are mostly of one value."""
    rows = list(map(attrgetter(*_OFTEN_ALIKE), traces))
    is_one = rows.count(rows[0]) == len(rows)
    columns = [[value] * len(rows) for value in rows[0]] if is_one else zip(*rows, strict=True)
    return dict(zip(_OFTEN_ALIKE, columns, strict=True))


def _attributes(values: Sequence[Any], kind: pa.StructType) -> pa.Array:
    """Structs of what objects have by the names of the fields."""
    import pyarrow as pa

    arrays = [array_of(_each(values, field.name), field.type) for field in kind]
    return pa.StructArray.from_arrays(arrays, fields=list(kind))


def _each(values: Sequence[Any], name: str) -> list[Any]:
    return list(map(attrgetter(name), values))
