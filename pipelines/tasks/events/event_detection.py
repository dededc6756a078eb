"""Event detection: what happens in videos from when to when, by an `EventReader`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from temporal.models.events.configuration_event_reader import EventReaderConfig
from temporal.models.wrappers import unwrapped

from ...loading.loaded_model import LoadedModel, with_own_policy
from ...reading import Reading
from ..videos import VideoPipeline

NOTHING: Mapping[str, Any] = {"label": None, "start_seconds": None, "end_seconds": None}
"""The prediction, but for its score, of a video in which no event was found."""


def load_event_reader(
    model: Any,
    *,
    name: str,
    event_threshold: float | None = None,
    border_seconds: float | str | None = "",
    halt: str | None = None,
    **_: Any,
) -> LoadedModel:
    """`load` of the task: the reader as it is, or with other settings.

    Args:
        model: an `EventReader`.
        name: for messages.
        event_threshold, border_seconds, halt: see `EventReaderConfig`; default: the reader's own.

    Raises:
        ValueError: the model finds no events, or a setting cannot be.
    """
    reader = unwrapped(model)
    if getattr(getattr(reader, "config", None), "model_type", "") != EventReaderConfig.model_type:
        raise ValueError(
            f"model ({name}) must be a reader of events: train one from a table of video, "
            "start_seconds, end_seconds and label by scripts/finetune_video.py"
        )
    loaded = LoadedModel(reader=reader, module=reader, name=name)
    asked = {"event_threshold": event_threshold, "halt": halt}
    asked = {field: value for field, value in asked.items() if value is not None}
    if border_seconds != "":
        asked["border_seconds"] = border_seconds
    if asked:
        loaded = with_own_policy(loaded)  # the caller's keeps its own
        config = loaded.module.config
        type(config)(**{**config.to_dict(), **asked})  # whether it could be made so
        for field, value in asked.items():
            setattr(config, field, value)
    return loaded


class VideoEventPipeline(VideoPipeline):
    """Finds events in videos: `[{"label", "score", "start_seconds", "end_seconds"}, ...]`.

    A call answers with a list of events for a video, the surest first; it is empty where none was
    found. Of `read`, the predictions then hold one whose label and times are None, and whose score
    is that of the place that came nearest.

    Args:
        loaded: reader and name.
        **options: see `VideoPipeline`.
    """

    task = "video-event-detection"

    def watch(
        self, source: Any, *, certain: float | None = None, **options: Any
    ) -> Iterator[dict[str, Any]]:
        """Tell the events of a stream that never ends, each when it is certain.

        Args:
            source: a pipe, an open file, a FIFO, a URL ...; see `temporal.data.LiveVideo`. Or one.
            certain: score from which an event is told while it goes on; see `EventWatch`.
            **options: of `LiveVideo`; `window_seconds` is as long as a place by default.

        Yields:
            Events with their delays, see `EventWatch`.

        Raises:
            VideoError: the stream cannot be opened.
        """
        from temporal.data import LiveVideo

        from .event_watching import EventWatch

        if not isinstance(source, LiveVideo):
            options = {"window_seconds": self.model.config.place_seconds, **options}
            source = LiveVideo(source, overlap=True, **options)
        return iter(EventWatch(self, source, certain=certain))

    def _answer(self, reading: Reading) -> Any:
        return [one for one in reading.predictions if one["label"] is not None]


def event_predictions(
    pipe: Any, found: Any, top_k: int | None
) -> tuple[list[dict[str, Any]], list[int]]:
    """`predictions` of the task: the events that were found, or that there is none."""
    events = found.best_first()[:top_k]
    if not events:
        return [{**NOTHING, "score": found.score}], []
    numbers = {label: k for k, label in pipe.id2label.items()}
    predictions = [
        {
            "label": event.label,
            "score": event.score,
            "start_seconds": event.start_seconds,
            "end_seconds": event.end_seconds,
        }
        for event in events
    ]
    return predictions, [int(numbers[event.label]) for event in events]


def event_rows(rows: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """One row for each event, of the rows of a run, which have one for each video.

    A video without events, and one that could not be read, keeps its one row: nothing is lost.

    Args:
        rows: of `temporal.pipelines.rows` or of a run's parts, of this task.

    Yields:
        `id`, `status`, `label`, `score`, `start_seconds`, `end_seconds`, `error_reason` and
        `error_message`; events in the order of time.
    """
    for row in rows:
        shared = {name: row[name] for name in ("id", "status")}
        errors = {name: row[name] for name in ("error_reason", "error_message")}
        events = row["predictions"] or [{**NOTHING, "score": None}]
        for event in sorted(events, key=lambda one: one["start_seconds"] or 0.0):
            yield {**shared, **event, **errors}
