"""`load_clips`: labelled videos of a folder, a table, archives or a dataset, ready to be read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..collection import HOLDS_MANY
from ..decode.remote.urls import AllowRemote, is_url
from ..folders import matches
from ..tables.containers import library_of
from .class_folder import class_folder_rows
from .clips import ClipList
from .dataset_files import is_dataset, open_dataset
from .row import CALLED, ClipRow
from .table_rows import table_rows
from .tar_shards import shard_rows

if TYPE_CHECKING:
    from .hub import DatasetClips, StreamedClips

MANIFEST = "groups.csv"
"""In a folder: the table of its clips, rather than folders of classes."""
_TABLES = HOLDS_MANY - {".txt", ".lst"}
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")


def load_clips(
    source: Any,
    *,
    split: str | None = None,
    video_column: str | None = None,
    label_column: str = "label",
    several_labels: bool = False,
    class_names: Sequence[str] | None = None,
    allow_remote: AllowRemote = False,
) -> ClipList | DatasetClips | StreamedClips:
    """Find labelled videos; none is opened yet.

    Args:
        source: One of these:

            - a folder of classes (`FOLDER/CLASS/clip.mp4`), perhaps within folders of splits
              (`FOLDER/train/CLASS/clip.mp4`); or a folder with a table `groups.csv`;
            - a CSV, TSV, JSON, JSON lines or parquet file with the columns path and label, and
              perhaps group, camera, split, start_seconds and end_seconds (or start and end). Paths
              are relative to it, or URLs;
            - WebDataset archives: a `.tar` file or URL, a pattern (`clips-*.tar`,
              `clips-{000..009}.tar`), a list of such, or a folder of them. Remote ones are gone
              through once here, and their clips are fetched one by one;
            - a `datasets` dataset with a video and a label column, map-style or streaming; or what
              lies on the disk of one: a folder that `save_to_disk` wrote, an Arrow file, or a
              parquet file that holds the videos themselves;
            - a table of pandas, polars or Arrow, or a list of rows (mappings), with the columns
              that a file has.
        split: Which rows are wanted, where rows or folders name splits; rows that name none are
            in all. Of several splits in a file, one must be chosen, or "all".
        video_column: The column of the videos; by default video, path or file.
        label_column: The column of the labels: names or numbers of classes, or lists of them.
        several_labels: A label may also be `a|b`, or empty; lists need no telling.
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
    clips = find_clips(
        source,
        split=split,
        video_column=video_column,
        label_column=label_column,
        several_labels=several_labels,
        class_names=class_names,
        allow_remote=allow_remote,
    )
    if clips.class_names is None:
        if clips.is_multilabel:
            raise ValueError(
                f"{label_column} holds lists: give the classes in their order by class_names="
            )
        raise ValueError(
            "a stream does not tell its classes: give them in their order by class_names="
        )
    return clips


def find_clips(
    source: Any,
    *,
    split: str | None = None,
    video_column: str | None = None,
    label_column: str = "label",
    several_labels: bool = False,
    class_names: Sequence[str] | None = None,
    allow_remote: AllowRemote = False,
    called: Mapping[str, str] = CALLED,
) -> ClipList | DatasetClips | StreamedClips:
    """`load_clips`, for who goes through the rows first: a dataset need not know its classes.

    `called`: how messages call the two columns, for who takes them by other names.
    """
    options: dict[str, Any] = {"split": split, "class_names": class_names}
    columns: dict[str, Any] = {"video_column": video_column, "label_column": label_column}
    columns["called"] = called
    if isinstance(source, str | os.PathLike) and is_dataset(Path(source), video_column):
        source = open_dataset(Path(source))
    if library_of(source) == "datasets":
        return _of_hub(
            source, {**options, **columns, "several": several_labels, "allow_remote": allow_remote}
        )
    if isinstance(source, str | os.PathLike):
        name = os.fspath(source)
        rows = _path_rows(name, columns, several=several_labels, allow_remote=allow_remote)
    elif _are_archives(source):
        name = f"{source[0]} ..."
        expanded = (path for one in source for path in _expanded(os.fspath(one)))
        rows = shard_rows(expanded, allow_remote, several=several_labels)
    else:
        name = type(source).__name__
        rows = table_rows(source, several=several_labels, **columns)
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
    name: str, columns: dict[str, Any], *, several: bool, allow_remote: AllowRemote
) -> Iterator[ClipRow]:
    path = Path(name)
    if not is_url(name) and path.is_dir():
        if (path / MANIFEST).is_file():
            return table_rows(path / MANIFEST, several=several, **columns)
        archives = sorted(str(one) for one in path.iterdir() if one.suffix == ".tar")
        if archives and not any(one.is_dir() for one in path.iterdir()):
            return shard_rows(archives, allow_remote, several=several)
        return class_folder_rows(path)
    if is_archive(name):
        return shard_rows(_expanded(name), allow_remote, several=several)
    suffix = path.suffix.lower()
    if suffix not in _TABLES and not (suffix == ".json" and path.exists()):
        absent = "" if is_url(name) or path.exists() else "is not there; it "
        raise ValueError(
            f"{name} {absent}must be a folder of classes, a .csv, .tsv, .json, .jsonl, .ndjson or "
            ".parquet file, or .tar archives"
        )
    if not path.exists():
        raise FileNotFoundError(f"{name}: there is no such file")
    return table_rows(path, several=several, **columns)


def is_archive(name: str) -> bool:
    """Whether a path, pattern or URL names archives of clips."""
    return name.partition("?")[0].endswith((".tar", ".tar.gz", ".tgz"))


def _are_archives(source: Any) -> bool:
    return (
        isinstance(source, Sequence)
        and len(source) > 0
        and all(isinstance(one, str | os.PathLike) and is_archive(os.fspath(one)) for one in source)
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
