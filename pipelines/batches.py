"""`read_batch`: a table in, a table out, one row for each: what engines that map tables call.

The result has the same columns of the same types whatever a batch holds, if it is nothing but
broken inputs, so that an engine can put the batches of many processes together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from temporal.data.tables.row import Columns

from .jobs.table.row import row_schema
from .jobs.table.rows import Readable, rows
from .tasks.registry import record_of

if TYPE_CHECKING:
    import pyarrow as pa

_NAMED_ALIKE = "input_"
"""Before the name of a column of the batch that a result has as well."""


def read_batch(
    pipe: Readable,
    batch: Any,
    *,
    column: str | None = None,
    id_column: str | None = None,
    label_column: str = "label",
    keep_text: bool = False,
) -> pa.Table:
    """Read the inputs of a table, and give it back with what was read.

    Args:
        pipe: A pipeline, or anything with its `read`.
        batch: A table or record batch of Arrow, a data frame of pandas or polars, or a mapping of
            columns: arrays of NumPy, lists.
        column: The column of the inputs; by default `text`, or `video` or `path`.
        id_column: The column that names the inputs; by default `id` where there is one, else a
            video's path. An input that nothing names has a null there.
        label_column: The column of the inputs' own labels, which become `target`.
        keep_text: Add the characters of each text's units; see `row_schema`.

    Returns:
        A table with the batch's rows in its order: first the columns of
        `temporal.pipelines.row_schema`, a bad input's with its error, then those of the batch as
        they are (not in `extra`), but for the bytes of videos, and for `id` and `label`, which are
        the `id` and the `target` of the result. One that is named as another is `input_...`.

    Raises:
        ValueError: The batch has no column of inputs, or one that cannot be stored.
        TypeError: It is no table.
    """
    import pyarrow as pa

    given = _columns_of(batch)
    names = list(given)
    record = record_of(getattr(pipe, "task", ""))
    columns = Columns(
        kind=record.kind,
        value=column,
        id=id_column,
        label=label_column,
        others=record.item_columns,
        parts=record.kind == "video" and not record.has_spans,
    )
    audit = getattr(pipe, "audit", None)
    is_audited = audit is not None and audit.share > 0
    schema = row_schema(record, keep_text=keep_text, audited=is_audited)
    if not given:  # an engine's empty partition
        return schema.empty_table()
    problem = columns.problem_in(names)
    is_video_itself = record.kind == "video" and not {"path", "bytes"}.isdisjoint(names)
    if problem is not None and not is_video_itself:
        raise ValueError(f"the batch ({type(batch).__name__}): {problem}")
    used = columns.used(names) if problem is None else names
    made = rows(
        pipe,
        _inputs_of(batch, given, used),
        column=column,
        id_column=id_column,
        label_column=label_column,
        keep_text=keep_text,
    )
    id_name = columns.id_in(names)
    table = pa.Table.from_pylist(
        [_without_place(row, place, record.kind, id_name) for place, row in enumerate(made)],
        schema=schema,
    )
    told: set[str] = {name for name in ("id", "label") if name in (id_name, label_column)}
    told |= {"text"} if keep_text else set()
    told |= {"bytes"} if is_video_itself else set()
    for name, values in given.items():
        is_input = name == columns.value_in(names)
        carried = None if name in told else _carried(name, values, is_input=is_input)
        if carried is not None:
            table = table.append_column(_free(name, table.column_names, names), carried)
    return table


def _columns_of(batch: Any) -> dict[str, Any]:
    """The columns of a batch by their names, as they are."""
    kind = type(batch).__name__
    if isinstance(batch, Mapping):
        return {str(name): batch[name] for name in batch}
    if kind not in ("Table", "RecordBatch", "DataFrame"):
        raise TypeError(f"batch ({kind}) must be a table, a data frame or a mapping of columns")
    names = batch.columns if kind == "DataFrame" else batch.schema.names
    if len(set(names)) < len(names):
        raise ValueError(f"the batch ({kind}) has several columns of one name: {list(names)}")
    return {str(name): batch[name] for name in names}


def _inputs_of(batch: Any, given: Mapping[str, Any], used: list[str]) -> Any:
    """What is used of a batch: the other columns are carried as they are, not as `extra`."""
    if isinstance(batch, Mapping):
        return _rows_of(given, used)
    return batch[used] if hasattr(batch, "iloc") else batch.select(used)


def _rows_of(given: Mapping[str, Any], used: Sequence[str]) -> Iterator[dict[str, Any]]:
    for cells in zip(*(given[name] for name in used), strict=True):
        yield dict(zip(used, cells, strict=True))


def _without_place(
    row: dict[str, Any], place: int, kind: str, id_column: str | None
) -> dict[str, Any]:
    """A row whose id only says where in its batch it was has none: other batches have it, too."""
    if id_column is None and row["id"] == f"{kind}-{place:06d}":
        row["id"] = None
    return row


def _carried(name: str, values: Any, *, is_input: bool) -> pa.Array | pa.ChunkedArray | None:
    """A column of the batch as one of a table; None: it is not carried, for it holds videos."""
    import pyarrow as pa

    try:
        array = _array(values)
    except (pa.ArrowException, TypeError, ValueError) as error:
        if is_input:  # what is no input has its error, and may be of any type
            return pa.array([one if isinstance(one, str) else None for one in values], pa.string())
        raise ValueError(
            f"column ({name!r}) must hold values of one type to be carried along: {error}"
        ) from error
    is_media = pa.types.is_nested(array.type) or "binary" in str(array.type)
    return None if is_input and is_media else array


def _array(values: Any) -> pa.Array | pa.ChunkedArray:
    import pyarrow as pa

    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values
    if hasattr(values, "to_arrow"):  # polars
        return values.to_arrow()
    if hasattr(values, "iloc"):  # pandas, which has NaN for what is missing
        return pa.Array.from_pandas(values)
    is_tensor = getattr(values, "ndim", 1) > 1
    return pa.array(values.tolist() if is_tensor else values)


def _free(name: str, taken: Sequence[str], given: Sequence[str]) -> str:
    """The name itself, or one like it that no column of the result has, nor will have."""
    free = name
    while free in taken or (free != name and free in given):
        free = _NAMED_ALIKE + free
    return free
