"""The formats by name: a new one gets one line here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from .chapters import ffmetadata, matroska_chapters
from .edl import edl
from .lists import csv_table, json_list
from .span import VideoSpans
from .webvtt import webvtt


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """How events are written."""

    suffix: str
    """Of its files, by which it is chosen."""

    write: Callable[..., str]
    """`write(video)`, or `write(videos)` where it holds many."""

    holds_many: bool = False
    """Whether one file has several videos."""

    has_timecodes: bool = False
    """Whether `write` takes a `frame_rate`."""


FORMATS: dict[str, Format] = {
    "json": Format(suffix=".json", write=json_list, holds_many=True),
    "csv": Format(suffix=".csv", write=csv_table, holds_many=True),
    "webvtt": Format(suffix=".vtt", write=webvtt),
    "edl": Format(suffix=".edl", write=edl, has_timecodes=True),
    "ffmetadata": Format(suffix=".ffmeta", write=ffmetadata),
    "matroska": Format(suffix=".xml", write=matroska_chapters),
}
"""By name, in the order that users are shown."""


def format_of(suffix: str) -> Format | None:
    """The format whose files have a suffix; None: there is none."""
    return next((one for one in FORMATS.values() if one.suffix == suffix.lower()), None)


def written(
    format: Format,
    videos: Sequence[VideoSpans],
    *,
    frame_rate: float | str | Fraction | None = None,
) -> str:
    """The events of videos as a file of a format has them.

    Args:
        format: one that holds them: of those that do not hold many, exactly one video.
        videos: what happens in them.
        frame_rate: of timecodes; None: as the videos' readings say. Others have none.

    Raises:
        ValueError: the format cannot hold these videos.
    """
    options: dict[str, Any] = {"frame_rate": frame_rate} if format.has_timecodes else {}
    if format.holds_many:
        return format.write(videos, **options)
    if len(videos) != 1:
        raise ValueError(f"{format.suffix} files hold one video, and there are {len(videos)}")
    return format.write(videos[0], **options)
