"""What callers hand to a pipeline: one input or several, and the items that they are."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from temporal.data import Item, collect
from temporal.data.item import Kind
from temporal.data.places.archives import is_archive
from temporal.data.places.content import Content, holds_many
from temporal.data.places.stores import scheme_of
from temporal.data.places.urls import name_in, names_many_files
from temporal.data.tables.containers import (
    check_collection,
    is_column,
    is_pixels,
    is_scalar_array,
    is_source,
    is_table,
    library_of,
)
from temporal.data.tables.row import Columns, is_row

Held = Literal["one", "list", "stream"]


def how_many(inputs: Any, kind: Kind, column: str | None = None) -> Held:
    """Whether inputs are one input, several in memory, or a stream: what a call answers with.

    Args:
        inputs: As for `Pipeline.read`.
        kind: Of the pipeline.
        column: Of tables and rows.

    Returns:
        `"one"`: an input itself; `"list"`: a list, tuple, array, column or table in memory, and for
        videos a directory, glob, list file or table; `"stream"`: what is read as results are taken:
        generators, datasets, other iterables, and files of texts.

    Raises:
        TypeError: They are not inputs.
    """
    check_collection(inputs)
    if isinstance(inputs, str | os.PathLike):
        if kind == "text":
            return "one" if isinstance(inputs, str) else "stream"
        return "list" if _names_many(os.fspath(inputs)) else "one"
    if isinstance(inputs, bytes | bytearray | memoryview | Content) or hasattr(inputs, "read"):
        return "one"
    if is_row(inputs, Columns(kind=kind, value=column)):
        return "one"
    if is_source(inputs) or is_scalar_array(inputs) or (kind == "video" and is_pixels(inputs)):
        return "one"
    if isinstance(inputs, list | tuple):
        return "list"
    library = library_of(inputs)
    in_memory = library == "numpy" or is_column(inputs) or is_table(inputs)
    is_stream = library == "datasets" and is_table(inputs)
    return "list" if in_memory and not is_stream and hasattr(inputs, "__len__") else "stream"


def items_of(
    inputs: Any,
    kind: Kind,
    column: str | None = None,
    id_column: str | None = None,
    *,
    label_column: str = "label",
    other_columns: Sequence[str] | None = (),
    times_are_parts: bool = True,
) -> Iterator[Item]:
    """The items of what a pipeline was given: a string is a text, or the path of a video."""
    strings: Any = "text" if kind == "text" else "path"
    return collect(
        inputs,
        kind=kind,
        column=column,
        id_column=id_column,
        label_column=label_column,
        other_columns=other_columns,
        strings=strings,
        times_are_parts=times_are_parts,
        paths_repeat=True,  # two inputs have two results, whatever they are called
    )


def _names_many(path: str) -> bool:
    if scheme_of(path) is not None and not os.path.lexists(path):
        name = name_in(path)
        return holds_many(name) or is_archive(name) or names_many_files(path)
    if os.path.isdir(path) or holds_many(path) or is_archive(path):
        return True
    return glob.has_magic(path) and "\0" not in path and not os.path.lexists(path)
