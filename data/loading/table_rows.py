"""Rows of tables of paths and labels: of files of any of their formats, and in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..collection import collect
from ..item import Entry, InputError
from ..tables.broken import bad_table
from ..tables.json_lines import read_json_lines
from ..tables.row import Columns, entry_of_row
from .row import CALLED, CELLS, ClipRow, bad_row, make_row

_OTHERS = tuple(name for name in CELLS if name != "label")


def table_rows(
    source: Any,
    video_column: str | None,
    label_column: str,
    *,
    several: bool = False,
    called: Mapping[str, str] = CALLED,
) -> Iterator[ClipRow]:
    """Yield the rows of a table, broken ones with an error.

    Args:
        source: A CSV, TSV, JSON, JSON lines or parquet file, or a table in memory.
        video_column: The column of paths; None: video, path or file.
        label_column: The column of labels.
        several: Clips may have several labels; see `make_row`.
        called: See `CALLED`.
    """
    items = _entries(source, video_column, label_column, called["video_column"])
    where = f"{source}, " if isinstance(source, Path) else ""
    for number, item in enumerate(items, 1):
        name = item.id or f"row-{number:06d}"
        if item.error is not None:
            yield ClipRow(id=name, error=item.error)
            continue
        cells = {name: item.extra.get(name) for name in _OTHERS}
        cells["label"] = item.extra.get("label")
        if isinstance(item.value, str):
            row = make_row(name, item.value, cells, several=several)
            if row.error is not None:
                message = f"{where}row {number}: {row.error.message}"
                if cells["label"] is None:
                    message += f", in the column {label_column!r}"
                row = bad_row(name, message, split=row.split)
            yield row
        else:
            message = (
                f"a video must be a path or URL, not {type(item.value).__name__}; give a table "
                "that holds the videos themselves as a dataset of `datasets` (load_dataset)"
            )
            yield bad_row(name, message)


def _entries(
    source: Any, video_column: str | None, label_column: str, called: str
) -> Iterator[Any]:
    """Items or entries: each has an id, a value or an error, and the other cells."""
    if isinstance(source, Path) and source.suffix.lower() == ".json":
        columns = Columns(
            kind="video",
            value=video_column,
            label=label_column,
            others=_OTHERS,
            folder=str(source.parent),
            called=called,
        )
        return _json_entries(source, columns)
    return collect(
        source,
        kind="video",
        column=video_column,
        label_column=label_column,
        other_columns=_OTHERS,
        paths_repeat=True,
        times_are_parts=False,
        column_called=called,
    )


def _json_entries(path: Path, columns: Columns) -> Iterator[Entry]:
    """Rows of a file that is one list of objects, or lines of them."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            is_list = file.read(1 << 16).lstrip().startswith("[")
        if not is_list:
            yield from read_json_lines(path, columns)
            return
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        yield bad_table(path, str(error))
        return
    for number, row in enumerate(rows, 1):
        if isinstance(row, dict):
            yield entry_of_row(row, columns)
        else:
            message = f"{path}, row {number}: a row must be an object, not {type(row).__name__}"
            yield Entry(error=InputError(reason="bad_row", message=message))
