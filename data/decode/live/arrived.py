"""What came through a stream, and what became of it: `Arrived`, `Skipped`, `LiveCounts`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from av.packet import Packet

from ..errors import VideoError

LiveState = Literal["opening", "running", "stalled", "ended", "stopped"]
"""`"stalled"`: nothing has come for a while; `"stopped"`: the caller ended it."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Arrived:
    """A coded frame, and when it came."""

    packet: Packet
    """Undecoded; its times are on the stream's clock, which never goes back."""

    pts: int
    """When it is shown, in ticks."""

    dts: int | None
    """No packet that comes later is shown before this; None: not known."""

    is_entry: bool
    """Whether decoding may start here."""

    is_damaged: bool
    """Whether bytes of it are missing."""

    is_shown: bool
    """Whether it makes a frame; False for those that an edit list hides."""

    wall_seconds: float
    """When it came, in seconds since 1970."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """Frames that were let go because reading had fallen behind."""

    frames: int
    """How many."""

    ticks: int
    """The time that they took in the stream."""


@dataclass(kw_only=True, slots=True)
class LiveCounts:
    """What came through a stream so far, and what became of it. Nothing is left out silently."""

    frames: int = 0
    """Coded frames that came."""

    bytes: int = 0
    """Their bytes."""

    keyframes: int = 0
    """Those of them at which decoding may start."""

    windows: int = 0
    """Windows that were given."""

    frames_given: int = 0
    """Frames that were in windows."""

    frames_skipped: int = 0
    """Frames that were let go because reading had fallen behind (`when_behind="skip"`)."""

    skipped_seconds: float = 0.0
    """The time that they took in the stream."""

    frames_undecodable: int = 0
    """Frames that came before a keyframe to start from (at the beginning, after some were skipped,
    or in a GOP that is longer than what may be held)."""

    frames_late: int = 0
    """Frames that came after the window in which they belong was given: timestamps that lie."""

    packets_lost: int = 0
    """Damaged packets. Frames that depend on them cannot be read, and their read says so."""

    clock_breaks: int = 0
    """Places where the source's timestamps were missing or went back: the clock went on evenly."""

    jumps: int = 0
    """Places where they jumped ahead by more than a window: a gap in the recording."""

    jumped_seconds: float = 0.0
    """The time that was jumped over."""

    stalls: int = 0
    """Times that nothing came for `stall_seconds`."""

    stalled_seconds: float = 0.0
    """How long nothing came, in all stalls that are over."""

    fault: VideoError | None = None
    """Why the stream ended before its end; None: it did not, or was stopped."""
