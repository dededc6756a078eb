"""`collect`: make one work list of whatever holds the inputs, lazily and in a stable order."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from . import tables
from .item import Entry, InputError, InputReason, Item, Kind
from .row import Columns, entry_of_row

Strings = Literal["path", "text", "auto"]

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
    limit: int | None = None,
    root: str | os.PathLike[str] | None = None,
    strings: Strings = "path",
) -> Iterator[Item]:
    """Iterate over a collection; one item per input, broken ones included.

    Args:
        inputs: Any of these, or a list, tuple or generator of them:

            - a directory: its files, recursively, sorted, without hidden ones. For videos every
              file is offered (what is none becomes an error when it is opened);
            - a glob pattern (its `**` does not follow links to directories);
            - a CSV, TSV, JSON lines or parquet file: one input per row;
            - a .txt or .lst file: one video path, or one text, per line (lines of a video list that
              are blank or begin with # are passed over);
            - any other file: a video;
            - a `datasets` table, or its rows; a row is a mapping;
            - bytes or an open binary file (videos).
        kind: What the inputs are.
        column: The column of tables that holds the input; by default `text`, or `video` or `path`.
        id_column: The column that names the inputs; by default `id` where there is one.
        limit: Stop after so many items.
        root: What relative paths are relative to; paths that lead outside it are refused.
        strings: What a plain string is: `"path"`, `"text"`, or `"auto"` (a path if there is such
            a file, else a text).

    Yields:
        Items in the order of the inputs. Ids are the id column, the path (relative to a directory
        or as written), or the kind and position. Ids are unique: one that came before gets `#2`,
        `#3` ... at its end, and unless it stems from a column that merely happens to be called
        `id`, the item is a `duplicate_id` error.

    Raises:
        ValueError: An option is out of range (at the first item).
    """
    if kind not in get_args(Kind):
        raise ValueError(f"kind ({kind!r}) must be 'video' or 'text'")
    if strings not in get_args(Strings):
        raise ValueError(f"strings ({strings!r}) must be 'path', 'text' or 'auto'")
    if strings != "path" and kind == "video":
        raise ValueError(f"strings ({strings!r}) must be 'path' for videos")
    if limit is not None and limit < 0:
        raise ValueError(f"limit ({limit}) must be >= 0")
    finder = _Finder(
        columns=Columns(kind=kind, value=column, id=id_column),
        root=None if root is None else os.path.realpath(root),
        strings=strings,
    )
    return _with_ids(finder.find(inputs, alone=True), kind=kind, limit=limit)


def _with_ids(entries: Iterator[Entry], *, kind: Kind, limit: int | None) -> Iterator[Item]:
    seen: dict[str, int] = {}
    for position, entry in enumerate(entries):
        if limit is not None and position >= limit:
            return
        name = entry.id if entry.id is not None else f"{kind}-{position:06d}"
        times = seen[name] = seen.get(name, 0) + 1
        if times == 1:
            yield Item(id=name, value=entry.value, error=entry.error, extra=entry.extra)
            continue
        while (unique := f"{name}#{times}") in seen:
            times += 1
        seen[unique] = 1
        if entry.repeats:
            yield Item(id=unique, value=entry.value, error=entry.error, extra=entry.extra)
            continue
        message = f"the id {name!r} came before; ids must be unique"
        yield Item(id=unique, error=InputError(reason="duplicate_id", message=message))


class _Finder:
    """Turns inputs into entries; holds what was asked for."""

    def __init__(self, *, columns: Columns, root: str | None, strings: Strings) -> None:
        self.columns = columns
        self.root = root
        self.strings = strings

    def find(self, inputs: Any, *, alone: bool = False) -> Iterator[Entry]:
        """Yield the entries of one input or of many."""
        if isinstance(inputs, str):
            yield from self._string(inputs, alone=alone)
        elif isinstance(inputs, os.PathLike):
            yield from self._path(os.fspath(inputs), alone=alone)
        elif isinstance(inputs, Mapping):
            if type(inputs).__module__.startswith("datasets"):
                raise TypeError(
                    f"inputs ({type(inputs).__name__}) holds several splits; give one of them"
                )
            yield entry_of_row(inputs, self.columns)
        elif isinstance(inputs, bytes | bytearray | memoryview) or hasattr(inputs, "read"):
            yield self._media(inputs)
        elif type(inputs).__module__.startswith("datasets"):
            yield from tables.rows_to_entries(_undecoded(inputs, self.columns), self.columns)
        elif isinstance(inputs, Iterable):
            for one in inputs:
                yield from self.find(one)
        elif self.columns.kind == "text":
            yield _error("not_text", f"a text must be a string, not {type(inputs).__name__}")
        else:
            kind = type(inputs).__name__
            yield _error("unsupported_input", f"inputs of type {kind} are not read; see collect()")

    def _media(self, source: Any) -> Entry:
        if self.columns.kind == "video":
            name = getattr(source, "name", None)
            return Entry(id=name if isinstance(name, str) else None, value=source)
        return _error("not_text", f"a text must be a string, not {type(source).__name__}")

    def _string(self, text: str, *, alone: bool) -> Iterator[Entry]:
        is_text = self.strings == "text" or (self.strings == "auto" and not _exists(text))
        if self.columns.kind == "text" and is_text:
            yield Entry(value=text)
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
        found = _matches(pattern, self.root)
        if not found:
            yield _error("not_found", f"no file matches {pattern!r}", id=pattern)
        for match in found:
            yield from self._path(match)

    def _directory(self, folder: str, prefix: str) -> Iterator[Entry]:
        is_empty = True
        for path in _walk(folder):
            is_empty = False
            name = os.path.join(prefix, os.path.relpath(path, folder))
            if self.columns.kind == "video":
                yield Entry(id=name, value=path)  # lists and tables in a folder are not followed
            else:
                yield from self._file(path, name)
        if is_empty:
            yield _error("not_found", f"directory {folder!r} holds no file", id=prefix or folder)

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
            yield from tables.read_lines(Path(path))
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
        columns = Columns(
            kind=self.columns.kind,
            value=self.columns.value,
            id=self.columns.id,
            folder=self.root or str(path.parent),
        )
        if suffix == ".parquet":
            yield from tables.read_parquet(path, columns)
        elif suffix in (".jsonl", ".ndjson"):
            yield from tables.read_json_lines(path, columns)
        else:
            yield from tables.read_csv(path, columns, delimiter="\t" if suffix == ".tsv" else ",")

    def _list(self, path: Path) -> Iterator[Entry]:
        for entry in tables.read_lines(path):
            line = entry.value
            if entry.error is not None:
                yield entry
            elif line.strip() and not line.startswith("#"):
                is_local = "://" not in line
                target = os.path.join(self.root or path.parent, line) if is_local else line
                yield self._video_file(os.fspath(target), line)


def _matches(pattern: str, root: str | None) -> list[str]:
    """The sorted matches of a glob; `**` follows no link, and lists no file twice."""
    if "**" not in pattern.split(os.sep):
        return sorted(glob.glob(pattern, root_dir=root))
    found = _recursive_matches(pattern, root or "")
    folders = {os.path.normpath(p) for p in found if os.path.isdir(os.path.join(root or "", p))}
    # A folder that matches stands for all that is in it.
    return sorted(
        path for path in found if folders.isdisjoint(map(str, Path(os.path.normpath(path)).parents))
    )


def _recursive_matches(pattern: str, root: str) -> set[str]:
    """What `glob.glob` finds, without the folders behind links: those may lead in circles."""
    parts = pattern.split(os.sep)
    if "**" not in parts:
        found = glob.glob(pattern, root_dir=root or None)
        return {path for path in found if not _is_linked_folder(os.path.join(root, path))}
    at = parts.index("**")
    rest = os.sep.join(parts[at + 1 :]) or "*"
    # Links that the pattern names itself are followed.
    head = os.path.join(os.sep.join(parts[:at]) or os.sep, "") if at else ""
    matches: set[str] = set()
    for base in glob.glob(head, root_dir=root or None) if at else [""]:
        for folder in _folders(root, base):
            matches |= _recursive_matches(glob.escape(folder) + rest, root)
    return matches


def _folders(root: str, folder: str) -> Iterator[str]:
    """Yield `folder` ("" or with a slash at its end) and the folders below it, as `_walk` does."""
    yield folder
    try:
        with os.scandir(os.path.join(root, folder) or ".") as scan:
            below = [entry.name for entry in scan if entry.is_dir(follow_symlinks=False)]
    except OSError:  # as `glob` has it: what cannot be listed matches nothing
        return
    for name in sorted(below):
        if not name.startswith("."):
            yield from _folders(root, os.path.join(folder, name, ""))


def _is_linked_folder(path: str) -> bool:
    return os.path.islink(path) and os.path.isdir(path)


def _walk(folder: str) -> Iterator[str]:
    """Yield the files below a directory, sorted by name at each level, hidden ones left out."""
    with os.scandir(folder) as scan:
        entries = sorted(scan, key=lambda entry: entry.name)
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path)
        elif not entry.is_dir():
            yield entry.path


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


def _undecoded(table: Any, columns: Columns) -> Iterable[Mapping[str, Any]]:
    """Ask `datasets` for the bytes or path of videos: decoding all frames is what we avoid."""
    features = getattr(table, "features", None) or {}
    name = columns.value_in(list(features))
    if columns.kind == "video" and name is not None:
        feature = features[name]
        if type(feature).__name__ == "Video" and getattr(feature, "decode", False):
            import datasets

            return table.cast_column(name, datasets.Video(decode=False))
    return table


def _error(reason: InputReason, message: str, *, id: str | None = None) -> Entry:
    return Entry(id=id, error=InputError(reason=reason, message=message))
