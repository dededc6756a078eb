"""One clock that never goes back, made of timestamps that may.

Recordings are joined, encoders restart and counters overflow: a source that never ends meets all of
it. Whoever waits for a time on the source's own clock then waits for ever.
"""

from __future__ import annotations

from collections import deque
from fractions import Fraction

from av.packet import Packet


class StreamClock:
    """Follows a stream's timestamps and goes on evenly where they cannot be followed.

    A packet whose decoding time is before that of the packet before it (or a keyframe shown before
    what is stored before it) begins a new segment: from there on, all times are shifted so that it
    comes one frame after. The same is done for a frame that would
    come before the one before it. A missing time is one frame after the one before it. A jump
    forward is followed: a recording may well have a gap.

    Args:
        time_base: Seconds per tick of the timestamps.
        frame_seconds: Usual time from one frame to the next.
    """

    breaks: int
    """Places up to the latest frame where the timestamps could not be followed."""

    def __init__(self, time_base: Fraction, frame_seconds: Fraction) -> None:
        self.breaks = 0
        self.time_base = time_base
        self._frame_ticks = max(1, round(frame_seconds / time_base))
        self._packet_shift = 0
        self._frame_shift = 0
        self._last_dts: int | None = None
        self._latest_pts: int | None = None
        self._last_time: int | None = None
        self._is_lost = False
        self._coming: deque[int] = deque(maxlen=64)  # times of breaks whose frames are not out

    def follow(self, packet: Packet) -> bool:
        """Take the next packet in decoding order and write its times on this clock.

        Returns:
            Whether a new segment begins with it.
        """
        by = self._steps_back(packet)
        self._packet_shift += by
        if packet.dts is not None:
            packet.dts += self._packet_shift
            self._last_dts = packet.dts
        if packet.pts is not None:
            packet.pts += self._packet_shift
            self._latest_pts = max(packet.pts, self._latest_pts or packet.pts)
        start = packet.dts if packet.pts is None else packet.pts
        if by and start is not None:
            self._coming.append(start)
        return by != 0

    def _steps_back(self, packet: Packet) -> int:
        """By how many ticks more this packet must be shifted; 0: it goes on from the last."""
        if packet.dts is not None and self._last_dts is not None:
            dts = packet.dts + self._packet_shift
            if dts < self._last_dts:
                return self._last_dts + self._frame_ticks - dts
        # Some have no decoding time. What is stored before a keyframe is shown before it.
        if packet.is_keyframe and packet.pts is not None and self._latest_pts is not None:
            pts = packet.pts + self._packet_shift
            if pts < self._latest_pts:
                return self._latest_pts + self._frame_ticks - pts
        return 0

    def ticks_of_packet(self, packet: Packet) -> int | None:
        """When the packet's frame will be shown, in ticks, after `follow`; None: not known."""
        return None if packet.pts is None else packet.pts + self._frame_shift

    def ticks_of_frame(self, ticks: int | None) -> int:
        """When a frame is shown, on this clock.

        Args:
            ticks: Its timestamp, from a packet that `follow` saw; None where it has none.
        """
        last = self._last_time
        after = 0 if last is None else last + self._frame_ticks
        if ticks is None:
            self.breaks += not self._is_lost
            self._is_lost = True
            time = after
        else:
            time = ticks + self._frame_shift
            self._is_lost = False
            if last is not None and time < last:
                self._frame_shift += after - time
                time = after
                self.breaks += 1
        while self._coming and time >= self._coming[0] + self._frame_shift:
            self._coming.popleft()
            self.breaks += 1
        self._last_time = time
        return time

    def seconds(self, ticks: int) -> float:
        """Ticks in seconds."""
        return float(ticks * self.time_base)
