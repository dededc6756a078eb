"""Inputs inside of archives: videos with the labels beside them, texts, tables and lists."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from .item import Entry, InputError, InputReason
from .media import is_media_name
from .places.archives import ArchiveFile, archive_files
from .places.content import holds_many
from .places.member import Member
from .places.unpacked import damage_of
from .tables.lines import MAX_LINE_BYTES, why_no_text
from .tables.parts import with_part
from .tables.row import Columns, entry_of_row

_LABELS = (".cls", ".json")
_MAX_LABEL_BYTES = 1 << 20
_MOST_NAMED = 4

ReadTable = Callable[[Member], Iterator[Entry]]


class PassedOver:
    """Files that hold no input by their names: how many, and the first of them."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[str] = []

    def add(self, name: str) -> None:
        """Count one."""
        self.count += 1
        if len(self.first) < _MOST_NAMED:
            self.first.append(name)

    def __str__(self) -> str:
        shown = ", ".join(self.first[:3]) + (" ..." if self.count > 3 else "")
        return f"{self.count} {'file' if self.count == 1 else 'files'} ({shown})"


def archive_entries(
    path: str,
    columns: Columns,
    read_table: ReadTable,
    *,
    name: str,
    prefix: str,
    notify: Callable[[str], None],
) -> Iterator[Entry]:
    """Yield the inputs of an archive in its order, broken ones included.

    Files that follow each other and are called the same but for their suffixes belong together, as
    in WebDataset: `x.cls` has the label of `x.mp4` or `x.txt`, and `x.json` its label and more.

    Args:
        path: A zip or tar archive on this machine.
        columns: The kind of the inputs, and what comes along.
        read_table: Reads a table or list of texts.
        name: How messages call the archive.
        prefix: Goes before the names of its files in ids.
        notify: Is told which files were passed over.
    """
    is_empty, passed_over = True, PassedOver()

    def id_of(file: ArchiveFile) -> str:
        is_whole = not file.name or file.name.startswith("@")
        return f"{name}{file.name}" if is_whole else prefix + file.name

    for _, group in itertools.groupby(archive_files(path, name), key=_stem):
        for entry in _group_entries(list(group), columns, read_table, id_of, passed_over):
            is_empty = False
            yield entry
    if is_empty:
        holds = f" and {passed_over} that are none by name" if passed_over.count else ""
        message = f"archive {name} holds no {columns.kind} file{holds}"
        yield Entry(id=name, error=InputError(reason="not_found", message=message))
    elif passed_over.count:
        notify(f"{name}: passed over {passed_over} that hold no {columns.kind} by name")


def _stem(file: ArchiveFile) -> str:
    path = PurePosixPath(file.name)
    return str(path.parent / path.stem)


def _suffix(file: ArchiveFile) -> str:
    return PurePosixPath(file.name).suffix.lower()


def _group_entries(
    files: Sequence[ArchiveFile],
    columns: Columns,
    read_table: ReadTable,
    id_of: Callable[[ArchiveFile], str],
    passed_over: PassedOver,
) -> Iterator[Entry]:
    """The inputs among files that are called the same but for their suffixes."""
    labels = [file for file in files if _suffix(file) in _LABELS and file.member is not None]
    others = [file for file in files if file not in labels]
    is_told = False  # whether what the labels say came with an input
    for file in others:
        is_single = is_media_name(file.name)
        if columns.kind == "text":
            is_single = _suffix(file) == ".txt" and bool(labels)
        if file.problem is not None:
            yield Entry(id=id_of(file), error=file.problem)
        elif file.member is not None and is_single:
            is_told = True
            yield _single(file.member, labels, columns, id_of(file))
        elif file.member is not None and columns.kind == "text" and holds_many(file.name):
            yield from read_table(file.member)
        else:
            passed_over.add(file.name)
    for file in labels if not is_told else ():
        if (entry := _text_of_json(file, columns, id_of(file))) is not None:
            yield entry
        else:
            passed_over.add(file.name)


def _single(member: Member, labels: Sequence[ArchiveFile], columns: Columns, id: str) -> Entry:
    """A video, or a file that is one text, with what the files beside it tell."""
    try:
        cells = _cells(labels)
        extra = _kept(dict(cells), columns)
        value = member if columns.kind == "video" else _text(member)
    except (ValueError, OSError) as error:
        return _bad(id, "bad_row", str(error))
    if isinstance(value, str) and (problem := why_no_text(value)) is not None:
        return _bad(id, "not_text", f"{member}: {problem}")
    entry = Entry(id=id, value=value, extra=extra)
    return with_part(entry, cells) if columns.parts else entry


def _kept(cells: dict[str, Any], columns: Columns) -> dict[str, Any]:
    """The label, and of the rest what comes along."""
    label = cells.pop(columns.label, None)
    rest = cells if columns.others is None else {k: cells[k] for k in columns.others if k in cells}
    rest.pop("label", None)
    return rest if label is None else {"label": label, **rest}


def _cells(labels: Sequence[ArchiveFile]) -> dict[str, Any]:
    """What label files say.

    Raises:
        ValueError: one of them is none.
        OSError: it cannot be read.
    """
    cells: dict[str, Any] = {}
    for file in labels:
        assert file.member is not None
        if file.member.num_bytes > _MAX_LABEL_BYTES:
            raise ValueError(f"{file.member} is too large to tell a label")
        try:
            text = _read(file.member).decode("utf-8-sig")
            told = text.strip() if _suffix(file) == ".cls" else json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{file.member} tells no label: {error}") from error
        cells.update(told if isinstance(told, dict) else {"label": told})
    return cells


def _text(member: Member) -> str:
    if member.num_bytes > MAX_LINE_BYTES:
        raise ValueError(f"{member} is longer than {MAX_LINE_BYTES} bytes")
    try:
        return _read(member).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{member}: {error}") from error


def _read(member: Member) -> bytes:
    with member.open_file() as file:
        content = file.read(member.num_bytes)
        if (damage := damage_of(file)) is not None:
            raise ValueError(f"{member}: {damage}")
    return content


def _text_of_json(file: ArchiveFile, columns: Columns, id: str) -> Entry | None:
    """The row that a JSON file is, where it has the column of texts."""
    if columns.kind != "text" or _suffix(file) != ".json":
        return None
    try:
        cells = _cells([file])
    except (ValueError, OSError) as error:
        return _bad(id, "bad_row", str(error))
    if columns.value_in(list(cells)) is None:
        return None
    entry = entry_of_row(cells, columns)
    return entry if entry.id is not None else replace(entry, id=id)


def _bad(id: str, reason: InputReason, message: str) -> Entry:
    return Entry(id=id, error=InputError(reason=reason, message=message))
