"""`Handle`: what a reader sees of its source while the engine drives it."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

from .source import Source
from .trace import Cost, Trace, View


class ReadRequest:
    """What a reader awaits when it reads units; the engine runs it where it blocks nobody."""

    __slots__ = ("handle", "options", "units")

    def __init__(self, handle: Handle, units: Sequence[int], options: dict[str, Any]) -> None:
        self.handle = handle
        self.units = units
        self.options = options

    def __await__(self) -> Generator[ReadRequest, Any, Any]:
        return (yield self)

    def run(self) -> Any:
        """Read from the source and note what was read."""
        result = self.handle.source.read(self.units, **self.options)
        self.handle.note(read=self.units)
        if self.options:
            self.handle.see(self.units, self.options)
        return result


class PeekRequest(ReadRequest):
    """A request whose units the reader itself notes, as read or as skimmed."""

    __slots__ = ()

    def run(self) -> Any:
        """Read from the source."""
        result = self.handle.source.read(self.units, **self.options)
        if self.options:
            self.handle.see(self.units, self.options)
        return result


class LookRequest(ReadRequest):
    """A request for evidence, which a source of frames gives beside its units."""

    __slots__ = ("look",)

    def __init__(
        self,
        handle: Handle,
        look: str,
        units: Sequence[int] | None,
        options: dict[str, Any],
        *,
        otherwise: Any = None,
    ) -> None:
        super().__init__(handle, () if units is None else units, options)
        source = handle.source
        method = getattr(source, look, otherwise)
        if method is None:
            raise TypeError(
                f"{look}() needs a source of frames (temporal.source.FrameSource): "
                f"{type(source).__name__} {source.id!r} has {source.unit}s and no {look}()"
            )
        self.look = method if units is None else partial(method, units)

    def run(self) -> Any:
        """Ask the source, and note at which units it looked."""
        result = self.look(**self.options)
        self.handle.glanced.extend(int(unit) for unit in self.units)
        if self.options:
            self.handle.see(self.units, self.options, is_glance=True)
        return result


class OpenRequest(ReadRequest):
    """A request that only opens the source (its index), so that its length is known."""

    __slots__ = ()

    def run(self) -> int:
        """Build what the source's length needs."""
        return len(self.handle.source)


_FACTS = {field.name for field in fields(Trace)} - {
    "unit",
    "units_total",
    "views",
    "batches_halved",
    "confidences",
    "cost",
}
"""What a reader may write down."""


class Handle:
    """The engine's handle on a source: what it gives is awaited, and everything is written down.

    `len(handle)`, `handle.cost(units)` and any other attribute are the source's own.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        # What is in memory was paid for when it was made (tokenizing); a decoder is paid by reads.
        self._spent_before = Cost() if source.in_memory else source.spent
        self._read: list[int] = []
        self._skimmed: list[int] = []
        self.glanced: list[int] = []
        self._notes: dict[str, Any] = {}
        self.faults: list[Exception] = []
        self._views: dict[tuple[Any, ...], list[int]] = {}
        self.confidences: list[float] = []
        """The likeliest class's probability at the exits so far."""
        self.said: list[Any] = []
        """Logits `[1, K]` of the exits so far; see `temporal.models.exit_reader`."""
        self.told: list[float] = []
        """How certain those of them are that were asked whether to halt."""
        self._macs = 0.0
        self._model_seconds = 0.0
        self._stages = 0
        self.batches_halved = 0
        """Batches with rows of it that did not fit into memory. Counted by the engine."""

    def __len__(self) -> int:
        return len(self.source)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)

    def open(self) -> OpenRequest:
        """Await this to build the source's index off the engine's thread; returns its length."""
        return OpenRequest(self, (), {})

    def read(self, units: Sequence[int], **options: Any) -> ReadRequest:
        """Await this to read units: `frames = await video.read([0, 12], size=(224, 224))`."""
        return ReadRequest(self, units, options)

    def peek(self, units: Sequence[int], **options: Any) -> ReadRequest:
        """Like `read`, for a reader that decides afterwards whether it reads or skims a unit."""
        return PeekRequest(self, units, options)

    def glance(self, units: Sequence[int], **options: Any) -> LookRequest:
        """Await this to see frames small: `small = await video.glance(range(0, 90, 10))`.

        uint8 `[K, 3, height, width]`, `size=(64, 64)`; see `FrameSource.glance`. Units that are
        glanced at and not read are skimmed ones of the trace.
        """
        return LookRequest(self, "glance", units, {"size": (64, 64), **options})

    def vectors(self, units: Sequence[int]) -> LookRequest:
        """Await this for the motion vectors of frames; they count as glanced at, too."""
        return LookRequest(self, "vectors", units, {})

    def motion(self) -> LookRequest:
        """Await this for how much each frame seems to change, float32 `[N]`; decodes nothing."""
        return LookRequest(self, "motion", None, {})

    def audio(self) -> LookRequest:
        """Await this for the sound of the container, a `temporal.source.Sound`; None: it has none.

        No frame is decoded. Of a source that knows nothing of sound, None as well.
        """
        return LookRequest(self, "audio", None, {}, otherwise=lambda: None)

    def expect(self, units: Sequence[int], **options: Any) -> None:
        """Name frames that may be read later, so that those on the way are kept.

        Not awaited: nothing is decoded now. A source that keeps nothing passes over it.
        """
        expect = getattr(self.source, "expect", None)
        if expect is not None:
            expect(units, **options)

    def note(
        self,
        *,
        read: Iterable[int] = (),
        skimmed: Iterable[int] = (),
        **facts: Any,
    ) -> None:
        """Write down what happened, for the trace.

        Args:
            read: units read in full (`read()` notes its own).
            skimmed: units that got the cheaper computation.
            **facts: other fields of `Trace`, e.g. `halted_at=12, exit=3, num_exits=10`.
        """
        if facts:
            if unknown := facts.keys() - _FACTS:
                raise TypeError(f"note() takes fields of Trace, not {sorted(unknown)}")
            self._notes.update(facts)
        self._read.extend(read)
        self._skimmed.extend(skimmed)

    def see(
        self, units: Iterable[int], options: Mapping[str, Any], *, is_glance: bool = False
    ) -> None:
        """Write down at which size, and which part of them, frames were seen.

        Reads and glances that say so note their own.

        Args:
            units: frame indices.
            options: `size` and `region`, as `FrameSource.read` takes them; others do not matter.
            is_glance: they were glanced at, and not read.
        """
        size, region = (
            None if box is None else tuple(int(side) for side in box)
            for box in (options.get("size"), options.get("region"))
        )
        self._views.setdefault((is_glance, size, region), []).extend(int(unit) for unit in units)

    def fail(self, fault: Exception) -> None:
        """Write down that some units could not be read, though the reader can answer without."""
        self.faults.append(fault)

    def charge(self, macs: float, seconds: float) -> None:
        """Add a share of a stage's batch to this source's cost. Called by the engine."""
        self._macs += macs
        self._model_seconds += seconds
        self._stages += 1

    def trace(self) -> Trace | None:
        """The record so far; None if the source could not even be opened."""
        try:
            units_total = len(self.source)
        except Exception:  # the reader met the same error, and its outcome carries it
            return None
        before, after = self._spent_before, self.source.spent
        cost = Cost(  # field by field: texts take microseconds
            frames_decoded=after.frames_decoded - before.frames_decoded,
            frames_glanced=after.frames_glanced - before.frames_glanced,
            audio_seconds=after.audio_seconds - before.audio_seconds,
            bytes_read=after.bytes_read - before.bytes_read,
            decode_seconds=after.decode_seconds - before.decode_seconds,
            layers=self._stages,
            macs=round(self._macs),
            model_seconds=self._model_seconds,
        )
        # A unit is in one state: what was glanced at and then read counts as read.
        skimmed = self._skimmed
        if self.glanced:
            known = {*self._read, *skimmed}
            skimmed = [*skimmed, *(u for u in dict.fromkeys(self.glanced) if u not in known)]
        views: tuple[View, ...] = ()
        if self._views:
            views = tuple(
                View(units=tuple(units), is_glance=is_glance, size=size, region=region)
                for (is_glance, size, region), units in self._views.items()
            )
        facts = {"truncated": bool(getattr(self.source, "truncated", False)), **self._notes}
        return Trace(
            unit=self.source.unit,
            units_total=units_total,
            read=tuple(self._read),
            skimmed=tuple(skimmed),
            views=views,
            batches_halved=self.batches_halved,
            confidences=tuple(self.confidences),
            cost=cost,
            **facts,
        )
