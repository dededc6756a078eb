"""`RayPipeline`: a pipeline whose model is in many processes, on all machines of a cluster."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from temporal.checks import check_count, check_in

from ..inputs import items_of
from ..jobs.groups import Bounds, Group, Grouping
from ..jobs.table.row import storable
from ..jobs.table.rows import readings_and_rows
from ..reading import OnError, Reading, ReadingError, handled
from ..tasks.registry import TaskRecord, record_of
from .actor import About, ReadingActor
from .actors import Actors, Batch

if TYPE_CHECKING:
    from ...data.collection import Item

_GROUPS_JOINED = 8
"""Groups in a call, where they are read as one: a full batch of an accelerator, many times."""


class RayPipeline:
    """Reads with actors of Ray, each of which has the whole model.

    `run(pipe, items, output)` commits the rows that it commits with a pipeline of this process, in
    the same parts; on a CPU with one thread for each actor they are the same bit for bit as with
    one thread here. What an actor reads when it ends is read by others, so that nothing is lost and
    nothing is there twice; an input that ends them all has a row with the error `worker_crashed`.

    Ray is started on this machine unless it is (`ray.init`), or `RAY_ADDRESS` says where it is.
    Paths must lead to the same files on all machines, and inputs that are no paths be small.

    Args:
        task, model: As for `pipeline`.
        num_actors: How many read at a time, >= 1.
        num_cpus: Cores that Ray sets aside for each, for decoding and for the model; or a share of
            one.
        num_gpus: GPUs for each; 0.25: four share one.
        **options: Of `pipeline`, but for `audit`.

    Raises:
        ValueError: An argument is out of its range, or the model does not fit the task.
        ImportError: Ray is not installed.
        OSError: There is no such model.

    Example:
        >>> with RayPipeline("video-classification", num_actors=2) as pipe:
        ...     summary = run(pipe, collect("clips", kind="video"), "results", resume=True)
    """

    def __init__(
        self,
        task: str | None = None,
        model: Any = None,
        *,
        num_actors: int = 1,
        num_cpus: float = 1.0,
        num_gpus: float = 0.0,
        **options: Any,
    ) -> None:
        check_count("num_actors", num_actors, 1)
        for name, share in (("num_cpus", num_cpus), ("num_gpus", num_gpus)):
            if share < 0:
                raise ValueError(f"{name} ({share}) must be >= 0")
        if options.get("audit") is not None or options.get("max_disagreement") is not None:
            raise ValueError(
                "audit and max_disagreement must be left out: actors read apart, and none of them "
                "sees all answers. Audit a sample with `pipeline`, or use `temporal run --audit`"
            )
        try:
            import ray
        except ImportError as error:
            raise ImportError(
                "RayPipeline needs Ray: python -m pip install 'temporal-nn[ray]'"
            ) from error
        from ..plugins import load_plugins

        load_plugins()
        remote = ray.remote(num_cpus=num_cpus, num_gpus=num_gpus)(ReadingActor)
        made_by = {"task": task, "model": model, **options}
        folder = os.getcwd()
        self._actors = Actors(lambda: remote.remote(made_by, folder), num_actors)
        try:
            self._about: About = self._actors.about()
        except BaseException:
            self._actors.end()
            raise
        self.task = self._about.task
        self.model_name = self._about.model_name
        self.id2label = dict(self._about.id2label)
        self.batch_size = self._about.batch_size

    @property
    def record(self) -> TaskRecord:
        """What is known of the task."""
        return record_of(self.task)

    def read(
        self,
        inputs: Any,
        *,
        order: str = "input",
        on_error: OnError = "record",
        column: str | None = None,
        id_column: str | None = None,
    ) -> Iterator[Reading]:
        """Read a collection lazily, as `Pipeline.read` does.

        Args:
            inputs, order, on_error, column, id_column: As there.

        Yields:
            A `Reading` for each input.
        """
        check_in("order", order, ("input", "completed"))
        check_in("on_error", on_error, ("raise", "record", "skip"))
        others = self.record.item_columns
        items = items_of(
            inputs,
            self.record.kind,
            column,
            id_column,
            other_columns=others,
            times_are_parts=not self.record.has_spans,
        )
        places: dict[str, int] = {}
        early: dict[int, Reading] = {}
        turn = 0
        for reading, _ in self.rows_of_groups(self._grouped(items, places), keep_text=False):
            place = places.pop(reading.id)
            if order == "completed":
                yield from handled(reading, on_error)
                continue
            early[place] = reading
            while turn in early:
                yield from handled(early.pop(turn), on_error)
                turn += 1

    def rows_of_groups(
        self, given: Iterable[tuple[Group, Item]], *, keep_text: bool
    ) -> Generator[tuple[Reading, dict[str, Any]], None, None]:
        """Yield a reading and its row for each input, as groups are read; a job calls this.

        Args:
            given: Inputs, each with its group, which is read apart from others on a CPU.
            keep_text: See `rows`.
        """
        made = self._actors.read(self._batches(given), keep_text=keep_text)
        try:
            for batch, pairs in made:
                if pairs is None:
                    yield from self._given_up(batch, keep_text)
                else:
                    yield from pairs
        finally:
            made.close()

    def close(self) -> None:
        """End the actors. Harmless when called twice."""
        self._actors.end()

    def __enter__(self) -> RayPipeline:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _grouped(
        self, items: Iterator[Item], places: dict[str, int]
    ) -> Iterator[tuple[Group, Item]]:
        """The inputs of a call with their groups, as a job would find them."""
        pipe: Any = self  # its `read` names its options
        grouping = Grouping(items, Bounds.of(pipe, self.record.kind))
        group = Group(number=-1, first=0)
        for number, place, item in grouping:
            if number != group.number:
                group = Group(number=number, first=place)
            group.is_whole = grouping.ends_here
            item_id = storable(item.id)
            if item_id in places:
                raise ValueError(f"id ({item_id!r}) must be unique among the inputs")
            places[item_id] = place
            yield group, item

    def _batches(self, given: Iterable[tuple[Group, Item]]) -> Iterator[Batch]:
        """What actors read in one call: a group, or several where these are read as one."""
        most = _GROUPS_JOINED if self._about.joins_groups else 1
        groups: list[list[Item]] = []
        last: Group | None = None
        for group, item in given:
            if group is not last:
                if len(groups) == most:
                    yield Batch(groups=groups)
                    groups = []
                groups.append([])
                last = group
            groups[-1].append(item)
            if group.is_whole and len(groups) == most:  # without waiting for the next input
                yield Batch(groups=groups)
                groups = []
        if groups:
            yield Batch(groups=groups)

    def _given_up(self, batch: Batch, keep_text: bool) -> Iterator[tuple[Reading, dict[str, Any]]]:
        (item,) = batch.items
        message = "every process that read it has ended: the system may have had no memory for it"
        error = ReadingError(stage="model", reason="worker_crashed", message=message)
        reading = Reading(id=storable(item.id), error=error)
        yield from readings_and_rows(
            _Told(self, reading),
            [item],
            record=self.record,
            order="completed",
            keep_text=keep_text,
            is_video=self.record.kind == "video",
        )


class _Told:
    """A pipeline that says what it was told of an input."""

    def __init__(self, pipe: RayPipeline, reading: Reading) -> None:
        self.task, self.model_name, self.id2label = pipe.task, pipe.model_name, pipe.id2label
        self._reading = reading

    def read(self, inputs: Iterable[Any], **options: Any) -> Iterator[Reading]:
        for _ in inputs:
            yield self._reading
