"""Containers in memory that hold many inputs: tables give rows, columns give cells.

Each of their rows or cells is one input. They are known by the library that they come from, which
is imported already when one of them is here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..item import Entry, InputError, InputReason, Kind
from ..places.content import Content
from .broken import bad_table
from .parquet import batch_entries, without_blobs
from .row import Columns, apart, entry_of_cell, entry_of_row


def check_collection(inputs: Any) -> None:
    """Refuse what holds no inputs, or not in an order, before anything is read.

    Raises:
        TypeError: They are of such a type.
    """
    kind = type(inputs).__name__
    library = library_of(inputs)
    if library == "datasets" and isinstance(inputs, Mapping):
        raise TypeError(f"inputs ({kind}) holds several splits; give one of them")
    if library == "torch" and kind == "DataLoader":
        raise TypeError(f"inputs ({kind}) yields batches; give its dataset: inputs.dataset")
    if library == "polars" and kind == "LazyFrame":
        raise TypeError(f"inputs ({kind}) is not computed yet; give inputs.collect()")
    if isinstance(inputs, set | frozenset):
        raise TypeError(
            f"inputs ({kind}) has no order, so results could not be told apart; give a list"
        )
    is_one = (
        isinstance(inputs, Mapping | os.PathLike | Content)
        or is_source(inputs)
        or hasattr(inputs, "read")
    )
    if not is_one and not isinstance(inputs, Iterable) and not _is_map_style(inputs):
        told = repr(inputs) if inputs is None or isinstance(inputs, int | float) else kind
        raise TypeError(f"inputs ({told}) must be an input or hold some; see temporal.data.collect")


def library_of(value: Any) -> str:
    """The package that a value's class comes from."""
    return type(value).__module__.partition(".")[0]


def is_table(inputs: Any) -> bool:
    """Whether these are rows under named columns."""
    library, kind = library_of(inputs), type(inputs).__name__
    return (
        (library == "datasets" and hasattr(inputs, "column_names"))
        or (library in ("pandas", "polars", "modin") and kind == "DataFrame")
        or (library == "pyarrow" and kind in ("Table", "RecordBatch", "RecordBatchReader"))
    )


def is_column(inputs: Any) -> bool:
    """Whether these are the cells of one column."""
    library, kind = library_of(inputs), type(inputs).__name__
    return (
        (library == "datasets" and kind in ("Column", "IterableColumn"))
        or (library in ("pandas", "modin") and hasattr(inputs, "iloc") and inputs.ndim == 1)
        or (library == "pandas" and kind.endswith("Index"))
        or (library == "pandas" and kind.endswith("Array"))
        or (library == "polars" and kind == "Series")
        or (library == "pyarrow" and hasattr(inputs, "to_pylist"))
    )


def is_source(value: Any) -> bool:
    """Whether it can be read by a reader as it is (a `Video`, a `Document`)."""
    return hasattr(value, "unit") and hasattr(value, "cost") and hasattr(value, "read")


def is_scalar_array(value: Any) -> bool:
    """Whether it is an array of NumPy without dimensions, which stands for what it holds."""
    return library_of(value) == "numpy" and getattr(value, "ndim", None) == 0


def is_pixels(value: Any) -> bool:
    """Whether it is an array or tensor of pictures."""
    return hasattr(value, "dtype") and getattr(value, "ndim", 0) >= 3


def members(inputs: Any) -> Iterable[Any]:
    """What a list, array, generator or map-style dataset holds."""
    if isinstance(inputs, Iterable):
        return inputs
    return (inputs[place] for place in range(len(inputs)))


def no_input(value: Any, kind: Kind) -> Entry:
    """The entry of what is not an input."""
    name = type(value).__name__
    if isinstance(value, Iterable) and not isinstance(value, bytes | bytearray | memoryview):
        name += ": what a list or generator holds must be one input each, not several"
        if kind == "text":
            name += "; a pair of texts is {'text': ..., 'text_pair': ...}"
    reason: InputReason = "not_text" if kind == "text" else "unsupported_input"
    if kind == "text":
        message = f"a text must be a string, not {name}"
    else:
        message = f"inputs of type {name} are not read; see temporal.data.collect"
    return Entry(error=InputError(reason=reason, message=message))


def _is_map_style(value: Any) -> bool:
    """Whether it is a dataset of torch's kind: a length and items, and nothing to iterate."""
    is_one = hasattr(value, "__getitem__") and hasattr(value, "__len__")
    return is_one and not isinstance(value, type)


def table_entries(table: Any, columns: Columns) -> Iterator[Entry]:
    """One entry for each row; a single one where the columns are not those wanted."""
    names = _column_names(table)
    if names is None:  # a stream of `datasets` that does not know its columns
        return (entry_of_row(row, columns) for row in table)
    columns = _with_video_column(table, columns)
    problem = columns.problem_in(names)
    is_videos = columns.kind == "video" and not {"path", "bytes"}.isdisjoint(names)
    if problem is not None and not is_videos:
        return iter([bad_table(type(table).__name__, problem)])
    if library_of(table) == "pyarrow":
        read = set(without_blobs(columns, table.schema) if problem is None else names)
        places = [place for place, name in enumerate(names) if name in read]
        batches = _record_batches(table.select(places) if hasattr(table, "select") else table)
        return (entry for batch in batches for entry in batch_entries(batch, columns))
    names = apart(names)
    used = columns.used(names) if problem is None else names
    return (entry_of_row(row, columns) for row in _rows(table, used, columns))


def column_entries(column: Any, kind: Kind) -> Iterator[Entry]:
    """One entry for each cell."""
    cells: Iterable[Any] = column
    if library_of(column) == "datasets":
        cells = _undecoded_column(column) if kind == "video" else column
    elif library_of(column) == "pyarrow":
        return (_entry_of_scalar(cell, kind) for cell in column)
    return (entry_of_cell(cell, kind) for cell in cells)


def _entry_of_scalar(cell: Any, kind: Kind) -> Entry:
    try:
        return entry_of_cell(cell.as_py(), kind)
    except (ValueError, OverflowError) as error:
        message = f"the cell holds what is no value of its type ({error})"
        return Entry(error=InputError(reason="bad_row", message=message))


def _column_names(table: Any) -> Sequence[str] | None:
    if library_of(table) == "datasets":
        return table.column_names
    if library_of(table) == "pyarrow":
        return table.schema.names
    return [str(name) for name in table.columns]


def _rows(table: Any, used: Sequence[str], columns: Columns) -> Iterator[Mapping[str, Any]]:
    library = library_of(table)
    if library == "datasets":
        yield from _plain_rows(table, used, columns)
    elif library == "polars":
        yield from table.select(list(used)).iter_rows(named=True)
    else:
        names = apart([str(name) for name in table.columns])
        places = [names.index(name) for name in used]
        for row in zip(*(table.iloc[:, place] for place in places), strict=True):
            yield dict(zip(used, row, strict=True))


def _record_batches(table: Any) -> Iterable[Any]:
    if hasattr(table, "to_batches"):
        return table.to_batches()
    return [table] if hasattr(table, "num_rows") else table


def _plain_rows(table: Any, used: Sequence[str], columns: Columns) -> Iterable[Mapping[str, Any]]:
    """The rows of a `datasets` table as mappings, without the columns that are not wanted."""
    if getattr(table, "format", {}).get("type") == "custom":
        return table  # the user's own function makes the rows, of whatever columns
    kinds = getattr(table, "features", None) or {}
    needed = columns.needed(list(table.column_names))
    plain = [name for name in used if name in needed or not _holds_media(kinds.get(name))]
    return _undecoded(table.with_format(None).select_columns(plain), columns)


def _with_video_column(table: Any, columns: Columns) -> Columns:
    """The columns, with that of the videos where a table of `datasets` has one of that feature."""
    features = getattr(table, "features", None) or {}
    if columns.kind != "video" or columns.value_in(list(features)) or columns.value is not None:
        return columns
    videos = [name for name, kind in features.items() if type(kind).__name__ == "Video"]
    return replace(columns, value=videos[0]) if len(videos) == 1 else columns


def _holds_media(feature: Any) -> bool:
    """Whether cells of a feature of `datasets` hold bytes, or would have to be decoded."""
    name, dtype = type(feature).__name__, getattr(feature, "dtype", "")
    return name in ("Video", "Image", "Audio", "Pdf", "Nifti") or "binary" in str(dtype)


def _undecoded(table: Any, columns: Columns) -> Iterable[Mapping[str, Any]]:
    """Ask `datasets` for the bytes or path of videos: decoding all frames is what we avoid."""
    features = getattr(table, "features", None) or {}
    name = columns.value_in(list(features))
    if name is not None and _decodes_videos(features[name]):
        import datasets

        return table.cast_column(name, datasets.Video(decode=False))
    return table


def _undecoded_column(column: Any) -> Iterable[Any]:
    """The cells of a `datasets` column of videos, as bytes or paths."""
    source, name = column.source, column.column_name
    features = getattr(source, "features", None)
    if isinstance(features, Mapping) and name in features and _decodes_videos(features[name]):
        import datasets

        if hasattr(source, "cast_column"):
            return source.cast_column(name, datasets.Video(decode=False))[name]
    return column


def _decodes_videos(feature: Any) -> bool:
    return type(feature).__name__ == "Video" and bool(getattr(feature, "decode", False))
