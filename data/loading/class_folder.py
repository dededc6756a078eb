"""A folder of classes: each folder in it is one, and holds the clips of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ..folders import walk
from ..item import InputError
from ..media import is_media_name
from .row import ClipRow, bad_row, make_row
from .split_names import SPLITS


def class_folder_rows(folder: Path) -> Iterator[ClipRow]:
    """Yield the clips of `FOLDER/CLASS/...` or `FOLDER/SPLIT/CLASS/...`, sorted.

    Files that are no videos by name are passed over. A class without any is a row with an error.
    """
    classes = _folders(folder)
    if not classes:
        raise ValueError(
            f"{folder} holds no labelled video: it must have a folder of videos for each class, or "
            "a table groups.csv with the columns path and label"
        )
    if {one.name.lower() for one in classes} <= SPLITS.keys():
        for split in classes:
            for one in _folders(split):
                yield from _class_rows(folder, one, split.name)
        return
    for one in classes:
        yield from _class_rows(folder, one, None)


def _folders(folder: Path) -> list[Path]:
    return sorted(one for one in folder.iterdir() if one.is_dir() and not one.name.startswith("."))


def _class_rows(root: Path, folder: Path, split: str | None) -> Iterator[ClipRow]:
    is_empty = True
    for found in walk(str(folder)):
        name = os.path.relpath(found.path, root)
        if found.problem is not None:
            error = InputError(reason="not_found", message=found.problem)
            yield ClipRow(id=name, split=split, error=error)
        elif not found.is_listed_elsewhere and is_media_name(found.path):
            is_empty = False
            yield make_row(name, found.path, {"label": folder.name, "split": split})
    if is_empty:
        name = os.path.relpath(folder, root)
        yield bad_row(name, f"the folder {folder} holds no video, so it is no class", split=split)
