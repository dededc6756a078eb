"""`load_clips`: labelled videos of a folder, a table, archives or a dataset, ready to be read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..collection import HOLDS_MANY, collect
from ..decode.remote.urls import AllowRemote, is_url
from ..folders import matches
from ..tables.containers import library_of
from .class_folder import class_folder_rows
from .clips import ClipList
from .row import CELLS, ClipRow, bad_row, make_row
from .tar_shards import shard_rows

if TYPE_CHECKING:
    from .hub import DatasetClips, StreamedClips

_TABLES = HOLDS_MANY - {".txt", ".lst"}
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")


def load_clips(
    source: Any,
    *,
    split: str | None = None,
    video_column: str | None = None,
    label_column: str = "label",
    class_names: Sequence[str] | None = None,
    allow_remote: AllowRemote = False,
) -> ClipList | DatasetClips | StreamedClips:
    """Find labelled videos; none is opened yet.

    Args:
        source: One of these:

            - a folder of classes (`FOLDER/CLASS/clip.mp4`), perhaps within folders of splits
              (`FOLDER/train/CLASS/clip.mp4`);
            - a CSV, TSV, JSON lines or parquet file with the columns path and label, and perhaps
              group, split, start_seconds and end_seconds. Paths are relative to it, or URLs;
            - WebDataset archives: a `.tar` file or URL, a pattern (`clips-*.tar`,
              `clips-{000..009}.tar`), a list of such, or a folder of them. Remote ones are gone
              through once here, and their clips are fetched one by one;
            - a `datasets` dataset with a video and a label column, map-style or streaming;
            - a table of pandas, polars or Arrow, or a list of rows (mappings), with the columns
              that a file has.
        split: Which rows are wanted, where rows or folders name splits; rows that name none are
            in all. Of several splits in a file, one must be chosen.
        video_column: The column of the videos; by default video, path or file.
        label_column: The column of the labels: names or numbers of classes, or lists of them.
        class_names: The classes and their order; by default those that occur, numbers by their
            value and names by the alphabet. Needed for a stream that does not know them.
        allow_remote: Which URLs may be read, as for `Video`.

    Returns:
        Rows for a `ClipDataset`. What is broken (an archive's member, a table's row) is among
        them, and passed over and recorded when its turn comes.

    Raises:
        ValueError: There is no labelled video at all, or the split, the columns or the classes
            are not those of the source.
        FileNotFoundError: There is no such file or folder.
        TypeError: The source is nothing of these.
    """
    options: dict[str, Any] = {"split": split, "class_names": class_names}
    columns = {"video_column": video_column, "label_column": label_column}
    if library_of(source) == "datasets":
        return _of_hub(source, {**options, **columns, "allow_remote": allow_remote})
    if isinstance(source, str | os.PathLike):
        name = os.fspath(source)
        rows = _path_rows(name, video_column, label_column, allow_remote)
    elif _are_archives(source):
        name = f"{source[0]} ..."
        expanded = (path for one in source for path in _expanded(os.fspath(one)))
        rows = shard_rows(expanded, allow_remote)
    else:
        name = type(source).__name__
        rows = _table_rows(source, video_column, label_column)
    return ClipList.from_rows(rows, name=name, allow_remote=allow_remote, **options)


def _of_hub(source: Any, options: dict[str, Any]) -> DatasetClips | StreamedClips:
    from . import hub  # here: it takes a second to import

    if isinstance(source, dict):  # a DatasetDict
        split = options.pop("split")
        if split not in source:
            raise ValueError(f"split ({split!r}) must be one of the dataset's: {sorted(source)}")
        source, options["split"] = source[split], None
    if type(source).__name__ == "IterableDataset":
        return hub.StreamedClips(source, **options)
    return hub.DatasetClips(source, **options)


def _path_rows(
    name: str, video_column: str | None, label_column: str, allow_remote: AllowRemote
) -> Iterator[ClipRow]:
    path = Path(name)
    if not is_url(name) and path.is_dir():
        archives = sorted(str(one) for one in path.iterdir() if one.suffix == ".tar")
        if archives and not any(one.is_dir() for one in path.iterdir()):
            return shard_rows(archives, allow_remote)
        return class_folder_rows(path)
    if _is_archive(name):
        return shard_rows(_expanded(name), allow_remote)
    if path.suffix.lower() not in _TABLES:
        raise ValueError(
            f"{name} must be a folder of classes, a .csv, .tsv, .jsonl, .ndjson or .parquet file, "
            "or .tar archives"
        )
    if not path.exists():
        raise FileNotFoundError(f"{name}: there is no such file")
    return _table_rows(path, video_column, label_column)


def _is_archive(name: str) -> bool:
    return name.partition("?")[0].endswith((".tar", ".tar.gz", ".tgz"))


def _are_archives(source: Any) -> bool:
    return (
        isinstance(source, Sequence)
        and len(source) > 0
        and all(
            isinstance(one, str | os.PathLike) and _is_archive(os.fspath(one)) for one in source
        )
    )


def _expanded(pattern: str) -> list[str]:
    """The archives that a pattern names: `{000..009}` are numbers, `*` is what is there."""
    braces = _BRACES.search(pattern)
    if braces is not None:
        first, last = braces.groups()
        numbers = (f"{k:0{len(first)}d}" for k in range(int(first), int(last) + 1))
        head, tail = pattern[: braces.start()], pattern[braces.end() :]
        return [path for number in numbers for path in _expanded(f"{head}{number}{tail}")]
    if is_url(pattern) or Path(pattern).exists():
        return [pattern]
    return matches(pattern, None) or [pattern]


def _table_rows(source: Any, video_column: str | None, label_column: str) -> Iterator[ClipRow]:
    others = [name for name in CELLS if name != "label"]
    items: Iterable[Any] = collect(
        source,
        kind="video",
        column=video_column,
        label_column=label_column,
        other_columns=others,
        paths_repeat=True,
    )
    for item in items:
        if item.error is not None:
            yield ClipRow(id=item.id, error=item.error)
            continue
        cells = {name: item.extra.get(name) for name in others}
        cells["label"] = item.extra.get("label")
        if isinstance(item.value, str):
            yield make_row(item.id, item.value, cells)
        else:
            kind = type(item.value).__name__
            message = (
                f"a video must be a path or URL, not {kind}; give a table that holds the videos "
            )
            message += "themselves as a dataset of `datasets` (load_dataset)"
            yield bad_row(item.id, message)
