"""Pipelines that read videos: files to videos, each decoded only where its reader asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from temporal.checks import check_count
from temporal.data import DecodePool, InputError, Item, Video, VideoPart
from temporal.data.borrowed import Borrowed, is_open_source
from temporal.data.decode.decoders.backends import count_cores
from temporal.data.decode.files.container import MAX_PIXELS
from temporal.data.decode.remote.urls import AllowRemote, check_permission
from temporal.data.frames import are_frames
from temporal.engine import Engine
from temporal.trace import Trace

from ..base import Pipeline
from ..inputs import how_many
from ..reading import Reading
from ..reading_errors import ItemError
from .video_inputs import with_frames

_DECODE_THREADS = 2

_TIMES_ARE_LABELS = InputError(
    reason="unsupported_input",
    message="its times say where an event is, and this task looks for events in whole videos: give "
    "the table itself, or collect it with times_are_parts=False; a part is VideoPart(video, start, "
    "end)",
)


class VideoPipeline(Pipeline):
    """Reads videos for any task; takes what transformers' pipelines take, and collections.

    Args:
        loaded: reader and name.
        backend: decoder, see `temporal.data.Video`.
        isolate: decode in killable processes, so that a broken file cannot take this one along.
        deadline_seconds: with `isolate`: time that one read may take.
        allow_remote: whether URLs are read, see `temporal.data.Video`.
        max_pixels: largest frames that are decoded, see `temporal.data.Video`; None: 4096 x 2304.
        **options: see `Pipeline`.
    """

    kind = "video"
    default_batch_size = 8

    def __init__(
        self,
        loaded: Any,
        *,
        backend: Any = "auto",
        isolate: bool = False,
        deadline_seconds: float = 60.0,
        allow_remote: AllowRemote = False,
        max_pixels: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(loaded, **options)
        self.backend = backend
        self.isolate = isolate
        self.deadline_seconds = deadline_seconds
        self.allow_remote = check_permission(allow_remote)
        if max_pixels is not None:
            check_count("max_pixels", max_pixels, 1)
        self.max_pixels = MAX_PIXELS if max_pixels is None else max_pixels

    def __call__(
        self, inputs: Any, *, top_k: Any = "", column: str | None = None, **options: Any
    ) -> Any:
        """Answer for a video, a list of videos, or lazily a generator or dataset.

        `column` names the videos in tables and rows.

        Returns:
            For one video its predictions, the best first (of a task with a single one, that). A
            video is a path, bytes, an open file, a `VideoPart`, an open `Video` (it stays open), or
            frames: an array or tensor of uint8 with the axes [T, height, width, 3] or [T, 3,
            height, width], or a list of pictures. Rows of tables with times are parts. For a list
            or column of videos, a directory, glob, list file or table a list of these; for other
            iterables a generator.

        Raises:
            TypeError: `inputs` are not inputs.
            ReadingFailed: an input is bad. Use `read` to go on past bad inputs.
        """
        call = self._for_call(**options)
        if getattr(inputs, "ndim", None) == 5:
            inputs = list(inputs)
        held = "one" if are_frames(inputs) else how_many(inputs, "video", column)
        one = held == "one"
        given = [inputs] if one else inputs
        readings = call.read(given, on_error="raise", top_k=top_k, column=column)
        results = map(call._answer, readings)
        if one:
            (result,) = results
            return result
        return list(results) if held == "list" else results

    def read(self, inputs: Any, **options: Any) -> Iterator[Reading]:
        """Read a collection lazily, as `Pipeline.read` does; frames in memory are videos, too."""
        return super().read(with_frames(inputs), **options)

    def _readings(self, *args: Any) -> Iterator[Reading]:
        with self.keep_workers():
            yield from super()._readings(*args)

    @contextmanager
    def keep_workers(self) -> Iterator[None]:
        """Start the decoders' processes once, for all calls of `read` inside, where there are."""
        if not self.isolate or self._open is not Video:
            yield
            return
        # One more for each worker: a video's successor may come before its end is noticed.
        max_open = self._num_in_flight + _DECODE_THREADS
        with DecodePool(_DECODE_THREADS, self.deadline_seconds, max_open=max_open) as pool:
            self._open = pool.open
            try:
                yield
            finally:
                self._open = Video

    _open: Any = Video

    def _trace(self, trace: Trace, source: Any) -> Trace:
        times = source.index.timestamps_seconds - source.index.timestamps_seconds[0]
        return replace(
            trace,
            seconds_per_unit=float(times[-1]) / max(len(times) - 1, 1),
            halted_at_seconds=None if trace.halted_at is None else float(times[trace.halted_at]),
        )

    @property
    def _num_in_flight(self) -> int:
        return 2 * self.batch_size  # while one batch computes, the other decodes

    def _engine(self) -> Engine:
        return Engine(
            self._num_in_flight,
            max_batch_size=self.batch_size,
            num_threads=_DECODE_THREADS,
            deterministic=self.device.type == "cpu",
        )

    def _sources(
        self,
        items: Iterable[tuple[int, Item]],
        pair: Callable[[int, Any], Any],
        fail: Callable[[int, str, Exception], None],
    ) -> Iterator[Any]:
        for position, item in items:
            if item.error is not None:
                fail(position, item.id, ItemError(item.error))
                continue
            is_part = isinstance(item.value, VideoPart)
            if is_part and item.value.is_of_row and self.record.has_spans:
                fail(position, item.id, ItemError(_TIMES_ARE_LABELS))
                continue
            if is_open_source(item.value) and not is_part:
                yield pair(position, Borrowed(item.value, item.id))
                continue
            options: Any = {
                "backend": self.backend,
                "id": item.id,
                "num_threads": max(1, count_cores() // _DECODE_THREADS),  # they read side by side
                "allow_remote": self.allow_remote,
                "max_pixels": self.max_pixels,
            }
            try:
                if is_part:
                    source = item.value.opened_by(self._open, **options)
                else:
                    source = self._open(item.value, **options)
            except Exception as error:  # recorded for this input; the collection goes on
                fail(position, item.id, error)
            else:
                yield pair(position, source)
