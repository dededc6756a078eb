"""`Pipeline`: what the pipelines of all tasks share: inputs to sources, outcomes to readings."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from temporal.checks import check_count, check_in
from temporal.data import Item
from temporal.engine import Engine, Outcome
from temporal.models.reader import Reader
from temporal.trace import Trace

from .device import pick_device
from .inputs import items_of
from .loading.loaded_model import LoadedModel
from .reading import OnError as OnError
from .reading import Reading, ReadingError, handled
from .reading import ReadingFailed as ReadingFailed
from .reading_errors import describe_error
from .tasks.registry import RECORDS, TaskRecord
from .threads import with_threads

if TYPE_CHECKING:
    from .auditing.audit import Audit

Order = Literal["input", "completed"]


class Pipeline:
    """The part of the pipelines that does not depend on the task. Made by `pipeline()`.

    `pipe(inputs)` answers as transformers does; `pipe.read(inputs)` gives a `Reading` for each
    input, good or bad.

    Args:
        loaded: reader, tokenizer and name, as `load` of the task gives them.
        device: as in transformers; None: an accelerator where there is one.
        batch_size: rows that a stage computes at once, at least 1; None: the task's default.
        top_k: predictions per input; None: all; `""`: the task's default.

    Raises:
        ValueError: an argument is out of its range.
    """

    task: str
    """Its name in `temporal.pipelines.tasks.registry`."""
    kind: Literal["video", "text"]
    default_batch_size: int
    default_top_k: int | None = None
    call_options: frozenset[str] = frozenset({"batch_size", "num_workers"})
    """Options that a call may set for itself."""
    operating_point: dict[str, Any] | None = None
    """What `budget=` or `max_drop=` chose of the calibrated points: its policy, cost share,
    accuracy and bounds."""
    audit: Audit | None = None
    """What reads some inputs in full as well, and compares; None: nothing does."""

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        device: Any = None,
        batch_size: int | None = None,
        top_k: int | None | Literal[""] = "",
    ) -> None:
        _check_top_k(top_k)
        self.task = loaded.task or self.task
        self.record: TaskRecord = RECORDS[self.task]
        self._predictions: Any = self.record.find("predictions")
        self.reader: Reader = loaded.reader
        self.model: Any = loaded.module.eval()
        if loaded.is_placed and device is None:  # its parts are where a device_map put them
            self.device = torch.device(self.model.device)
        else:
            self.device = pick_device(device)
            self.model.to(self.device)
        self.tokenizer = loaded.tokenizer
        self.model_name = loaded.name
        self.batch_size = batch_size or self.default_batch_size
        self.top_k = top_k

    @property
    def id2label(self) -> dict[int, str]:
        """Names of the classes."""
        return self.model.config.id2label

    @property
    def checked_weights(self) -> Mapping[Path, str]:
        """SHA-256 of the model's files that were read for it already, see `Reader`."""
        return self.reader.checked_weights

    def dense_macs(self, trace: Any) -> int | None:
        """MACs of reading the same source with nothing skipped and nothing halted, if known."""
        return self.reader.dense_macs(trace.units_total)

    def read(
        self,
        inputs: Any,
        *,
        order: Order = "input",
        on_error: OnError = "record",
        top_k: int | None | Literal[""] = "",
        column: str | None = None,
        id_column: str | None = None,
    ) -> Iterator[Reading]:
        """Read a collection lazily: one `Reading` per input.

        Args:
            inputs: whatever `temporal.data.collect` takes: paths, directories, tables, rows of
                `datasets`, bytes, open files, texts, `Item`s, or an iterable of these. For videos
                a str is a path; for texts it is a text, and a path is given as `Path`.
            order: yield in input order, or as inputs are completed.
            on_error: what a bad input gives: `"record"` a reading with `.error`, `"skip"` nothing,
                `"raise"` an exception (`ReadingFailed`) when its turn comes.
            top_k: predictions per input; default: the pipeline's, None: all.
            column, id_column: of tables.

        Raises:
            ValueError: an argument is not one of its values.
            TypeError: `inputs` are not inputs.
            ReadingFailed: see `on_error`.
        """
        check_in("order", order, ("input", "completed"))
        check_in("on_error", on_error, ("raise", "record", "skip"))
        _check_top_k(top_k)
        self.check_options()
        top_k = self.top_k if top_k == "" else top_k
        top_k = self.default_top_k if top_k == "" else top_k
        others = self.record.item_columns
        items = items_of(
            inputs,
            self.kind,
            column,
            id_column,
            other_columns=others,
            times_are_parts=not self.record.has_spans,
        )
        if self.audit is None or not self.audit.watches:
            readings = self._readings(items, order, on_error, top_k)
        else:
            from .auditing.readings import audited_readings

            readings = audited_readings(self, items, order, on_error, top_k)
        return with_threads(readings) if self.device.type == "cpu" else readings

    def in_full(self) -> Any:
        """This pipeline, reading everything: by the reader of its audit."""
        assert self.audit is not None and self.audit.full is not None
        full = copy.copy(self)
        full.reader, full.model = self.audit.full
        full.audit = None
        return full

    def _for_call(self, **options: Any) -> Any:
        """This pipeline with other options for one call; it stays as it is."""
        call = copy.copy(self)
        for name, value in options.items():
            if name not in self.call_options:
                raise TypeError(f"option {name!r} must be one of {sorted(self.call_options)}")
            if value is not None:
                setattr(call, name, value)
        call.check_options()
        return call

    def check_options(self) -> None:
        """Raise ValueError unless it can read: what a call may set has values that it can have."""
        check_count("batch_size", self.batch_size, 1)

    def _readings(
        self, items: Iterator[Item], order: Order, on_error: OnError, top_k: int | None
    ) -> Iterator[Reading]:
        positions: dict[int, int] = {}  # of the sources in flight, by identity
        early: dict[int, Reading] = {}  # readings whose turn has not come
        failed: list[tuple[int, Reading]] = []  # inputs that never became a source

        def fail(position: int, id: str, error: Exception) -> None:
            failed.append((position, Reading(id=id, error=describe_error(error))))

        def pair(position: int, source: Any) -> Any:
            positions[id(source)] = position
            return source

        outcomes = self._engine().run(
            self.reader.read,  # type: ignore[attr-defined]  # every reader has it
            self._sources(enumerate(items), pair, fail),
            order="completed",
        )
        next_position = 0
        try:
            for outcome in itertools.chain(outcomes, [None]):
                ready = failed[:]
                failed.clear()
                if outcome is not None:
                    position = positions.pop(id(outcome.source))
                    ready.append((position, self._reading(outcome, top_k)))
                if order == "completed":
                    for _, reading in ready:
                        yield from handled(reading, on_error)
                    continue
                early.update(ready)
                while next_position in early:
                    yield from handled(early.pop(next_position), on_error)
                    next_position += 1
        finally:
            outcomes.close()  # type: ignore[attr-defined]  # run() is a generator

    def _engine(self) -> Engine:
        raise NotImplementedError

    def _sources(
        self,
        items: Iterable[tuple[int, Item]],
        pair: Callable[[int, Any], Any],
        fail: Callable[[int, str, Exception], None],
    ) -> Iterator[Any]:
        """Turn items into sources or cohorts: `pair` each with its position, or `fail` it."""
        raise NotImplementedError

    def _reading(self, outcome: Outcome, top_k: int | None) -> Reading:
        source: Any = outcome.source
        error: Any = outcome.error or outcome.fault
        predictions: tuple[dict[str, Any], ...] = ()
        classes: tuple[int, ...] = ()
        if outcome.error is None:
            try:
                predictions, classes = self._answers_of(outcome.value, top_k)
            except Exception as failure:  # recorded for this input; the collection goes on
                error = failure
        reading = Reading(
            id=source.id,
            predictions=predictions,
            classes=classes,
            trace=None if outcome.trace is None else self._trace(outcome.trace, source),
            error=self._partial(outcome) if error is None else describe_error(error),
            backend=getattr(source, "backend", None) if outcome.trace is not None else None,
        )
        if hasattr(source, "close"):
            source.close()
        return reading

    def _answers_of(
        self, value: Any, top_k: int | None
    ) -> tuple[tuple[dict[str, Any], ...], tuple[int, ...]]:
        """The task's predictions for what the reader returned, and their classes."""
        predictions, classes = self._predictions(self, value, top_k)
        if self.record.is_single and len(predictions) != 1:
            raise ValueError(
                f"task {self.task} has one prediction for an input (is_single), "
                f"and gives {len(predictions)}"
            )
        return tuple(predictions), tuple(classes)

    def _answer(self, reading: Reading) -> Any:
        """What a call answers for an input."""
        if self.record.is_single:
            return reading.predictions[0]
        return list(reading.predictions)

    def _trace(self, trace: Trace, source: Any) -> Trace:
        """What the source adds to its trace (a video: times)."""
        return trace

    def _partial(self, outcome: Outcome) -> ReadingError | None:
        """An error for a source that was read without fault, but not all of it was offered."""
        return None


def _check_top_k(top_k: Any) -> None:
    if top_k is not None and top_k != "":  # all, and the pipeline's own
        check_count("top_k", top_k, 1)
