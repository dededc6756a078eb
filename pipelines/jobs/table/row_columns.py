"""Rows as columns: what is added up of many rows need not be a Python object for each of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..store.content import rows_in
from .trace_column import trace_values

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_AT_ONCE = 1024
"""Of those that come one by one."""

_INTS = ("units_read", "frames_decoded", "macs")
_SECONDS = ("decode_seconds", "model_seconds")
_TYPES: Mapping[str, str] = {
    **dict.fromkeys(("id", "status", "label", "target"), "string"),
    **dict.fromkeys(("error_reason", "error_message", "trace.unit"), "string"),
    **dict.fromkeys(("exit", "units_total", "units_skimmed", *_INTS), "int64"),
    **dict.fromkeys(("trace.exit", "trace.num_exits"), "int64"),
    **dict.fromkeys(("trace.dense_macs", "trace.batches_halved"), "int64"),
    **dict.fromkeys((f"audit.{name}" for name in _INTS), "int64"),
    **dict.fromkeys(("score", *_SECONDS, *(f"audit.{name}" for name in _SECONDS)), "double"),
    **dict.fromkeys(("trace.halted", "audit.agreed", "read_in_full"), "bool"),
    **dict.fromkeys(("trace", "audit"), "bool"),
}
"""Columns that can be asked for, but for `trace.confidences`; structs: whether there is one."""

_CONFIDENCES = "trace.confidences"


class RowColumns:
    """Some rows, each column an array of Arrow; see `row_columns`."""

    def __init__(self, arrays: Mapping[str, pa.Array], num_rows: int) -> None:
        self._arrays = arrays
        self._num_rows = num_rows

    def __len__(self) -> int:
        return self._num_rows

    def __getitem__(self, name: str) -> pa.Array:
        """A column, or a field of `trace` or `audit` (`"trace.exit"`).

        Null where a row has none, as rows of older versions have no such column. `"trace"` and
        `"audit"` themselves tell whether a row has one.
        """
        import pyarrow as pa

        kind = _type_of(name)
        found = self._arrays.get(name)
        if found is None:
            return pa.nulls(self._num_rows, kind)
        return found if found.type == kind else found.cast(kind)

    def where(self, mask: pa.Array) -> RowColumns:
        """The rows for which a mask is true."""
        count = mask.true_count
        if count == self._num_rows:
            return self
        return RowColumns({name: one.filter(mask) for name, one in self._arrays.items()}, count)


def row_columns(rows: Iterable[Mapping[str, Any] | pa.Table]) -> Iterator[RowColumns]:
    """Yield rows as columns, in their order.

    Args:
        rows: As `store.ledger.read_tables` or `read_rows` yield them.
    """
    waiting: list[Mapping[str, Any]] = []
    for one in rows:
        if isinstance(one, Mapping):
            waiting.append(one)
            if len(waiting) < _ROWS_AT_ONCE:
                continue
        if waiting:
            yield _of_rows(waiting)
            waiting = []
        if not isinstance(one, Mapping):
            yield from _of_table(one)
    if waiting:
        yield _of_rows(waiting)


def _of_table(table: pa.Table) -> Iterator[RowColumns]:
    import pyarrow as pa

    names = table.column_names
    if "trace" in names and not pa.types.is_struct(table.schema.field("trace").type):
        yield from row_columns(rows_in(table))  # of an older version: JSON in a string
        return
    for batch in table.to_batches():
        arrays: dict[str, pa.Array] = {}
        for name, array in zip(names, batch.columns, strict=True):
            if not pa.types.is_struct(array.type):
                arrays[name] = array
                continue
            arrays[name] = array.is_valid()
            fields = zip(array.type, array.flatten(), strict=True)
            arrays |= {f"{name}.{field.name}": values for field, values in fields}
        yield RowColumns(arrays, len(batch))


def _of_rows(rows: Sequence[Mapping[str, Any]]) -> RowColumns:
    import pyarrow as pa

    structs = {
        "trace": [trace_values(row) for row in rows],
        "audit": [row.get("audit") for row in rows],
    }
    arrays: dict[str, pa.Array] = {}
    for name in (*_TYPES, _CONFIDENCES):
        top, _, field = name.partition(".")
        if field:
            values = [None if found is None else found.get(field) for found in structs[top]]
        elif top in structs:
            values = [found is not None for found in structs[top]]
        else:
            values = [row.get(top) for row in rows]
        arrays[name] = pa.array(values, _type_of(name))
    return RowColumns(arrays, len(rows))


def _type_of(name: str) -> pa.DataType:
    import pyarrow as pa

    if name == _CONFIDENCES:
        return pa.list_(pa.float64())
    return pa.type_for_alias(_TYPES[name])


def counted(values: pa.Array) -> dict[Any, int]:
    """How often each value is there, in the order in which they come first."""
    pairs = values.drop_null().value_counts()
    return dict(zip(*(field.to_pylist() for field in pairs.flatten()), strict=True))


def whole_sum(values: pa.Array) -> int:
    """The sum of whole numbers, exact beyond 64 bits as well."""
    import pyarrow.compute as pc

    high = pc.sum(pc.shift_right(values, 32)).as_py() or 0
    low = pc.sum(pc.bit_wise_and(values, 2**32 - 1)).as_py() or 0
    return (int(high) << 32) + int(low)


def added(start: float, values: pa.Array) -> float:
    """`start` and one value after another: rounded the same however the rows are cut."""
    import pyarrow.compute as pc

    values = values.drop_null()
    return pc.cumulative_sum(values, start=start)[-1].as_py() if len(values) else start
