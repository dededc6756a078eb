"""How a reader of events does on labelled videos: what it finds, when, and how much it reads."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from ....data.labelled.events import LabelledVideo
from ....models.events.event import Event
from ....training.events.missed import overlaps

NEAR_SECONDS = 2.0


def judge_events(pipe: Any, videos: Sequence[LabelledVideo]) -> dict[str, Any]:
    """Read labelled videos, and compare.

    Args:
        pipe: of `video-event-detection`.
        videos: with their events.

    Returns:
        Counts and shares in plain values (None: there is nothing to take a share of): videos with
        and without an event that are told so, events found, false alarms, how far times are off,
        and what was read.
    """
    told_with: list[bool] = []
    told_without: list[bool] = []
    found: list[bool] = []
    starts: list[float] = []
    ends: list[float] = []
    alarms, seconds, unread = 0, 0.0, 0
    decoded, macs, frames = 0, 0, 0
    for video, reading in zip(videos, pipe.read([v.path for v in videos]), strict=True):
        if reading.trace is None or not reading.predictions:
            unread += 1
            continue
        told = [Event(**one) for one in reading.predictions if one["label"] is not None]
        (told_with if video.events else told_without).append(bool(told))
        for event in video.events:
            hits = [one for one in told if overlaps(event, one)]
            found.append(bool(hits))
            if hits:
                best = max(hits, key=lambda one: one.score)
                starts.append(abs(best.start_seconds - event.start_seconds))
                ends.append(abs(best.end_seconds - event.end_seconds))
        alarms += sum(not any(overlaps(one, event) for event in video.events) for one in told)
        seconds += reading.trace.units_total * (reading.trace.seconds_per_unit or 0.0)
        decoded += reading.trace.cost.frames_decoded
        macs += reading.trace.cost.macs
        frames += reading.trace.units_total
    quiet = [not told for told in told_without]
    both = [statistics.fmean(part) for part in (told_with, quiet) if part]
    return {
        "videos": len(videos),
        "unread": unread,
        "balanced_accuracy": statistics.fmean(both) if len(both) == 2 else None,
        "events": len(found),
        "events_found": _mean(found),
        "false_alarms_per_hour": 3600 * alarms / seconds if seconds else None,
        "start_within_2_seconds": _mean([off <= NEAR_SECONDS for off in starts]),
        "end_within_2_seconds": _mean([off <= NEAR_SECONDS for off in ends]),
        "median_start_off_seconds": statistics.median(starts) if starts else None,
        "median_end_off_seconds": statistics.median(ends) if ends else None,
        "frames": frames,
        "frames_decoded": decoded,
        "macs": macs,
    }


def _mean(values: Sequence[Any]) -> float | None:
    return statistics.fmean(values) if values else None
