"""A user's labelled inputs, good and bad: what every contestant answers, and what is left out."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from ...data import VideoError, collect
from ...data.item import InputError, Item, Kind
from ...data.loading.dataset_files import is_dataset
from ...data.loading.loading import MANIFEST, find_clips, is_archive
from ...data.loading.row_places import content_of
from ...data.loading.split_names import ALL
from ...data.part import VideoPart
from ...data.tables.times import is_whole, name_of_part
from ..jobs.table.targets import target_class, target_name


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """An input that no contestant is judged by."""

    id: str
    reason: str
    """One word: of `data.item.InputReason`, of a reading's error, `no_label`, `unknown_label`,
    `seen` or `copy`."""
    message: str
    """A sentence for a person."""


@dataclass(kw_only=True, slots=True)
class Labelled:
    """Inputs with the classes that they are of."""

    items: list[Item] = field(default_factory=list)
    """N inputs."""
    classes: list[int] = field(default_factory=list)
    """N class numbers of the reader."""
    left_out: list[LeftOut] = field(default_factory=list)

    def keep(self, kept: Sequence[int], left_out: Sequence[LeftOut]) -> Labelled:
        """Some of the inputs, by number, and why the others are not among them."""
        return Labelled(
            items=[self.items[k] for k in kept],
            classes=[self.classes[k] for k in kept],
            left_out=[*self.left_out, *left_out],
        )


def labelled_inputs(
    data: str | Path,
    *,
    kind: Kind,
    names: Mapping[int, str],
    column: str | None = None,
    label_column: str = "label",
    column_called: str = "column=",
    limit: int | None = None,
    notify: Callable[[str], None],
) -> Labelled:
    """Read inputs with labels: a table with a column of them, or a folder for each class.

    Args:
        data: a table of texts, or of paths of videos; or a folder that has one for each class,
            named as the class (or its number), with files of it. A folder may hold tables, too.
            Of videos also archives, and datasets on the disk.
        kind: what the inputs are.
        names: the reader's classes by number.
        column: of tables that holds the input; default: as `temporal.data.collect`.
        label_column: of tables that holds the label.
        column_called: how messages call `column`, for who takes it by another name.
        limit: take the first so many.
        notify: is told which files are passed over.

    Returns:
        Whatever is broken, has no label or one that the reader does not have is `left_out`.
    """
    found = Labelled()
    is_folder = os.path.isdir(data)
    items = _items(str(data), kind, (column, label_column), column_called, notify)
    for item in islice(with_listed_parts(items, data) if kind == "video" else items, limit):
        if item.error is not None:
            found.left_out.append(
                LeftOut(id=item.id, reason=item.error.reason, message=item.error.message)
            )
            continue
        label = item.extra.get("label")
        if label is None and is_folder:
            first, _, rest = item.id.replace(os.sep, "/").partition("/")
            label = first if rest else None
        if label is None:
            message = (
                f"no label: fill the column {label_column!r}, name another one by --label_column, "
                "or give a folder for each class"
            )
            found.left_out.append(LeftOut(id=item.id, reason="no_label", message=message))
            continue
        number = class_of(label, names)
        if number is None:
            few = ", ".join(map(repr, list(names.values())[:5]))
            message = f"the label {str(label)[:60]!r} is none of the reader's: {few} ..."
            found.left_out.append(LeftOut(id=item.id, reason="unknown_label", message=message))
            continue
        found.items.append(item)
        found.classes.append(number)
    return found


def _items(
    data: str,
    kind: Kind,
    columns: tuple[str | None, str],
    called: str,
    notify: Callable[[str], None],
) -> Iterator[Item]:
    """The inputs, those of a folder under the names of the folders inside it."""
    column, label = columns
    options: Any = {"kind": kind, "column": column, "label_column": label, "notify": notify}
    options["column_called"] = called
    options["paths_repeat"] = True  # a file that is named twice is a copy, and no fault
    if kind == "video" and holds_clips(data):
        yield from _clip_items(data, column, label, called)
        return
    names = sorted(os.listdir(data)) if kind == "text" and os.path.isdir(data) else []
    if not any(os.path.isdir(os.path.join(data, name)) for name in names):
        yield from collect(data, **options)
        return
    for name in names:  # texts have no paths as ids that would tell their folders
        if not name.startswith("."):
            inside = collect(os.path.join(data, name), **options)
            is_folder = os.path.isdir(os.path.join(data, name))
            for item in inside:
                yield replace(item, id=f"{name}/{item.id}") if is_folder else item


def with_listed_parts(items: Iterable[Item], data: str | Path) -> Iterator[Item]:
    """The files of a folder, in whose places are the parts of them that a table in it lists.

    A training on the folder takes that table.
    """
    table = Path(data, MANIFEST)
    if not (os.path.isdir(data) and table.is_file()):
        yield from items
        return
    listed: dict[str, list[Item]] = {}
    rows = collect(table, kind="video", paths_repeat=True, times_are_parts=False)
    parts = collect(table, kind="video", paths_repeat=True)
    for row, one in zip(rows, parts, strict=True):
        if row.error is None:
            listed.setdefault(_place(row.value), []).append(one)
    for item in items:
        own = listed.get(_place(item.value), [])
        if all(one.error is None and not isinstance(one.value, VideoPart) for one in own):
            yield item
            continue
        for one in own:
            part = one.value.part if isinstance(one.value, VideoPart) else (None, None)
            value = item.value if one.value is None else one.value
            id = name_of_part(item.id, part)
            yield replace(item, id=id, value=None if one.error else value, error=one.error)


def _place(value: Any) -> str:
    return os.path.realpath(value) if isinstance(value, str | os.PathLike) else ""


def holds_clips(data: str) -> bool:
    """Whether these are archives of labelled videos, or a dataset of them."""
    if os.path.isdir(data):
        return is_dataset(Path(data)) or any(map(is_archive, os.listdir(data)))
    return is_archive(data) or is_dataset(Path(data))


def _clip_items(data: str, column: str | None, label_column: str, called: str) -> Iterator[Item]:
    """The videos of archives or of a dataset, as bytes, or parts of such."""
    options: Any = {"video_column": column, "label_column": label_column}
    options["called"] = {"video_column": called, "label_column": "--label_column"}
    clips: Any = find_clips(data, split=ALL, **options)
    for row in map(clips.__getitem__, range(len(clips))):
        if row.error is not None:
            yield Item(id=row.id, error=row.error)
            continue
        part = (row.start_seconds, row.end_seconds)
        try:
            content: Any = content_of(row.source)
        except (OSError, VideoError) as error:
            fault = InputError(reason="not_found", message=str(error))
            yield Item(id=row.id, error=fault)
            continue
        if is_whole(part):
            yield Item(id=row.id, value=content, extra={"label": row.label})
            continue
        id, value = name_of_part(row.id, part), VideoPart(content, *part)
        yield Item(id=id, value=value, extra={"label": row.label})


def class_of(label: Any, names: Mapping[int, str]) -> int | None:
    """The class that a label is the name (in any case) or the number of; None: of none."""
    # Some systems take names of folders apart: an accent is a character of its own there.
    known = {k: unicodedata.normalize("NFC", name) for k, name in names.items()}
    label = unicodedata.normalize("NFC", label).strip() if isinstance(label, str) else label
    number = target_class(label, known)
    if number is not None:
        return number
    name = target_name(label, known)
    return next((k for k, own in known.items() if own == name), None)


def classes_among(names: Mapping[int, str], others: Mapping[int, str]) -> dict[int, int] | None:
    """The class of a reader for each class of another model; None: they have others.

    Args:
        names: the reader's by number.
        others: the other model's. They may have another order, or case; where one of the two has no
            names (`LABEL_0`), they go by their numbers.
    """
    if dict(names) == dict(others):
        return {k: k for k in names}
    found = {k: class_of(name, names) for k, name in others.items()}
    if len(found) == len(names) and set(found.values()) == set(names):
        return {k: number for k, number in found.items() if number is not None}
    nameless = any(all(one[k] == f"LABEL_{k}" for k in one) for one in (names, others))
    return {k: k for k in names} if nameless and set(names) == set(others) else None
