"""Videos with timed actions (FIR Image Action) as a table of one event: a person on the floor."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from timed import joined

from temporal.data.labelled.events import EventTable, LabelledVideo, TimedEvent

ON_THE_FLOOR = ("falling", "falled", "lying", "sleeping")
LABEL = "floor"


def floor_table(folder: Path, actions: Sequence[str], join_seconds: float) -> EventTable:
    """All videos of `events.csv` (video, start_seconds, end_seconds, action), in its order.

    Args:
        folder: with the table, which names videos below it.
        actions: those of the event.
        join_seconds: actions that lie no further apart are one event.
    """
    spans: dict[str, list[tuple[float, float]]] = {}
    with (folder / "events.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            own = spans.setdefault(row["video"], [])
            if row["action"] in actions:
                own.append((float(row["start_seconds"]), float(row["end_seconds"])))
    videos = [
        LabelledVideo(
            path=str(folder / name),
            events=tuple(
                TimedEvent(start_seconds=start, end_seconds=end, label=LABEL)
                for start, end in joined(own, join_seconds)
            ),
        )
        for name, own in spans.items()
    ]
    return EventTable(videos=videos, names=[LABEL])
