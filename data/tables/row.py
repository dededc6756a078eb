"""One row of a table -> one entry: which column holds the input, which its name."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..borrowed import is_open_source
from ..frames import Frames, are_frames
from ..item import Entry, InputError, Kind
from ..part import VideoPart
from ..places.content import Content
from ..places.stores import StoreFault, scheme_of
from ..places.urls import beside
from .lines import why_no_text
from .parts import with_part
from .times import TIMES

_VALUE_COLUMNS: dict[str, tuple[str, ...]] = {
    "text": ("text", "sentence", "content"),
    "video": ("video", "path", "file"),
}


_MOST_USES = 64
"""Kinds of rows of one table, by the names of their columns, that are remembered."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Use:
    """How rows with certain columns are read."""

    missing: str | None = None
    """What is missing; then the rest says nothing."""

    value: str = ""
    """The column of the input."""

    id: str | None = None
    """The column of the id."""

    label: str | None = None
    """The column of the label."""

    others: tuple[tuple[str, str], ...] = ()
    """Columns that come along, each with its name in `extra`."""

    is_file: bool = False
    """The row is a `datasets` video itself."""

    may_be_pair: bool = False
    """The text has a second one beside it, in rows where that is not null."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """Which columns of a table are used."""

    kind: Kind
    """What the rows hold."""

    value: str | None = None
    """The column of the input; None takes the first of the usual names that is there."""

    id: str | None = None
    """The column of the ids; None takes `id` where there is one."""

    label: str = "label"
    """The column of the labels, which need not be there."""

    others: tuple[str, ...] | None = ()
    """More columns that come along where they are there; None: all there are."""

    parts: bool = False
    """The times of a row, `times.TIMES`, mean the part of its video that is read."""

    called: str = "column="
    """How who reads messages names the column of the input."""

    folder: str | None = None
    """What relative video paths of the table are relative to."""

    _uses: dict[tuple[str, ...], _Use] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def choices(self) -> tuple[str, ...]:
        """What the column of the input may be called."""
        return _VALUE_COLUMNS[self.kind] if self.value is None else (self.value,)

    def value_in(self, names: Sequence[str]) -> str | None:
        """The value column among these names; None when it is not there."""
        return next((name for name in self.choices if name in names), None)

    def id_in(self, names: Sequence[str]) -> str | None:
        """The id column among these names; None when there is none."""
        name = self.id if self.id is not None else "id"
        return name if name in names else None

    def missing_in(self, names: Sequence[str]) -> str | None:
        """Say what is missing; None when nothing is."""
        if self.value_in(names) is None:
            wanted = " or ".join(map(repr, self.choices))
            return f"no column {wanted}; it has {', '.join(map(repr, names))}: pass {self.called}"
        if self.id is not None and self.id not in names:
            return f"no id column {self.id!r}; it has {', '.join(map(repr, names))}"
        return None

    def problem_in(self, names: Sequence[str]) -> str | None:
        """Say why a table with these columns cannot be read; None when it can."""
        missing = self.missing_in(names)
        if missing is not None:
            return missing
        # Of two columns of one name, one would be read without anybody having said which.
        twice = next((name for name in self.needed(names) if list(names).count(name) > 1), None)
        return None if twice is None else f"it has several columns {twice!r}: rename all but one"

    def use_of(self, names: tuple[str, ...]) -> _Use:
        """How a row of columns with these names is read; found out once for rows that follow."""
        use = self._uses.get(names)
        if use is None:
            if len(self._uses) >= _MOST_USES:
                self._uses.clear()
            use = self._uses[names] = self._new_use(names)
        return use

    def _new_use(self, names: tuple[str, ...]) -> _Use:
        value = self.value_in(names)
        if value is None or (self.id is not None and self.id not in names):
            return _Use(missing=self.missing_in(names))
        others = self.others
        if others is None:
            needed = set(self.needed(names))
            others = tuple(name for name in names if name not in needed)
        return _Use(
            value=value,
            id=self.id_in(names),
            label=self.label if self.label in names and self.label != value else None,
            # Labels may be in a column of another name.
            others=tuple((n, n if n != "label" else "label.1") for n in others if n in names),
            is_file=self.kind == "video" and value == "path" and "bytes" in names,
            may_be_pair=self.kind == "text" and self.value is None and "text_pair" in names,
        )

    def needed(self, names: Sequence[str]) -> list[str]:
        """The columns that were asked for, or that say what the input is."""
        value = self.value_in(names)
        beside = None
        if self.kind == "video" and value == "path":
            beside = "bytes"  # a `datasets` video itself
        elif self.kind == "text" and self.value is None:
            beside = "text_pair"
        wanted = (value, beside, self.id_in(names), self.label, *(self.others or ()))
        return [name for name in dict.fromkeys(wanted) if name is not None and name in names]

    def used(self, names: Sequence[str]) -> list[str]:
        """The columns that are read."""
        times = [name for name in TIMES if name in names] if self.parts else []
        needed = dict.fromkeys([*self.needed(names), *times])
        return list(needed if self.others is not None else dict.fromkeys([*needed, *names]))


def apart(names: Sequence[str]) -> list[str]:
    """Names of columns, each once: of two `x` the second is `x.1`, as pandas has it."""
    taken, told = set(names), []
    seen: dict[str, int] = {}
    for name in names:
        number = seen.get(name, 0)
        unique = name
        while number and (unique := f"{name}.{number}") in taken:
            number += 1
        seen[name] = number + 1
        taken.add(unique)
        told.append(unique)
    return told


def is_row(value: Any, columns: Columns) -> bool:
    """Whether a value is one row: a mapping, or what pandas has for one, its names the index."""
    if isinstance(value, Mapping):
        return True
    if type(value).__name__ != "Series" or not hasattr(value, "iloc"):
        return False
    return any(name in value.index for name in columns.choices)


def entry_of_row(row: Any, columns: Columns) -> Entry:
    """Make the entry of a row (`is_row`); one without a usable value becomes an error entry."""
    if type(row) is not dict and not isinstance(row, Mapping):  # what takes a while to ask
        row = dict(row.items())
    entry = _entry(row, columns)
    if not columns.parts:
        return entry
    found = ((name, _present(row.get(name))) for name in TIMES)
    times = {name: cell for name, cell in found if cell is not None}
    id_name = columns.id_in(list(row)) if times else None
    is_named = id_name is not None and _present(row[id_name]) is not None
    return with_part(entry, times, is_named=is_named)


def _entry(row: Mapping[str, Any], columns: Columns) -> Entry:
    use = columns.use_of(tuple(row))
    if use.missing is not None:
        if columns.kind == "video" and ("path" in row or "bytes" in row):
            return Entry(**_video_value(row, columns.folder))
        return Entry(error=InputError(reason="bad_row", message=use.missing))
    value = row[use.value]
    extra = {}
    if use.label is not None and (label := _present(row[use.label])) is not None:
        extra["label"] = label
    for other, called in use.others:
        if (cell := _present(row[other])) is not None:
            extra[called] = cell
    identifier = None if use.id is None else _present(row[use.id])
    name = None if identifier is None else str(identifier)
    # A column that happens to be called `id` may repeat; one that was asked for must not.
    repeats = name is not None and columns.id is None
    is_alone = columns.kind == "text" and not use.may_be_pair and isinstance(value, str)
    if is_alone and why_no_text(value) is None:  # as of nearly all rows of texts
        return Entry(id=name, repeats=repeats, value=value, extra=extra)
    if columns.kind == "video":
        found = _video_value(row if use.is_file else value, columns.folder)
    elif use.may_be_pair and row["text_pair"] is not None:
        # Half of a pair would pass for an answer.
        found, second = _text_value(value), _text_value(row["text_pair"])
        if "value" in found and "value" in second:
            found = {"value": {"text": found["value"], "text_pair": second["value"]}}
        else:
            found = found if "error" in found else second
    else:
        found = _text_value(value)
    own_id = found.pop("id", None)
    return Entry(id=own_id if name is None else name, repeats=repeats, extra=extra, **found)


def entry_maker(header: Sequence[str], columns: Columns) -> Callable[[list[str]], Entry]:
    """Give what makes the entry of a row of strings, as `entry_of_row` does of one with names.

    Args:
        header: Names of the columns, each once.
        columns: Which are used.
    """
    use = columns.use_of(tuple(header))
    is_simple = columns.kind == "text" and not columns.parts and not use.may_be_pair
    if not is_simple or use.missing is not None:
        return lambda cells: entry_of_row(dict(zip(header, cells, strict=True)), columns)
    value_at = header.index(use.value)
    id_at = None if use.id is None else header.index(use.id)
    named = [] if use.label is None else [(header.index(use.label), "label")]
    named += [(header.index(name), called) for name, called in use.others]
    may_repeat = columns.id is None

    def make(cells: list[str]) -> Entry:
        value = cells[value_at]
        if why_no_text(value) is not None:
            return entry_of_row(dict(zip(header, cells, strict=True)), columns)
        extra = {called: cell for at, called in named if (cell := cells[at])}
        if id_at is None or not (name := cells[id_at]):
            return Entry(value=value, extra=extra)
        return Entry(id=name, repeats=may_repeat, value=value, extra=extra)

    return make


def entry_of_cell(cell: Any, kind: Kind) -> Entry:
    """Make the entry of one cell of a column of inputs."""
    return Entry(**(_text_value(cell) if kind == "text" else _video_value(cell, None)))


def _present(value: Any) -> Any:
    """A cell that is filled, else None: not NaN, nor what pandas has instead, nor an empty one."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, float) and math.isnan(value):
        return None
    return None if type(value).__name__ in ("NAType", "NaTType") else value


def _text_value(value: object) -> dict[str, Any]:
    if isinstance(value, str):
        problem = why_no_text(value)
        if problem is None:
            return {"value": value}
        return {"error": InputError(reason="not_text", message=problem)}
    message = f"the text must be a string, not {type(value).__name__}"
    return {"error": InputError(reason="not_text", message=message)}


def video_at(path: str, folder: str | None) -> dict[str, Any]:
    """The video that a table or a list names: the members of its entry.

    Args:
        path: A path or URL as it is written there.
        folder: What it is relative to: a folder of this machine, or a URL; None: this process.
    """
    if folder is None or "://" in path:
        return {"value": path, "id": path}
    if scheme_of(folder) is None:
        return {"value": os.path.join(folder, path), "id": path}
    try:
        return {"value": beside(folder, path), "id": path}
    except StoreFault as fault:
        return {"id": path, "error": InputError(reason=fault.reason, message=str(fault))}


def _video_value(value: Any, folder: str | None) -> dict[str, Any]:
    """A path, bytes, open file, source, frames, or what `datasets.Video(decode=False)` gives."""
    if isinstance(value, VideoPart):
        return {"value": value, "id": value.id}
    if is_open_source(value):
        return {"value": value}
    if are_frames(value):
        return {"value": Frames(value)}
    if isinstance(value, Mapping):
        content = value.get("bytes")
        if isinstance(content, bytes | bytearray | memoryview):
            path = value.get("path")
            return {"value": bytes(content), **({"id": str(path)} if path else {})}
        if content is not None:
            message = f"a video's bytes must be bytes, not {type(content).__name__}: give its path"
            return {"error": InputError(reason="not_media", message=message)}
        value = value.get("path")
    if isinstance(value, str | os.PathLike):
        path = os.fspath(value)
        if not path.strip():
            return {"error": InputError(reason="bad_row", message="the cell is empty")}
        return video_at(path, folder)
    if isinstance(value, Content):  # a member of an archive, say
        return {"value": value, "id": str(value)}
    if isinstance(value, bytes | bytearray | memoryview):
        return {"value": bytes(value)}
    if hasattr(value, "read") and hasattr(value, "seek"):
        return {"value": value}
    message = f"a video must be a path, bytes or an open file, not {type(value).__name__}"
    return {"error": InputError(reason="not_media", message=message)}
