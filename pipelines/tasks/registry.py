"""The tasks by name: a new one gets one record here. None is imported before it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .columns import ANSWERS, CLASSES, VECTORS, check_columns

if TYPE_CHECKING:
    from temporal.data.item import Kind  # a package that takes a while

_PIPELINES: Mapping[str, str] = {"text": ".texts:TextPipeline", "video": ".videos:VideoPipeline"}
_PICTURES: Mapping[str, str] = {
    "text": "..display.picture_text:draw_text",
    "video": "..display.picture_video:draw_video",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord:
    """All that is known of a task. What it computes with is named, as `module:name`.

    A module with a dot before it is relative to `temporal.pipelines.tasks`.
    """

    name: str
    """What users call it."""

    kind: Kind
    """What it reads: `"text"` or `"video"`."""

    load: str
    """A function `load(model, *, name, path, hub, needs_pieces, **options) -> LoadedModel` that
    makes the reader.

    `model` is what the caller gave, or what lay at `path` (None: it was given as an object); `name`
    is for messages, `hub` are options of `from_pretrained`, and `needs_pieces` says that a budget
    or a policy is asked for. Further keyword arguments with a default are options of `pipeline()`.
    """

    predictions: str
    """A function `predictions(pipe, value, top_k) -> (predictions, classes)` of what the reader
    returned: dicts with the fields of `columns`, the best first, at most `top_k` (None: all), and
    the index of each one's class (none where there are no classes)."""

    columns: Mapping[str, Any] = field(default_factory=lambda: CLASSES)
    """What a prediction holds, by name: `str`, `int`, `float`, `bool`, or `list[...]` of these.
    A row has the best prediction's fields as columns, and all predictions as another one."""

    is_single: bool = False
    """An input has one prediction: a call answers with that instead of a list, and rows have its
    fields alone."""

    default: str | None = None
    """The folder in `pipelines/defaults` of the model that is taken where none is given."""

    auto_classes: tuple[str, ...] = ()
    """Names of the classes of transformers whose models it reads, and by which those are loaded:
    the first that a checkpoint's architecture names, else the last. Readers name theirs in
    `temporal.models.registry`."""

    aliases: tuple[str, ...] = ()
    """Other names that users know it by."""

    pipeline: str = ""
    """Its class of pipelines; default: the one that reads its kind of source."""

    item_columns: tuple[str, ...] = ()
    """Columns of tables that come along with an input (`Item.extra`), and belong to it: one video
    with two questions is two inputs."""

    calibration: str = ""
    """A function `calibrate(words, prog) -> report` that is `temporal calibrate` for this task,
    where its answers are no classes; default: there is none but that of classes."""

    check: str = ""
    """Likewise `temporal check`."""

    picture: str = ""
    """A function `draw(canvas, row, trace, x, y, width) -> y` that draws one reading; default: the
    one of its kind of source."""

    def __post_init__(self) -> None:
        check_columns(self.columns)
        object.__setattr__(self, "pipeline", self.pipeline or _PIPELINES[self.kind])
        object.__setattr__(self, "picture", self.picture or _PICTURES[self.kind])

    @property
    def has_labels(self) -> bool:
        """Whether answers are classes, which can be right or wrong: predictions with a `label`.

        A label of a span of time is no class of the video.
        """
        return "label" in self.columns and not self.has_spans

    @property
    def has_spans(self) -> bool:
        """Whether answers are of spans of time.

        Times in the row of an input are then those of events, and do not mean a part of it.
        """
        return "start_seconds" in self.columns

    def find(self, part: str) -> Any:
        """What a field names (`record.find("load")`); imports its module.

        Raises:
            ValueError: the field does not name anything.
        """
        module, _, name = getattr(self, part).partition(":")
        try:
            return getattr(importlib.import_module(module, __package__), name)
        except AttributeError:
            raise ValueError(
                f"{part} ({getattr(self, part)!r}) of task {self.name} must be 'module:name' of "
                f"what is there: {module} has no {name or 'name behind a colon'}"
            ) from None


RECORDS: dict[str, TaskRecord] = {
    record.name: record
    for record in (
        TaskRecord(
            name="text-classification",
            kind="text",
            load=".text_models:load_text_model",
            predictions=".classes:class_predictions",
            pipeline=".text_classification:TextClassificationPipeline",
            default="review-skim-rnn",
            auto_classes=("AutoModelForSequenceClassification",),
            aliases=("sentiment-analysis",),
        ),
        TaskRecord(
            name="video-classification",
            kind="video",
            load=".video_models:load_video_model",
            predictions=".classes:class_predictions",
            pipeline=".video_classification:VideoClassificationPipeline",
            default="frames-lite0",
            auto_classes=("AutoModelForVideoClassification", "AutoModelForImageClassification"),
        ),
        TaskRecord(
            name="zero-shot-video-classification",
            kind="video",
            load=".zero_shot_models:load_zero_shot_model",
            predictions=".classes:class_predictions",
            pipeline=".zero_shot_video_classification:ZeroShotVideoClassificationPipeline",
            auto_classes=("AutoModelForZeroShotImageClassification",),
        ),
        TaskRecord(
            name="video-feature-extraction",
            kind="video",
            load=".feature_models:load_feature_model",
            predictions=".feature_models:feature_predictions",
            columns=VECTORS,
            is_single=True,
            pipeline=".video_feature_extraction:VideoFeatureExtractionPipeline",
            auto_classes=("AutoModelForImageClassification", "AutoModel"),
        ),
        TaskRecord(
            name="video-text-to-text",
            kind="video",
            load=".video_language_models:load_video_language_model",
            predictions=".video_language_models:answer_predictions",
            columns=ANSWERS,
            is_single=True,
            pipeline=".video_text_to_text:VideoTextToTextPipeline",
            calibration="..calibration.questions:calibrate_questions_command",
            check="..calibration.questions:check_questions_command",
            auto_classes=("AutoModelForImageTextToText",),
            item_columns=("question", "text", "options"),
        ),
        TaskRecord(
            name="video-event-detection",
            kind="video",
            load=".events.event_detection:load_event_reader",
            predictions=".events.event_detection:event_predictions",
            columns={**CLASSES, "start_seconds": float, "end_seconds": float},
            pipeline=".events.event_detection:VideoEventPipeline",
            picture="..display.picture_events:draw_events",
            calibration="..calibration.events:calibrate_events_command",
            auto_classes=("AutoModelForObjectDetection",),
        ),
    )
}
"""Records by name, in the order that users are shown."""


def register_task(record: TaskRecord) -> None:
    """Add a task of your own: pipelines, jobs and the command line know it from then on.

    Args:
        record: what is known of it; its functions are imported when they are needed.

    Raises:
        ValueError: another task has its name.
    """
    taken = {name for other in RECORDS.values() if other != record for name in _all_names(other)}
    if shared := taken & set(_all_names(record)):
        raise ValueError(f"name ({min(shared)!r}) must be one that no other task has")
    RECORDS[record.name] = record


def record_of(task: str) -> TaskRecord:
    """The record of a task; one of classes for a pipeline whose task is not registered."""
    found = RECORDS.get(task)
    if found is not None:
        return found
    kind: Kind = "video" if task.startswith("video") else "text"
    return TaskRecord(name=task, kind=kind, load="", predictions="")


def labelled_task(name: str) -> TaskRecord:
    """The record of a task whose answers can be right or wrong.

    Args:
        name: its name or an older one; or a kind of source, for the first such task that reads it.

    Raises:
        ValueError: there is no such task, or its predictions have no `label`.
    """
    for record in RECORDS.values():
        if name in _all_names(record) or (name == record.kind and record.has_labels):
            break
    else:
        kinds = dict.fromkeys(record.kind for record in RECORDS.values())
        raise ValueError(f"task ({name!r}) must be one of {(*kinds, *RECORDS)}")
    if not record.has_labels:
        raise ValueError(
            f"task ({record.name}) must answer with a `label`, which can be right or wrong, and "
            f"answers with {', '.join(record.columns)}: nothing can be measured by labels"
        )
    return record


def _all_names(record: TaskRecord) -> tuple[str, ...]:
    """The names that users know a task by."""
    return (record.name, *record.aliases)


def auto_class_endings(record: TaskRecord) -> tuple[str, ...]:
    """The endings of the classes of models for a task: `ForSequenceClassification`."""
    endings = (name.removeprefix("AutoModel") for name in record.auto_classes)
    return tuple(ending for ending in endings if ending)
