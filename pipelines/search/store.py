"""An index on the disk: a table of places in videos with their vectors, and what made it.

    DIR/.index.json      the model and how videos were read
    DIR/part-*.parquet   one row for each vector: video, seconds, embedding ...

It opens as a table with pandas, datasets and duckdb. A video that could not be read has one row
with its error. One that was read again, since its file has changed, has new rows behind the old
ones, and those alone count.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..jobs.manifest import OutputRefused
from ..jobs.store.content import read_content
from ..jobs.store.durable import write_durably
from ..jobs.store.ledger import parts

if TYPE_CHECKING:
    import pyarrow as pa

SETTINGS_NAME = ".index.json"


@dataclass(frozen=True, kw_only=True, eq=False)
class Places:
    """The vectors of an index that count: N places in videos."""

    embeddings: NDArray[np.float32]
    """`[N, D]`, each of length 1."""
    videos: NDArray[np.int64]
    """`[N]`, numbers of their videos."""
    seconds: NDArray[np.float64]
    """`[N]`, their times."""
    names: list[str]
    """Of the videos, by number."""
    versions: dict[str, str | None] = field(default_factory=dict)
    """What the file of each video was, by name, those that could not be read among them."""
    failed: dict[str, str] = field(default_factory=dict)
    """Why videos could not be read, by name."""


def index_schema() -> pa.Schema:
    """Names and types of an index's columns."""
    import pyarrow as pa

    return pa.schema(
        [
            ("video", pa.string()),  # absolute path, or the input's id
            ("seconds", pa.float64()),  # from the first frame on; null where it cannot be read
            ("embedding", pa.list_(pa.float32())),
            ("status", pa.string()),  # ok | partial | error
            ("error_reason", pa.string()),
            ("error_message", pa.string()),
            ("frames_read", pa.int64()),  # of the video
            ("frames_decoded", pa.int64()),
            ("version", pa.string()),  # of the file, by which a change is known
        ]
    )


def read_settings(directory: str | os.PathLike[str]) -> dict[str, Any] | None:
    """What made an index; None where there is none.

    Raises:
        OutputRefused: the directory holds something else.
    """
    path = Path(directory) / SETTINGS_NAME
    if not path.exists():
        if path.parent.exists() and (not path.parent.is_dir() or any(path.parent.iterdir())):
            raise OutputRefused(f"index ({directory}) must be an index, or empty, or absent")
        return None
    try:
        settings = json.loads(path.read_bytes())
        return {name: settings[name] for name in ("model", "read", "probe")}
    except (ValueError, KeyError, TypeError) as error:
        raise OutputRefused(f"{path} does not describe an index ({error!r})") from error


def write_settings(directory: str | os.PathLike[str], settings: dict[str, Any]) -> None:
    """Make the directory an index.

    Raises:
        OutputRefused: it cannot be made or written to.
    """
    text = json.dumps(settings, indent=2)
    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
        write_durably(Path(directory) / SETTINGS_NAME, lambda file: file.write(text.encode()))
    except OSError as error:
        raise OutputRefused(
            f"index ({directory}) must be a directory that can be made and written to: {error}"
        ) from error


def read_places(directory: str | os.PathLike[str]) -> Places:
    """The places of an index.

    Raises:
        DamagedPart: a file of it is damaged; the message names it.
    """
    columns = ["video", "seconds", "embedding", "status", "error_reason", "error_message"]
    tables: list[Any] = [read_content(path, [*columns, "version"]) for path in parts(directory)]
    versions: dict[str, str | None] = {}
    failed: dict[str, str] = {}
    current: dict[str, list[tuple[float, int, int]]] = {}  # rows that count: (seconds, table, row)
    for number, table in enumerate(tables):
        told = table.drop_columns(["embedding"])
        for row, one in enumerate(told.to_pylist()):
            name = one["video"]
            if name not in versions or versions[name] != one["version"] or name in failed:
                versions[name] = one["version"]
                current[name] = []
                failed.pop(name, None)
            if one["status"] == "error":
                failed[name] = f"{one['error_reason']}: {one['error_message']}"
            else:
                current[name].append((one["seconds"], number, row))
    # By name and time: who was read first changes nothing.
    names = sorted(name for name, places in current.items() if places)
    kept = [(video, *place) for video, name in enumerate(names) for place in sorted(current[name])]
    return Places(
        embeddings=_vectors(tables, [(table, row) for _, _, table, row in kept]),
        videos=np.array([video for video, *_ in kept], np.int64),
        seconds=np.array([seconds for _, seconds, *_ in kept], np.float64),
        names=names,
        versions=versions,
        failed=failed,
    )


def _vectors(tables: Sequence[Any], places: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
    """The vectors of rows, `[N, D]`; nothing becomes a Python number on the way."""
    by_table: list[list[int]] = [[] for _ in tables]
    for table, row in places:
        by_table[table].append(row)
    found: list[NDArray[np.float32]] = []
    for table, rows in zip(tables, by_table, strict=True):
        if rows:
            column = table["embedding"].take(rows).combine_chunks()
            flat = column.flatten().to_numpy(zero_copy_only=False)
            found.append(flat.reshape(len(rows), -1))
    if not found:
        return np.zeros((0, 0), np.float32)
    joined = np.concatenate(found)
    order = sorted(range(len(places)), key=lambda k: places[k][0])  # table by table, as joined
    result = np.empty_like(joined)
    result[order] = joined
    return result
