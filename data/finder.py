"""`Finder`: from what a caller names (paths, patterns, URLs, values) to the inputs there."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from .archived import PassedOver, archive_entries
from .decode.errors import VideoError
from .decode.files.local_url import path_of_url
from .folders import is_result, matches, walk
from .item import Entry, InputError, InputReason, Item
from .media import is_media_name
from .places.archives import is_archive
from .places.content import LISTS, TABLES, Content, Place, holds_many, packing_of, suffix_of
from .places.stores import Stored, StoreFault, scheme_of, shown_url
from .places.urls import Copied, files_of_url, local_copy, name_in
from .tables import containers
from .tables.delimited import read_csv
from .tables.json_lines import read_json_lines
from .tables.lines import read_lines
from .tables.parquet import read_parquet
from .tables.row import Columns, entry_of_cell, entry_of_row, is_row, video_at

Strings = Literal["path", "text", "auto"]


class Finder:
    """Turns inputs into entries; holds what was asked for.

    Args:
        columns: Of tables, and the kind of the inputs.
        root: The real path that relative paths are relative to, and that none may lead out of.
        strings: What a plain string is; see `collect`.
        notify: Is told which files were passed over.
    """

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
        if isinstance(value, Content):
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
        if self.root is None and scheme_of(text) is not None and not os.path.lexists(text):
            yield from self._url(text, alone=alone)
        elif not os.path.lexists(path) and glob.has_magic(text):
            yield from self._pattern(text)
        elif self.root is not None and not Path(os.path.realpath(path)).is_relative_to(self.root):
            message = f"path {text!r} lies outside the root {self.root!r}"
            yield _error("path_not_allowed", message, id=name)
        elif os.path.isdir(path):
            prefix = "" if alone else text  # two directories may hold the same names
            yield from self._directory(path, prefix)
        else:
            yield from self._file(path, name, alone=alone)

    def _pattern(self, pattern: str) -> Iterator[Entry]:
        found = matches(pattern, self.root)
        if not found:
            yield _error("not_found", f"no file matches {pattern!r}", id=pattern)
        for match in found:
            yield from self._path(match)

    def _url(self, url: str, *, alone: bool) -> Iterator[Entry]:
        """What a URL names that the caller gave: a file, a folder or a pattern of a store."""
        shown = shown_url(url)
        try:
            path = path_of_url(url)
        except VideoError as error:
            yield _error("path_not_allowed", str(error.args[0]), id=shown)
            return
        if path is not None:
            yield from self._path(path, alone=alone, name=url)
            return
        is_many = holds_many(name_in(url)) or is_archive(name_in(url))
        try:
            found = files_of_url(url)
            if found is not None:
                yield from self._stored_files(found, "" if alone else f"{url.rstrip('/')}/", shown)
            elif self.columns.kind == "video" and not is_many:
                is_web = scheme_of(url) in ("http", "https")  # whose permission is asked for later
                yield Entry(id=shown, value=url if is_web else Stored(url))
            elif is_many:
                yield from self._file(Copied(local_copy(url), shown), shown, alone=alone, url=url)
            else:
                yield _no_texts(shown, shown)
        except StoreFault as fault:
            yield _error(fault.reason, str(fault), id=shown)

    def _stored_files(
        self, files: Iterator[tuple[str, str]], prefix: str, shown: str
    ) -> Iterator[Entry]:
        """The inputs among the files of a folder of a store."""
        is_empty, passed_over = True, PassedOver()
        for url, inner in files:
            if not self._is_wanted(inner):
                passed_over.add(inner)
                continue
            is_empty = False
            id = inner if scheme_of(inner) is not None else prefix + inner
            if self.columns.kind == "video":
                yield Entry(id=id, value=Stored(url))
            else:
                yield from self._file(Copied(local_copy(url), url), id, url=url)
        yield from self._end_of_folder(f"folder {shown}", shown, is_empty, passed_over)

    def _directory(self, folder: str, prefix: str) -> Iterator[Entry]:
        if _is_saved_dataset(Path(folder)):
            yield from self._saved_dataset(folder, prefix or folder)
            return
        is_empty, passed_over = True, PassedOver()
        for found in walk(folder, self.root):
            name = os.path.join(prefix, os.path.relpath(found.path, folder))
            if found.problem is not None:
                is_empty = False
                reason: InputReason = "not_found" if self.root is None else "path_not_allowed"
                yield _error(reason, found.problem, id=name)
            elif (
                found.is_listed_elsewhere
                or not self._is_wanted(found.path)
                or is_result(found.path, folder)
            ):
                passed_over.add(name)
            else:
                is_empty = False
                if self.columns.kind == "video":
                    yield Entry(id=name, value=found.path)  # tables in a folder are not followed
                else:
                    yield from self._file(found.path, name)
        yield from self._end_of_folder(
            f"directory {folder!r}", prefix or folder, is_empty, passed_over, told=folder
        )

    def _end_of_folder(
        self,
        what: str,
        id: str,
        is_empty: bool,
        passed_over: PassedOver,
        *,
        told: str | None = None,
    ) -> Iterator[Entry]:
        """Say that a folder holds nothing, or what was passed over in it."""
        kind = self.columns.kind
        if is_empty:
            holds = f"and {passed_over} that are none by name" if passed_over.count else ""
            yield _error("not_found", f"{what} holds no {kind} file {holds}".strip(), id=id)
        elif passed_over.count:
            self.notify(f"{told or id}: passed over {passed_over} that hold no {kind} by name")

    def _saved_dataset(self, folder: str, id: str) -> Iterator[Entry]:
        """What `save_to_disk` of `datasets` wrote."""
        import datasets

        try:
            found = datasets.load_from_disk(folder)
            containers.check_collection(found)
        except TypeError as error:  # several splits, each a folder inside
            yield _error("unsupported_input", f"directory {folder!r}: {error}", id=id)
        except Exception as error:
            yield _error("bad_table", f"directory {folder!r} is no dataset: {error}", id=id)
        else:
            yield from containers.table_entries(found, self.columns)

    def _is_wanted(self, path: str) -> bool:
        """Whether a file in a folder has the name of one that holds an input."""
        return is_media_name(path) if self.columns.kind == "video" else holds_many(path)

    def _file(
        self, place: Place, name: str, *, alone: bool = False, url: str | None = None
    ) -> Iterator[Entry]:
        """The inputs of a file, which may be a copy of what a URL names."""
        path = place.path if isinstance(place, Copied) else str(place)
        is_video = self.columns.kind == "video"
        in_archive = is_archive(path)
        if is_video and not in_archive and not holds_many(path):
            yield self._video_file(path, name)
            return
        problem = _file_problem(path)
        folder = self.root or os.path.dirname(path) or "."
        folder = folder if url is None else url.partition("?")[0].rpartition("/")[0]
        if problem is not None:
            yield _error(*problem, id=name)
        elif in_archive:
            yield from archive_entries(
                path,
                self.columns,
                lambda member: self._table(member, "."),
                name=str(place),
                prefix="" if alone else f"{name}/",
                notify=self.notify,
            )
        elif holds_many(path):
            yield from self._table(Path(place) if isinstance(place, str) else place, folder)
        else:
            yield _no_texts(place, name)

    def _video_file(self, path: str, name: str) -> Entry:
        missing = not os.path.lexists(path) and "://" not in path  # a URL is refused as one, later
        if missing:
            return _error("not_found", f"no file {path!r}", id=name)
        return Entry(id=name, value=path)

    def _table(self, place: Place, folder: str) -> Iterator[Entry]:
        """The inputs of a table or a list, whose paths are relative to a folder."""
        suffix = suffix_of(place)
        columns = replace(self.columns, folder=folder)
        if suffix == ".parquet" and packing_of(place) is not None:
            message = f"{place}: parquet is compressed inside; unpack it"
            yield _error("unsupported_input", message, id=str(place))
        elif suffix == ".parquet":
            yield from read_parquet(place, columns)
        elif suffix in (".jsonl", ".ndjson"):
            yield from read_json_lines(place, columns)
        elif suffix in TABLES:
            yield from read_csv(place, columns, delimiter="\t" if suffix == ".tsv" else ",")
        elif suffix in LISTS and self.columns.kind == "video":
            yield from self._list(place, folder)
        else:
            yield from read_lines(place)

    def _list(self, place: Place, folder: str) -> Iterator[Entry]:
        for entry in read_lines(place):
            line = entry.value
            if entry.error is not None:
                yield entry
            elif line.strip() and not line.startswith("#"):
                found = video_at(line, folder)
                is_path = "value" in found and isinstance(found["value"], str)
                yield self._video_file(found["value"], line) if is_path else Entry(**found)


def _is_saved_dataset(folder: Path) -> bool:
    """Whether `save_to_disk` of `datasets` wrote it."""
    is_one = (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()
    return is_one or (folder / "dataset_dict.json").is_file()


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


def _no_texts(place: object, name: str) -> Entry:
    message = (
        f"{place}: texts are read from .txt, .csv, .tsv, .jsonl, .ndjson and .parquet files, "
        "compressed ones (.gz, .bz2, .xz, .zst) and archives (.zip, .tar) of them"
    )
    return _error("unsupported_input", message, id=name)


def _exists(text: str) -> bool:
    try:
        return os.path.lexists(text)
    except ValueError:  # a NUL byte: no path
        return False


def _error(reason: InputReason, message: str, *, id: str | None = None) -> Entry:
    return Entry(id=id, error=InputError(reason=reason, message=message))
