"""`collect`: make one work list of whatever holds the inputs, lazily and in a stable order."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, get_args

from .finder import Finder, Strings
from .item import Entry, InputError, Item, Kind, new_item
from .names.unique_names import UniqueNames
from .places.content import HOLDS_MANY as HOLDS_MANY
from .tables import containers
from .tables.row import Columns

_log = logging.getLogger(__name__)


def collect(
    inputs: Any,
    *,
    kind: Kind,
    column: str | None = None,
    id_column: str | None = None,
    label_column: str = "label",
    other_columns: Sequence[str] | None = (),
    limit: int | None = None,
    root: str | os.PathLike[str] | None = None,
    strings: Strings = "path",
    paths_repeat: bool = False,
    times_are_parts: bool = True,
    column_called: str = "column=",
    notify: Callable[[str], None] = _log.warning,
) -> Iterator[Item]:
    """Iterate over a collection; one item per input, broken ones included.

    Args:
        inputs: Any of these, or a list, tuple, generator or map-style dataset of them:

            - a directory: its files, recursively, sorted, without hidden ones, in linked folders,
              too. Those that are no videos, or no files of texts, by name are passed over. What
              `save_to_disk` of `datasets` wrote is its rows;
            - a glob pattern (its `**` does not follow links to directories);
            - a CSV, TSV, JSON lines or parquet file: one input per row. CSV and TSV have a header;
              a row that is broken by a stray quote is an error, and costs no other row;
            - a .txt or .lst file: one video path, or one text, per line (lines of a video list that
              are blank or begin with # are passed over);
            - such a file compressed (.gz, .bz2, .xz, .zst): what it holds, up to any damage;
            - a .zip or .tar archive: the videos, or texts, tables and lists, inside. `x.cls` or
              `x.json` behind or before `x.mp4` has its label and more (WebDataset). Nothing is
              extracted, and archives inside of it are passed over;
            - any other file: a video;
            - a URL of these: of a web server (a file), or of any store that fsspec knows (also a
              folder or a pattern). Tables and archives are copied to this machine first;
            - a row: a mapping, or a row of pandas;
            - bytes or an open binary file (videos), or a source such as a `Video`.

            Or a container in memory of rows (a table of `datasets`, pandas, polars or Arrow) or of
            inputs (a column of these, an array). What such a container, a list or a generator holds
            gives one item each: another list, say, is an error.
        kind: What the inputs are.
        column: The column of tables that holds the input; by default `text`, or `video` or `path`.
        id_column: The column that names the inputs; by default `id` where there is one.
        label_column: The column that holds the label, which is `extra["label"]` of the item.
        other_columns: More columns whose cells come along as `extra`, where a row has them; None:
            all but those that hold bytes.
        limit: Stop after so many items.
        root: What relative paths are relative to; paths that lead outside it are refused.
        strings: What a plain string is: `"path"`, `"text"`, or `"auto"` (a path if there is such
            a file, else a text).
        paths_repeat: A path that came before is another input, rather than an error.
        times_are_parts: `start_seconds` and `end_seconds` (or `start` and `end`) of a video's row
            mean the part of it that is the input: a `VideoPart`, which is called by its times, too
            (`clip.mp4#t=1.5,3`). False: they say something else (where its events are), or the
            caller heeds them. Empty cells mean nothing.
        column_called: How messages call `column`, for who takes it by another name (`--column`).
        notify: Is told in a sentence which files of a directory were passed over; default: a
            warning in the log.

    Yields:
        Items in the order of the inputs. Ids are the id column, the path (relative to a directory
        or as written), or the kind and position. Ids are unique: one that came before gets `#2`,
        `#3` ... at its end, and unless it stems from a column that merely happens to be called
        `id`, the item is a `duplicate_id` error.

    Raises:
        ValueError: An option is out of range.
        TypeError: `inputs` is, or holds, no inputs: None, a number, a set, several splits ...
    """
    if kind not in get_args(Kind):
        raise ValueError(f"kind ({kind!r}) must be 'video' or 'text'")
    if strings not in get_args(Strings):
        raise ValueError(f"strings ({strings!r}) must be 'path', 'text' or 'auto'")
    if strings != "path" and kind == "video":
        raise ValueError(f"strings ({strings!r}) must be 'path' for videos")
    if limit is not None and limit < 0:
        raise ValueError(f"limit ({limit}) must be >= 0")
    containers.check_collection(inputs)
    finder = Finder(
        columns=Columns(
            kind=kind,
            value=column,
            id=id_column,
            label=label_column,
            others=None if other_columns is None else tuple(other_columns),
            parts=kind == "video" and times_are_parts,
            called=column_called,
        ),
        root=None if root is None else os.path.realpath(root),
        strings=strings,
        notify=notify,
    )
    repeats = paths_repeat and id_column is None
    return _with_ids(finder.find(inputs), kind=kind, limit=limit, repeats=repeats)


def _with_ids(
    entries: Iterator[Entry | Item], *, kind: Kind, limit: int | None, repeats: bool
) -> Iterator[Item]:
    names = UniqueNames()
    for position, entry in enumerate(entries):
        if limit is not None and position >= limit:
            return
        if isinstance(entry, Item):  # it was named before
            yield entry
            continue
        name = entry.id if entry.id is not None else f"{kind}-{position:06d}"
        unique = names.take(name)
        if unique == name or entry.repeats or repeats:
            yield new_item(unique, entry.value, entry.error, entry.extra)
            continue
        message = f"the id {name!r} came before; ids must be unique"
        error = InputError(reason="duplicate_id", message=message)
        yield Item(id=unique, error=error, extra=entry.extra)
