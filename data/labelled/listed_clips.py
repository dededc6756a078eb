"""Labelled clips from what people have: a folder for each class, or a table of paths and labels."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..folders import walk
from ..media import is_media_name
from .clips import Clip
from .tables import table_rows

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev", "eval"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Names that people give to splits, and what they are here."""
_TABLES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipColumns:
    """What the columns of a table are called."""

    path: str = "path"
    label: str = "label"
    group: str = "group"
    camera: str = "camera"
    split: str = "split"
    start: str = "start"
    end: str = "end"


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedClips:
    """Clips with their classes."""

    clips: list[Clip]
    names: list[str]
    """Of the classes, in the order of their numbers."""
    several: bool
    """Whether a clip may have several labels."""


def list_clips(
    data: str | Path,
    *,
    manifest: str | None = None,
    columns: ClipColumns | None = None,
    several: bool | None = None,
) -> ListedClips:
    """Find labelled clips.

    Args:
        data: a folder that has one for each class, perhaps below `train`, `validation` and `test`;
            or one with a manifest; or a table (CSV, TSV, JSON lines, parquet) whose paths are
            relative to its folder, with a label and perhaps a group, a camera, a split, and where
            in the file the clip starts and ends, in seconds.
        manifest: a table in the folder; None: `groups.csv` where there is one, else the folders.
        columns: what the table's columns are called.
        several: whether clips have several labels, lists of them or `a|b`; None: where a label is
            a list.

    Raises:
        ValueError: there are no clips, or a row is not right.
    """
    place = Path(data)
    if not place.exists():
        raise ValueError(f"data_dir ({data}) must be a folder or a table, and is not there")
    table = place
    if place.is_dir():
        table = place / (manifest or "groups.csv")
        if manifest is None and not table.is_file():
            return _of_folders(place)
    columns = columns or ClipColumns()
    rows = _rows(table, columns)
    if not rows:
        raise ValueError(f"{table} must hold rows, and has none")
    if several is None:
        several = isinstance(rows[0][1].get(columns.label), (list, tuple))
    told = [_labels(table, number, row, columns, several) for number, row in rows]
    names = _sorted_names({name for labels in told for name in labels})
    numbers = {name: k for k, name in enumerate(names)}
    clips = [
        _clip(table, number, row, columns, [numbers[name] for name in labels], several)
        for (number, row), labels in zip(rows, told, strict=True)
    ]
    return ListedClips(clips=clips, names=names, several=several)


def split_name(text: str) -> str:
    """A split by one of the names that people give it; others stay as they are."""
    return SPLITS.get(text.strip().lower(), text.strip())


def _of_folders(place: Path) -> ListedClips:
    """Clips of a folder for each class."""
    found: list[tuple[str, str, str]] = []
    for file in walk(str(place)):
        if file.problem or file.is_listed_elsewhere or not is_media_name(file.path):
            continue
        parts = Path(file.path).relative_to(place).parts
        split = SPLITS.get(parts[0].lower(), "") if len(parts) > 2 else ""
        inside = parts[1:] if split else parts
        if len(inside) > 1:
            found.append((file.path, inside[0], split))
    if not found:
        raise ValueError(
            f"data_dir ({place}) must have a folder of videos for each class, or a manifest "
            "groups.csv with the columns path and label, and has neither"
        )
    names = _sorted_names({label for _, label, _ in found})
    clips = [
        Clip(
            path=str(Path(path).resolve()),
            label=names.index(label),
            group="",
            camera="",
            split=split,
        )
        for path, label, split in found
    ]
    return ListedClips(clips=clips, names=names, several=False)


def _rows(table: Path, columns: ClipColumns) -> list[tuple[int, dict[str, Any]]]:
    """Rows of a table, each with its number, from 1."""
    suffix = table.suffix.lower()
    if suffix not in _TABLES:
        raise ValueError(f"{table}: the suffix must be one of {', '.join(_TABLES)}")
    if not table.is_file():
        raise ValueError(f"{table} is not there")
    rows: Sequence[Any]
    if suffix in (".csv", ".tsv"):
        rows = table_rows(str(table), columns.path, columns.label)
    elif suffix == ".parquet":
        from pyarrow.parquet import read_table  # here: few need it

        rows = read_table(table).to_pylist()
    else:
        rows = _json_rows(table)
    return list(enumerate(rows, 1))


def _json_rows(table: Path) -> list[Any]:
    text = table.read_text(encoding="utf-8")
    if text.lstrip().startswith("["):
        found: list[Any] = json.loads(text)
        return found
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise ValueError(f"{table}, line {number} must be JSON: {error}") from error
    return rows


def _labels(table: Path, number: int, row: Any, columns: ClipColumns, several: bool) -> list[str]:
    where = f"{table}, row {number}"
    if not isinstance(row, Mapping):
        raise ValueError(f"{where} must be an object with {columns.path!r} and {columns.label!r}")
    for name in (columns.path, columns.label):
        if row.get(name) is None or row[name] == "":
            if name == columns.label and several and name in row:
                return []  # none of the classes
            raise ValueError(f"{where} has no {name!r}: fill it, or leave the row out")
    value = row[columns.label]
    if isinstance(value, (list, tuple)):
        if not several:
            raise ValueError(f"{where}: {columns.label!r} must be one label, and is {value!r}")
        return list(dict.fromkeys(map(str, value)))
    if several:
        parts = (part.strip() for part in str(value).split("|"))
        return [part for part in dict.fromkeys(parts) if part]
    return [str(value)]


def _clip(
    table: Path,
    number: int,
    row: Mapping[str, Any],
    columns: ClipColumns,
    labels: Sequence[int],
    several: bool,
) -> Clip:
    def text(name: str) -> str:
        return "" if row.get(name) is None else str(row[name])

    def seconds(name: str) -> float | None:
        if text(name).strip() == "":
            return None
        try:
            value = float(row[name])
        except (TypeError, ValueError):
            value = math.nan
        if not 0 <= value < math.inf:
            raise ValueError(
                f"{table}, row {number}: {name!r} ({row[name]!r}) must be seconds >= 0, or empty"
            )
        return value

    start, end = seconds(columns.start), seconds(columns.end)
    if end is not None and end <= (start or 0.0):
        raise ValueError(
            f"{table}, row {number}: {columns.end!r} ({end}) must be after {columns.start!r} "
            f"({start or 0.0})"
        )
    return Clip(
        path=str((table.parent / text(columns.path)).resolve()),
        label=labels[0] if labels else -1,
        labels=tuple(labels) if several else (),
        group=text(columns.group),
        camera=text(columns.camera),
        split=split_name(text(columns.split)),
        start_seconds=start,
        end_seconds=end,
    )


def _sorted_names(names: set[str]) -> list[str]:
    """Classes in the order of their names, or of their numbers."""
    if all(name.isdigit() for name in names):
        return sorted(names, key=int)
    return sorted(names)
