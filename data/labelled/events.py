"""A table of events: which videos there are, and what happens in each from when to when.

    video,start_seconds,end_seconds,label
    gate/monday.mp4,71.1,80.9,train
    gate/monday.mp4,803,811.5,train
    gate/tuesday.mp4,,,

`start` and `end` are short for the two columns of times.

One row for each event. A video in which nothing happens has one row without times; or it is named
in a second table, `videos.csv` beside the first, which may also say `split`, `group` and `camera`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..collection import collect
from ..item import Item
from ..places.content import TABLES, suffix_of
from ..tables.times import TIMES

_COLUMNS = (*TIMES, "split", "group", "camera")
_LOOKED_AT = 1000
VIDEOS_FILE, EVENTS_FILE = "videos.csv", "events.csv"


@dataclass(frozen=True, kw_only=True, slots=True)
class TimedEvent:
    """What happens in a video, as somebody labelled it."""

    start_seconds: float
    """From the video's first frame."""
    end_seconds: float
    label: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledVideo:
    """A video, and all that happens in it."""

    path: Any
    """As `Video` takes it."""
    events: tuple[TimedEvent, ...] = ()
    split: str = ""
    group: str = ""
    """What it has in common with others (`group`, else `camera`): they stay on one side of a
    split. Empty: it is its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EventTable:
    """Videos with their events."""

    videos: list[LabelledVideo]
    names: list[str]
    """Of the labels, sorted."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Rows that cannot be used, by their name, and why."""
    num_rows: int = 0
    """Rows that were read, of all splits, these among them."""

    def of_split(self, *names: str) -> EventTable:
        """The videos of some splits."""
        kept = [video for video in self.videos if video.split in names]
        return replace(self, videos=kept)

    @property
    def splits(self) -> list[str]:
        """Names of the splits, sorted; those without one have the name ""."""
        return sorted({video.split for video in self.videos})


def has_events(table: str | Path) -> bool:
    """Whether a file or folder is a table of events: there are times among its first rows."""
    place = Path(table)
    place = place / EVENTS_FILE if place.is_dir() else place
    if not place.is_file() or suffix_of(place) not in TABLES:
        return False
    rows = collect(
        place, kind="video", other_columns=TIMES, times_are_parts=False, limit=_LOOKED_AT
    )
    # Nothing may happen in the first videos: their rows have no times.
    return any(all(_text(cell) for _, cell in _times(row.extra)) for row in rows)


def read_event_table(
    table: Any, *, videos: Any = None, video_column: str | None = None
) -> EventTable:
    """Read a table of events.

    Args:
        table: what `temporal.data.collect` takes as a table: a CSV, parquet or JSON lines file, or
            rows; or a folder with `events.csv`. Paths are relative to the file.
        videos: a table of all videos; None: `videos.csv` beside a file, where there is one.
        video_column: how the tables call the video; None: `video` or `path`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no row can be used.
    """
    if isinstance(table, str | Path):
        table = Path(table)
        table = table / EVENTS_FILE if table.is_dir() else table
        if not table.is_file():
            raise FileNotFoundError(f"table ({table}) must be a file with a row for each event")
        beside = table.parent / VIDEOS_FILE
        if videos is None and beside.is_file() and beside != table:
            videos = beside
    left_out: dict[str, str] = {}
    events: dict[str, list[TimedEvent]] = {}
    facts: dict[str, Mapping[str, Any]] = {}
    paths: dict[str, Any] = {}
    num_rows = 0
    for number, item in enumerate(_rows(table, video_column)):
        num_rows += 1
        name = f"{item.id} (row {number + 1})"
        if item.error is not None:
            left_out[name] = item.error.message
            continue
        key = str(item.value)
        try:
            event = _event(item.extra)
        except ValueError as error:
            left_out[name] = str(error)
            continue
        paths.setdefault(key, item.value)
        facts[key] = {**facts.get(key, {}), **item.extra}
        events.setdefault(key, [])
        if event is not None:
            events[key].append(event)
    if videos is not None:
        for item in _rows(videos, video_column):
            num_rows += 1
            if item.error is not None:
                left_out.setdefault(item.id, item.error.message)
                continue
            paths.setdefault(str(item.value), item.value)
            facts[str(item.value)] = {**facts.get(str(item.value), {}), **item.extra}
    names = sorted({event.label for own in events.values() for event in own})
    if not names:
        why = next((f": {name}: {why}" for name, why in left_out.items()), "")
        raise ValueError(f"table ({table}) must hold an event that can be used, and has none{why}")
    found = [
        LabelledVideo(
            path=path,
            events=tuple(sorted(events.get(key, ()), key=lambda event: event.start_seconds)),
            split=_text(facts[key].get("split")),
            group=_text(facts[key].get("group")) or _text(facts[key].get("camera")),
        )
        for key, path in paths.items()
    ]
    return EventTable(videos=found, names=names, left_out=left_out, num_rows=num_rows)


def _rows(table: Any, video_column: str | None) -> Iterable[Item]:
    return collect(
        table,
        kind="video",
        column=video_column,
        other_columns=_COLUMNS,
        paths_repeat=True,
        times_are_parts=False,
    )


def _event(cells: Mapping[str, Any]) -> TimedEvent | None:
    """The event of a row; None: it says that there is none."""
    times = _times(cells)
    if all(_text(time) == "" for _, time in times):
        return None
    start, end = (_seconds(name, cell) for name, cell in times)
    if end < start:
        raise ValueError(f"end_seconds ({end}) must be >= start_seconds ({start})")
    label = _text(cells.get("label"))
    if not label:
        raise ValueError("label must say what happens, and is empty")
    return TimedEvent(start_seconds=start, end_seconds=end, label=label)


def _times(cells: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The cells of start and end, each with its column: the short one where the other is empty."""
    pairs = zip(TIMES[:2], TIMES[2:], strict=True)
    columns = (
        short if not _text(cells.get(full)) and short in cells else full for full, short in pairs
    )
    return [(name, cells.get(name)) for name in columns]


def _seconds(name: str, cell: Any) -> float:
    try:
        seconds = float(cell)
    except (TypeError, ValueError):
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"{name} ({cell!r}) must be a number of seconds >= 0")
    return seconds


def _text(cell: Any) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    return str(cell).strip()
