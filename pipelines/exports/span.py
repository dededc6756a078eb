"""`Span` and `VideoSpans`: what is exported, taken from rows of a job or from events themselves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..jobs.table.trace_column import trace_values


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """Something that happens from one time to another."""

    start_seconds: float
    """From the video's first frame; >= 0."""

    end_seconds: float
    """Not before it starts."""

    label: str
    """What happens."""

    score: float | None = None
    """How sure that is, 0 to 1; None: not known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoSpans:
    """All that happens in a video."""

    id: str
    """The video's name."""

    spans: tuple[Span, ...] = ()
    """By start, then end, then label."""

    frames_per_second: float | None = None
    """Mean rate of the video; None: not known."""

    status: str = "ok"
    """`"ok"`, `"partial"` or `"error"`."""

    error: str | None = None
    """Why not all of it was read."""

    extra: Mapping[str, Any] = field(default_factory=dict)
    """What else its row says, for formats that can hold it."""


def spans_of(events: Iterable[Any], *, least_score: float = 0.0) -> tuple[Span, ...]:
    """Put events in order.

    Args:
        events: with `start_seconds`, `end_seconds`, `label` and perhaps `score`, as attributes or
            in mappings. Those that are still open (`is_open`) are left out: they come once more;
            so is what has neither label nor start, by which a row says that nothing was found.
        least_score: events with a smaller score are left out.

    Raises:
        ValueError: a time is missing or no finite number, or an event ends before it starts.
    """
    found = [
        _span(event)
        for event in events
        if not (_is_none(event) or _get(event, "is_open")) and _score_of(event) >= least_score
    ]
    return tuple(sorted(found, key=lambda one: (one.start_seconds, one.end_seconds, one.label)))


def video_spans(row: Mapping[str, Any], *, least_score: float = 0.0) -> VideoSpans:
    """The events of a row of a job.

    Raises:
        ValueError: its predictions have no times; see `spans_of`.
    """
    trace = trace_values(row) if row.get("trace") is not None else None
    step = trace["seconds_per_unit"] if trace is not None else None
    reason, message = row.get("error_reason"), row.get("error_message")
    return VideoSpans(
        id=row["id"],
        spans=spans_of(row.get("predictions") or (), least_score=least_score),
        frames_per_second=1 / step if step else None,
        status=row["status"],
        error=None if reason is None else f"{reason}: {message}",
        extra={"source": row.get("source")},
    )


def title_of(video: VideoSpans) -> str:
    """A video's name without its folders, on one line."""
    return one_line(Path(video.id).name or video.id)


def one_line(text: str) -> str:
    """A text without line ends and control characters, for formats in which these end something."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _span(event: Any) -> Span:
    label = _get(event, "label")
    times = [_get(event, name) for name in ("start_seconds", "end_seconds")]
    if label is None or not all(isinstance(t, int | float) and math.isfinite(t) for t in times):
        raise ValueError(
            f"events ({event!r}) must have a label, start_seconds and end_seconds: only results of "
            "a task that finds events (video-event-detection) can be exported"
        )
    start, end = (float(time) for time in times)
    if end < start:
        raise ValueError(f"end_seconds ({end}) must not be before start_seconds ({start})")
    score = _get(event, "score")
    return Span(
        start_seconds=max(start, 0.0),
        end_seconds=max(end, 0.0),
        label=str(label),
        score=None if score is None else float(score),
    )


def _is_none(event: Any) -> bool:
    """Whether this is how a task says that nothing was found: a row has a place for it."""
    return _get(event, "label") is None and _get(event, "start_seconds") is None


def _score_of(event: Any) -> float:
    score = _get(event, "score")
    return 1.0 if score is None else float(score)


def _get(event: Any, name: str) -> Any:
    return event.get(name) if isinstance(event, Mapping) else getattr(event, name, None)
