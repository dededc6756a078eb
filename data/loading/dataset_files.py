"""Datasets of `datasets` that lie on this machine, found by what they look like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

VIDEO_COLUMNS = ("video", "path", "file")


def is_dataset(path: Path, video_column: str | None = None) -> bool:
    """Whether `datasets` is needed to read it.

    Args:
        path: A file or folder. What `save_to_disk` wrote is one, as are Arrow files, and parquet
            files that hold the videos themselves; a table of paths is not.
        video_column: The column of the videos; None: video, path or file.
    """
    if path.is_dir():
        return (path / "dataset_dict.json").is_file() or (
            (path / "state.json").is_file() and (path / "dataset_info.json").is_file()
        )
    if path.suffix == ".arrow":
        return path.is_file()
    return path.suffix == ".parquet" and path.is_file() and _holds_videos(path, video_column)


def open_dataset(path: Path, *, streaming: bool = False) -> Any:
    """Open a dataset; its rows stay on the disk.

    Args:
        path: One that `is_dataset`.
        streaming: Read it in order, without a copy in the cache of `datasets`.

    Returns:
        A `Dataset` or an `IterableDataset`, or a dict of such by their splits.
    """
    import datasets  # here: it takes a second to import

    if path.is_dir():
        found = datasets.load_from_disk(str(path))
        if not streaming:
            return found
        if isinstance(found, dict):
            return {name: part.to_iterable_dataset() for name, part in found.items()}
        return found.to_iterable_dataset()
    if path.suffix == ".arrow":
        table = datasets.Dataset.from_file(str(path))
        return table.to_iterable_dataset() if streaming else table
    return datasets.load_dataset(
        "parquet", data_files=str(path), split="train", streaming=streaming
    )


def _holds_videos(path: Path, video_column: str | None) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError):
        return False  # as a table it is an error that says so
    names = VIDEO_COLUMNS if video_column is None else (video_column,)
    name = next((name for name in names if name in schema.names), None)
    if name is None:
        return False
    kind = schema.field(name).type
    return pa.types.is_struct(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
