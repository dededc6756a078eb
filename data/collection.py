"""`collect`: make one work list of whatever holds the inputs, lazily and in a stable order."""

from __future__ import annotations

import glob
import logging
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

from .folders import matches, walk
from .item import Entry, InputError, InputReason, Item, Kind
from .media import is_media_name
from .names.unique_names import UniqueNames
from .tables import containers
from .tables.delimited import read_csv
from .tables.json_lines import read_json_lines
from .tables.lines import read_lines
from .tables.parquet import read_parquet
from .tables.row import Columns, entry_of_cell, entry_of_row, is_row

Strings = Literal["path", "text", "auto"]

_log = logging.getLogger(__name__)

_TABLES = frozenset({".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"})
_LISTS = frozenset({".txt", ".lst"})
HOLDS_MANY = _TABLES | _LISTS
"""Suffixes of files whose content is a list of inputs."""


def collect(
    inputs: Any,
    *,
    kind: Kind,
    column: str | None = None,
    id_column: str | None = None,
    label_column: str = "label",
    other_columns: Sequence[str] = (),
    limit: int | None = None,
    root: str | os.PathLike[str] | None = None,
    strings: Strings = "path",
    paths_repeat: bool = False,
    notify: Callable[[str], None] = _log.warning,
) -> Iterator[Item]:
    """Iterate over a collection; one item per input, broken ones included.

    Args:
        inputs: Any of these, or a list, tuple, generator or map-style dataset of them:

            - a directory: its files, recursively, sorted, without hidden ones, in linked folders,
              too. Those that are no videos, or no files of texts, by name are passed over;
            - a glob pattern (its `**` does not follow links to directories);
            - a CSV, TSV, JSON lines or parquet file: one input per row. CSV and TSV have a header;
              a row that is broken by a stray quote is an error, and costs no other row;
            - a .txt or .lst file: one video path, or one text, per line (lines of a video list that
              are blank or begin with # are passed over);
            - any other file: a video;
            - a row: a mapping, or a row of pandas;
            - bytes or an open binary file (videos), or a source such as a `Video`.

            Or a container in memory of rows (a table of `datasets`, pandas, polars or Arrow) or of
            inputs (a column of these, an array). What such a container, a list or a generator holds
            gives one item each: another list, say, is an error.
        kind: What the inputs are.
        column: The column of tables that holds the input; by default `text`, or `video` or `path`.
        id_column: The column that names the inputs; by default `id` where there is one.
        label_column: The column that holds the label, which is `extra["label"]` of the item.
        other_columns: More columns whose cells come along as `extra`, where a row has them.
        limit: Stop after so many items.
        root: What relative paths are relative to; paths that lead outside it are refused.
        strings: What a plain string is: `"path"`, `"text"`, or `"auto"` (a path if there is such
            a file, else a text).
        paths_repeat: A path that came before is another input, rather than an error.
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
    finder = _Finder(
        columns=Columns(
            kind=kind,
            value=column,
            id=id_column,
            label=label_column,
            others=tuple(other_columns),
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
            yield Item(id=unique, value=entry.value, error=entry.error, extra=entry.extra)
            continue
        message = f"the id {name!r} came before; ids must be unique"
        yield Item(id=unique, error=InputError(reason="duplicate_id", message=message))


class _Finder:
    """Turns inputs into entries; holds what was asked for."""

    def __init__(
        self, *, columns: Columns, root: str | None, strings: Strings, notify: Callable[[str], None]
    ) -> None:
        self.columns = columns
        self.root = root
        self.strings = strings
        self.notify = notify

    def find(self, inputs: Any) -> Iterator[Entry | Item]:
        """Yield the entries of one input or of a container of many."""
        if containers.is_table(inputs):
            yield from containers.table_entries(inputs, self.columns)
        elif containers.is_column(inputs) and not is_row(inputs, self.columns):
            yield from containers.column_entries(inputs, self.columns.kind)
        elif (one := self._single(inputs, alone=True)) is not None:
            yield from one
        else:
            for one_of_many in containers.members(inputs):
                yield from self._member(one_of_many)

    def _member(self, value: Any) -> Iterator[Entry | Item]:
        """One input of several: what holds several is none itself, but for files and folders."""
        if isinstance(value, Item):
            yield value
        elif (one := self._single(value)) is not None:
            yield from one
        else:
            yield containers.no_input(value, self.columns.kind)

    def _single(self, value: Any, *, alone: bool = False) -> Iterable[Entry] | None:
        """The entries of a value that is an input itself, or names some; None for another."""
        if isinstance(value, str):
            return self._string(str(value), alone=alone)  # NumPy has strings of its own
        if isinstance(value, os.PathLike):
            return self._path(os.fspath(value), alone=alone)
        if is_row(value, self.columns):
            return [entry_of_row(value, self.columns)]
        if containers.is_source(value):
            return [Entry(id=value.id, value=value, repeats=True)]
        if isinstance(value, bytes | bytearray | memoryview) or hasattr(value, "read"):
            return [self._media(value)]
        if containers.is_scalar_array(value):
            return self._single(value.item())
        if containers.is_pixels(value):
            return [containers.no_input(value, self.columns.kind)]
        return None

    def _media(self, source: Any) -> Entry:
        if self.columns.kind == "video":
            name = getattr(source, "name", None)
            return Entry(id=name if isinstance(name, str) else None, value=source)
        return containers.no_input(source, "text")

    def _string(self, text: str, *, alone: bool) -> Iterator[Entry]:
        is_text = self.strings == "text" or (self.strings == "auto" and not _exists(text))
        if self.columns.kind == "text" and is_text:
            yield entry_of_cell(text, "text")
        else:
            yield from self._path(text, alone=alone)

    def _path(self, text: str, *, alone: bool = False, name: str | None = None) -> Iterator[Entry]:
        name = text if name is None else name
        if "\0" in text:
            yield _error("not_found", f"path {text!r} holds a NUL byte", id=name)
            return
        path = text if self.root is None else os.path.join(self.root, text)
        if not os.path.lexists(path) and glob.has_magic(text):
            yield from self._pattern(text)
        elif self.root is not None and not Path(os.path.realpath(path)).is_relative_to(self.root):
            message = f"path {text!r} lies outside the root {self.root!r}"
            yield _error("path_not_allowed", message, id=name)
        elif os.path.isdir(path):
            prefix = "" if alone else text  # two directories may hold the same names
            yield from self._directory(path, prefix)
        else:
            yield from self._file(path, name)

    def _pattern(self, pattern: str) -> Iterator[Entry]:
        found = matches(pattern, self.root)
        if not found:
            yield _error("not_found", f"no file matches {pattern!r}", id=pattern)
        for match in found:
            yield from self._path(match)

    def _directory(self, folder: str, prefix: str) -> Iterator[Entry]:
        is_empty = True
        passed_over: list[str] = []
        for found in walk(folder, self.root):
            name = os.path.join(prefix, os.path.relpath(found.path, folder))
            if found.problem is not None:
                is_empty = False
                reason: InputReason = "not_found" if self.root is None else "path_not_allowed"
                yield _error(reason, found.problem, id=name)
            elif found.is_listed_elsewhere or not self._is_wanted(found.path):
                passed_over.append(name)
            else:
                is_empty = False
                if self.columns.kind == "video":
                    yield Entry(id=name, value=found.path)  # tables in a folder are not followed
                else:
                    yield from self._file(found.path, name)
        kind = self.columns.kind
        if is_empty:
            holds = f"and {_counted(passed_over)} that are none by name" if passed_over else ""
            message = f"directory {folder!r} holds no {kind} file {holds}".strip()
            yield _error("not_found", message, id=prefix or folder)
        elif passed_over:
            self.notify(
                f"{folder}: passed over {_counted(passed_over)} that hold no {kind} by name"
            )

    def _is_wanted(self, path: str) -> bool:
        """Whether a file in a folder has the name of one that holds an input."""
        if self.columns.kind == "video":
            return is_media_name(path)
        return Path(path).suffix.lower() in HOLDS_MANY

    def _file(self, path: str, name: str) -> Iterator[Entry]:
        suffix = Path(path).suffix.lower()
        holds_many = suffix in HOLDS_MANY
        if self.columns.kind == "video" and not holds_many:
            yield self._video_file(path, name)
            return
        problem = _file_problem(path)
        if problem is not None:
            yield _error(*problem, id=name)
        elif suffix in _TABLES:
            yield from self._table(Path(path), suffix)
        elif suffix in _LISTS and self.columns.kind == "video":
            yield from self._list(Path(path))
        elif suffix in _LISTS:
            yield from read_lines(Path(path))
        else:
            message = (
                f"{path}: texts are read from .txt, .csv, .tsv, .jsonl, .ndjson and .parquet files"
            )
            yield _error("unsupported_input", message, id=name)

    def _video_file(self, path: str, name: str) -> Entry:
        missing = not os.path.lexists(path) and "://" not in path  # a URL is refused as one, later
        if missing:
            return _error("not_found", f"no file {path!r}", id=name)
        return Entry(id=name, value=path)

    def _table(self, path: Path, suffix: str) -> Iterator[Entry]:
        columns = replace(self.columns, folder=self.root or str(path.parent))
        if suffix == ".parquet":
            yield from read_parquet(path, columns)
        elif suffix in (".jsonl", ".ndjson"):
            yield from read_json_lines(path, columns)
        else:
            yield from read_csv(path, columns, delimiter="\t" if suffix == ".tsv" else ",")

    def _list(self, path: Path) -> Iterator[Entry]:
        for entry in read_lines(path):
            line = entry.value
            if entry.error is not None:
                yield entry
            elif line.strip() and not line.startswith("#"):
                is_local = "://" not in line
                target = os.path.join(self.root or path.parent, line) if is_local else line
                yield self._video_file(os.fspath(target), line)


def _file_problem(path: str) -> tuple[InputReason, str] | None:
    """Why a file must not be opened: a FIFO would block for ever."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return "not_found", f"{path}: {error.strerror}"
    if not stat.S_ISREG(mode):
        return "not_regular_file", f"{path} is not a regular file"
    if not os.access(path, os.R_OK):
        return "not_found", f"{path} is not readable by this user"
    return None


def _exists(text: str) -> bool:
    try:
        return os.path.lexists(text)
    except ValueError:  # a NUL byte: no path
        return False


def _counted(names: list[str]) -> str:
    """How many, and the first of them."""
    shown = ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
    return f"{len(names)} {'file' if len(names) == 1 else 'files'} ({shown})"


def _error(reason: InputReason, message: str, *, id: str | None = None) -> Entry:
    return Entry(id=id, error=InputError(reason=reason, message=message))
