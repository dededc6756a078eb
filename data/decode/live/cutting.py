"""Where a stream is cut into windows: spans of time, each with the packets to decode it from.

A window shows the frames with `low <= pts < high`. It ends at a keyframe once it is long enough,
or in the middle of a GOP once it is twice as long. What its frames refer to comes along, hidden::

    packets   I0 P1 P2 P3 | P4 P5 P6 | I7 P8 ...       cut after P3, for the GOP is long
    window 0  I0 P1 P2 P3
    window 1 (I0 P1 P2 P3)  P4 P5 P6                   in brackets: to decode from, not shown

A frame that is shown before a packet that came earlier (a B-frame) may still be on its way: a
window ends where all before it have come, as the decoding times say.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from .arrived import Arrived, LiveCounts

Why = Literal["full", "stalled", "skipped", "jump", "ended"]
"""Why a window ends where it does."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Cut:
    """The packets of a window."""

    arrived: tuple[Arrived, ...]
    """In decoding order, from a keyframe on."""

    low: int
    """Ticks of the first frame that is shown."""

    high: int
    """Ticks before which frames are shown."""

    told: int
    """Ticks of the first frame that no window before it had."""

    why: Why
    """Why it ends there."""

    @property
    def frames_told(self) -> int:
        """Frames that it has and no window before it had."""
        return sum(one.is_shown and self.told <= one.pts < self.high for one in self.arrived)


class Cutter:
    """Takes packets as they come, and gives windows.

    Args:
        window_ticks: How long a window is, at least 1.
        max_packets: The most packets that are held.
        max_bytes: The most bytes of packets that are held.
        counts: Is told what is left out.
        tick_seconds: Seconds of a tick.
        overlap: The last frame of a window is the first of the next one, too.
    """

    def __init__(
        self,
        window_ticks: int,
        *,
        max_packets: int,
        max_bytes: int,
        counts: LiveCounts,
        tick_seconds: float,
        overlap: bool = False,
    ) -> None:
        self._window_ticks = max(1, window_ticks)
        self._max_packets, self._max_bytes = max_packets, max_bytes
        self._counts, self._tick_seconds, self._overlap = counts, tick_seconds, overlap
        self._held: list[Arrived] = []  # from an entry on
        self._held_bytes = 0
        self._entries: list[int] = []  # times of keyframes that are held and not shown
        self._first = 0  # of the keyframe where this began
        self._low: int | None = None  # the next window begins there
        self._told = 0  # all before it was in a window
        self._latest: int | None = None  # of the times that were shown or will be
        self._safe: int | None = None  # no packet that comes is shown up to this
        self._needs_entry = True

    def add(self, one: Arrived) -> list[Cut]:
        """Take the next packet; return the windows that end before it, or with it."""
        cuts: list[Cut] = []
        if one.dts is not None and self._jumps(one.dts):
            cuts += self._cut(self._end(), "jump")
            self._low = self._told = one.dts
        if self._needs_entry and not one.is_entry:
            self._counts.frames_undecodable += 1
            return cuts
        self._needs_entry = False
        if self._low is None:
            self._low = self._first = self._told = one.pts
        if one.pts < self._first:
            self._counts.frames_undecodable += 1  # it refers to what came before the keyframe
            return cuts
        if one.pts < self._told:
            self._counts.frames_late += 1  # kept: others may refer to it
        if one.is_entry:
            self._entries.append(one.pts)
        self._held.append(one)
        self._held_bytes += one.packet.size
        self._latest = one.pts if self._latest is None else max(self._latest, one.pts)
        self._safe = one.dts if one.dts is not None else self._safe
        cuts += self._full()
        if len(self._held) >= self._max_packets or self._held_bytes >= self._max_bytes:
            cuts += self._relieve()
        return cuts

    def stall(self) -> list[Cut]:
        """Nothing comes: give the frames that are whole so far."""
        return [] if self._safe is None else self._cut(self._safe + 1, "stalled")

    def skip(self) -> list[Cut]:
        """What comes next lies after frames that were let go."""
        cuts = self._cut(self._end(), "skipped")
        self._begin_anew()
        return cuts

    def finish(self) -> list[Cut]:
        """The stream is over: give what is left."""
        return self._cut(self._end(), "ended")

    def _end(self) -> int:
        return 0 if self._latest is None else self._latest + 1

    def _jumps(self, dts: int) -> bool:
        """Whether the recording has a gap before the packet of this time."""
        if self._safe is None:
            return False
        ticks = dts - self._safe
        if ticks <= self._window_ticks:
            return False
        self._counts.jumps += 1
        self._counts.jumped_seconds += ticks * self._tick_seconds
        return True

    def _full(self) -> list[Cut]:
        """Cut at the latest keyframe, or else in the middle of a GOP."""
        if self._low is None or self._safe is None:
            return []
        wanted = self._low + self._window_ticks
        entry = next((pts for pts in self._entries if wanted <= pts), None)
        if entry is not None:
            return self._cut(entry + self._overlap, "full") if self._safe >= entry else []
        if self._safe >= self._low + 2 * self._window_ticks:
            return self._cut(self._safe + 1, "full")
        return []

    def _cut(self, high: int, why: Why) -> list[Cut]:
        """Give the frames before `high`, if there are any, and keep what later ones refer to."""
        if self._low is None or high <= self._told:
            return []
        cut = Cut(arrived=tuple(self._held), low=self._low, high=high, told=self._told, why=why)
        shown = [one.pts for one in self._held if self._told <= one.pts < high]
        self._told = high
        self._low = max(shown) if self._overlap and shown else high
        self._forget()
        return [cut] if cut.frames_told else []

    def _forget(self) -> None:
        """Let go of packets that no frame from `_low` on refers to."""
        low = self._low
        assert low is not None
        self._entries = [pts for pts in self._entries if pts > low]
        places = [k for k, one in enumerate(self._held) if one.is_entry and one.pts <= low]
        if not places:
            return
        entry = self._held[places[-1]]
        # Frames that are stored after the keyframe and shown before it refer to what came before.
        after = self._held[places[-1] + 1 :]
        self._held = [entry, *(one for one in after if one.pts > entry.pts)]
        self._held_bytes = sum(one.packet.size for one in self._held)

    def _relieve(self) -> list[Cut]:
        """Too much is held: give it, and if the GOP alone is too much, wait for the next one."""
        cuts = self.stall()
        cuts = [replace(cut, why="full") for cut in cuts]
        if len(self._held) >= self._max_packets or self._held_bytes >= self._max_bytes:
            self._counts.frames_undecodable += self._num_unshown()
            self._begin_anew()
        return cuts

    def _num_unshown(self) -> int:
        return sum(one.pts >= self._told for one in self._held)

    def _begin_anew(self) -> None:
        self._held, self._held_bytes, self._entries = [], 0, []
        self._low = self._safe = None
        self._needs_entry = True
