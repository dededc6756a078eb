"""Videos to rows of an index: each read once, as long as its file stays what it is."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...data import Item, VideoPart
from ...data.decode.remote.urls import is_url
from ...data.labelled.digests import digest_bytes
from ...data.tables.times import name_of_part, part_named
from ..jobs.table.row import storable
from ..reading import Reading


@dataclass(kw_only=True)
class IndexSummary:
    """What became of videos that were offered to an index."""

    videos: int = 0
    """Read now, in full or in part."""
    known: int = 0
    """In the index already, and not read again."""
    failed_before: int = 0
    """Of these, those of which the index has an error; `retry=True` reads them again."""
    errors: dict[str, str] = field(default_factory=dict)
    """Why others could not be read, by their names."""
    embeddings: int = 0
    """Rows that were added."""
    frames_read: int = 0
    frames_decoded: int = 0
    stopped: bool = False
    """A signal ended it; the same call goes on."""


def name_of(item: Item) -> str:
    """What a video is called in an index: its absolute path, or the input's id.

    A part of one has its times behind it.
    """
    value = item.value
    if isinstance(value, VideoPart) and isinstance(value.source, str | os.PathLike):
        whole = name_of(replace(item, value=value.source))
        return name_of_part(whole, value.part)
    if isinstance(value, str | os.PathLike) and not is_url(str(value)):
        return storable(os.path.abspath(value))
    return storable(str(value) if isinstance(value, str) else item.id)


def video_at(name: str) -> Item:
    """What a video of that name is read from."""
    found = None if os.path.exists(name) else part_named(name)
    return Item(id=name, value=name if found is None else VideoPart(found[0], *found[1]))


def version_of(item: Item) -> str | None:
    """By what a change of a video is known: size and time of its file, a digest of its bytes."""
    value = item.value.source if isinstance(item.value, VideoPart) else item.value
    if isinstance(value, bytes):
        return f"{len(value)} bytes, {digest_bytes(value):016x}"
    if isinstance(value, str | os.PathLike) and not is_url(str(value)):
        try:
            status = Path(value).stat()
        except OSError:
            return None
        return f"{status.st_size} bytes, {status.st_mtime_ns} ns"
    return None


def new_items(
    items: Iterator[Item],
    versions: Mapping[str, str | None],
    failed: Mapping[str, str],
    summary: IndexSummary,
    *,
    retry: bool,
) -> Iterator[tuple[Item, str | None]]:
    """The items that are not in an index as they are, by their names, and their versions.

    Args:
        items: offered.
        versions: of what is there.
        failed: names of those among them that could not be read.
        summary: counts those that are `known`, and how many of them `failed_before`.
        retry: those that could not be read are read again.
    """
    seen: dict[str, str | None] = {}
    for item in items:
        name, version = name_of(item), version_of(item)
        is_there = name in versions and versions[name] == version
        if name in seen or (is_there and not (retry and name in failed)):
            summary.known += 1
            summary.failed_before += is_there and name in failed and name not in seen
            continue
        seen[name] = version
        yield replace(item, id=name), version


def rows_of(reading: Reading, version: str | None) -> list[dict[str, Any]]:
    """The rows of one video: one for each of its vectors, or one with its error."""
    error, trace = reading.error, reading.trace
    common = {
        "video": reading.id,
        "status": reading.status,
        "error_reason": error.reason if error else None,
        "error_message": storable(error.message)[:500] if error else None,
        "frames_read": trace.units_read if trace else None,
        "frames_decoded": trace.cost.frames_decoded if trace else None,
        "version": version,
    }
    if not reading.predictions:
        return [{**common, "seconds": None, "embedding": None}]
    (found,) = reading.predictions
    places = zip(found["seconds"], found["embeddings"], strict=True)
    return [{**common, "seconds": seconds, "embedding": vector} for seconds, vector in places]
