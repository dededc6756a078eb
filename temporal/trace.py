"""What a reader read, skipped and halted, and what that cost: `Trace` and `Cost`."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What happened, counted where it happened. Costs add: `a + b` is the cost of doing both."""

    frames_decoded: int = 0
    """Frames that a decoder produced, those on the way to a wanted frame included."""

    frames_glanced: int = 0
    """Those of `frames_decoded` that were decoded for a glance or for motion vectors; the others
    were decoded for reads. A read of a frame that a glance left on the shelf decodes nothing."""

    bytes_read: int = 0
    """Bytes of the packets that were given to a decoder."""

    layers: int = 0
    """Stages that computed something for this source (a layer, a backbone, a cell step)."""

    macs: int = 0
    """Multiply-accumulates that ran. Papers often call this number "FLOPs"; a FLOP count is twice
    as large."""

    audio_seconds: float = 0.0
    """Seconds of sound that a decoder produced, for a reader that listens; as they are heard, and
    not what a clock measured."""

    decode_seconds: float = 0.0
    """Seconds spent reading units from the source (decoding, resizing, tokenizing)."""

    model_seconds: float = 0.0
    """Seconds of stage computation: this source's rows' share of each joined batch."""

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            **{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        )

    def __sub__(self, before: Cost) -> Cost:
        """What was spent since `before`."""
        return Cost(
            **{f.name: getattr(self, f.name) - getattr(before, f.name) for f in fields(self)}
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """How frames were seen: which, at which size, and which part of them."""

    units: tuple[int, ...]
    """The frames, in the order in which they were seen."""

    is_glance: bool = False
    """They were glanced at, and not read."""

    size: tuple[int, int] | None = None
    """(height, width) to which they were scaled; None: the region's or the video's own."""

    region: tuple[int, int, int, int] | None = None
    """The part that was seen, (top, left, height, width) in pixels of the upright frame; None: the
    whole frame."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """The record of one reading, in order.

    A unit is in exactly one of three states: read (in `read`), skimmed (in `skimmed`: looked at
    with a cheaper computation), or unread. Unread units before the end of the reading were
    skipped; those after it were never reached because the reader halted.
    """

    unit: str
    """What the source is made of: `"frame"`, `"clip"`, `"token"` or `"chunk"`."""

    units_total: int
    """Units in the source."""

    read: tuple[int, ...] = ()
    """Units that were read, in the order in which they were read."""

    skimmed: tuple[int, ...] = ()
    """Units that were skimmed, in order; then those that were glanced at and not read."""

    halted_at: int | None = None
    """The last unit taken when the reader halted with units left; None: it went to the end."""

    exit: int | None = None
    """The exit that answered, counted from 0 (a step for frames and chunks, a layer for depth)."""

    num_exits: int | None = None
    """How many exits the reader has for this source."""

    token_layers: int | None = None
    """Tokens that layers computed, added up over the layers: 10 tokens through 6 layers are 60.
    None where the reader has no layers to count."""

    visual_tokens: int | None = None
    """Tokens that a language model was given of the frames, in the prompt of its last look. None of
    other readers."""

    seconds_per_unit: float | None = None
    """Mean seconds between units; None for sources without a clock (text)."""

    halted_at_seconds: float | None = None
    """Time of `halted_at` in the source; None without a clock or without a halt."""

    preview: str | None = None
    """What a reader that listens chose its frames by: `"sound"`, or `"glances"` of a video that has
    none (that can be had). None of other readers."""

    truncated: bool = False
    """The source was longer than the reader's limit, and the rest was never offered to it."""

    batches_halved: int = 0
    """Batches with rows of it that were computed in parts because they did not fit into memory. The
    last bits of what it was answered may be those of a smaller batch."""

    views: tuple[View, ...] = ()
    """At which sizes and where frames were seen, in order; empty for texts."""

    confidences: tuple[float, ...] = ()
    """The likeliest class's probability at each exit that was computed, in order; empty where the
    reader does not tell it."""

    places: tuple[int, ...] = ()
    """The first units of the spans that were scored one by one, in the order of the source, by a
    reader that finds events; empty of other readers."""

    place_scores: tuple[float, ...] = ()
    """The likeliest label's score in each of `places`, 0 to 1."""

    cost: Cost = Cost()
    """What the reading cost, as counted."""

    @property
    def units_read(self) -> int:
        """Units read in full."""
        return len(self.read)

    @property
    def share_read(self) -> float:
        """Units read in full over units in the source, 0 to 1."""
        return len(self.read) / self.units_total if self.units_total else 0.0

    @property
    def halted(self) -> bool:
        """Whether the reading stopped, over time or over depth, before everything was computed."""
        early = self.exit is not None and self.num_exits is not None
        return self.halted_at is not None or (early and self.exit + 1 < self.num_exits)  # type: ignore[operator]  # both are int when `early`
