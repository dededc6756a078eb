"""`rows`: what a job writes, as a function of a pipeline and items; whoever runs jobs can map it.

Sharing out, resuming, signals, the bar and commits are `run`'s (`job.py`). In another engine:

    def read(batch):                                            # of datasets, Ray, Spark ...
        made = list(rows(pipe, collect(batch["text"], kind="text")))
        return {name: [row[name] for row in made] for name in row_schema().names}

    features = Features.from_arrow_schema(row_schema())
    dataset.map(read, batched=True, remove_columns=dataset.column_names, features=features)
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ....data.part import VideoPart
from ....data.places.content import Content
from ....data.places.stores import scheme_of
from ....data.tables.times import name_of_part
from ...auditing.held_rows import HeldRows
from ...inputs import items_of
from ...reading import Reading, ReadingError
from ...tasks.registry import TaskRecord, record_of
from .extra import extra_text
from .row import row_of, spans_value, storable
from .targets import label_names, name_of_another, target_class, target_name

if TYPE_CHECKING:
    from ....data.collection import Item


class Readable(Protocol):
    """What a job needs of a pipeline."""

    model_name: str
    """Name, path or hub id of the model."""

    def read(self, inputs: Iterable[Any], **options: Any) -> Iterator[Reading]:
        """Read lazily: one reading per input, errors included (`on_error="record"`)."""
        ...


@dataclass(frozen=True, slots=True)
class _Pending:
    """What a row needs besides its reading, kept from the moment the input is handed out."""

    target: str | None
    target_class: int | None
    extra: str | None
    source: str | None
    text: str | None


def rows(
    pipe: Readable,
    items: Any,
    *,
    order: Literal["input", "completed"] = "input",
    keep_text: bool = False,
    is_video: bool | None = None,
    column: str | None = None,
    id_column: str | None = None,
    label_column: str = "label",
) -> Iterator[dict[str, Any]]:
    """Read every item with `pipe` and yield one row for each, a bad one's with its error.

    Nothing is written, no signal is handled, and nothing is kept between calls. Items are taken and
    rows are made as they are consumed.

    Args:
        pipe: A pipeline, or anything with its `read`.
        items: What `temporal.data.collect` yields, or anything that a pipeline reads: texts or
            paths, rows, a table, an iterator of such, which is taken one by one. Other columns of
            rows and tables are `extra` of their rows.
        order: Of the rows: the items', or as they are completed.
        keep_text: Add each text, and the characters of its units.
        is_video: Items are videos, whose paths are kept; None: as the pipeline's task says.
        column, id_column, label_column: Of tables and rows, see `temporal.data.collect`.

    Yields:
        The columns of `temporal.pipelines.row_schema`; of a pipeline with an audit those of
        `audited=True`, each row once its audit is done.

    Raises:
        ValueError: two items that are read at one time have one id.
        RuntimeError: the pipeline returned no reading for an item.
    """
    record = record_of(getattr(pipe, "task", ""))
    if is_video is None:
        is_video = record.kind == "video"
    if record.kind == "video":
        from ...tasks.video_inputs import with_frames

        items = with_frames(items)
    given = items_of(
        items,
        record.kind,
        column,
        id_column,
        label_column=label_column,
        other_columns=None,  # rows keep them all
        times_are_parts=not record.has_spans,
    )
    made = readings_and_rows(
        pipe, given, record=record, order=order, keep_text=keep_text, is_video=is_video
    )
    with closing(made):
        for _, row in made:
            yield row


def readings_and_rows(
    pipe: Readable,
    items: Iterable[Item],
    *,
    record: TaskRecord,
    order: Literal["input", "completed"],
    keep_text: bool,
    is_video: bool,
    lists_units: bool = True,
) -> Generator[tuple[Reading, dict[str, Any]], None, None]:
    """Yield each row beside the reading that it is of; see `rows` and `row_of`."""
    names = label_names(pipe) if "label" in record.columns else {}
    used = {"label", *record.item_columns}
    form = {"keep_text": keep_text, "lists_units": lists_units}
    pending: dict[str, _Pending] = {}

    def noted() -> Iterator[Item]:
        for item in items:
            item_id = storable(item.id)
            if item_id in pending:
                raise ValueError(f"id ({item_id!r}) must be unique among the items")
            label = item.extra.get("label")
            pending[item_id] = _Pending(
                target=target_name(label, names),
                target_class=target_class(label, names),
                extra=extra_text(item.extra, used) if item.extra else None,
                source=_path_of(item.value) if is_video else None,
                text=item.value if keep_text and isinstance(item.value, str) else None,
            )
            yield item if item_id == item.id else replace(item, id=item_id)

    readings = pipe.read(noted(), order=order, on_error="record")
    audit = getattr(pipe, "audit", None)
    held = None if audit is None else HeldRows(audit, record, order)
    try:
        for reading in readings:
            made = _with_row(pipe, reading, record, pending.pop(reading.id), **form)
            if held is None:
                yield made
            else:
                yield from held.put(*made)
        if held is not None:
            yield from held.rest()
    finally:
        # Frees what is in flight now, not when the garbage collector comes by.
        if close := getattr(readings, "close", None):
            close()
    if pending:
        raise RuntimeError(
            f"the pipeline returned no reading for {len(pending)} inputs, "
            f"{next(iter(pending))!r} among them"
        )


def _with_row(
    pipe: Readable, reading: Reading, record: TaskRecord, pending: _Pending, **form: bool
) -> tuple[Reading, dict[str, Any]]:
    """A reading and its row; one whose predictions no row can hold becomes an error."""
    try:
        return reading, _row(pipe, reading, record, pending, **form)
    except ValueError as error:
        if not reading.predictions:
            raise
        why = ReadingError(stage="write", reason="bad_prediction", message=str(error)[:500])
        reading = replace(reading, predictions=(), classes=(), error=why)
        return reading, _row(pipe, reading, record, pending, **form)


def _row(
    pipe: Readable,
    reading: Reading,
    record: TaskRecord,
    pending: _Pending,
    *,
    keep_text: bool,
    lists_units: bool,
) -> dict[str, Any]:
    target = pending.target
    given, best = pending.target_class, reading.classes[:1]
    is_other = given is not None and bool(best) and best[0] != given
    if is_other and target == reading.predictions[0]["label"]:
        target = name_of_another(str(target), given)
    tell = getattr(pipe, "dense_macs", None)
    row = row_of(
        reading,
        task=record,
        target=target,
        extra=pending.extra,
        source=pending.source,
        dense_macs=tell(reading.trace) if tell and reading.trace else None,
        lists_units=lists_units,
    )
    if keep_text:
        row["text"] = storable(pending.text) if pending.text is not None else None
        row["spans"] = spans_value(pipe, row["text"], reading.trace)
    return row


def _path_of(value: Any) -> str | None:
    """Absolute path of a video that is a file, or its URL; None for bytes and open files.

    That of a member is its archive's, and behind it the member's name; that of a part its video's,
    and behind it the times.
    """
    if not isinstance(value, str | os.PathLike | Content | VideoPart):
        return None
    if isinstance(value, VideoPart):
        whole = _path_of(value.source)
        return None if whole is None else name_of_part(whole, value.part)
    name = str(value)
    return name if scheme_of(name) is not None else str(Path(name).absolute())
