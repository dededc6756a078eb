"""`Feed`: a thread that takes packets from a stream as they come, so that the clock is right.

Between it and the reading lies a queue. Where reading falls behind, the queue grows to its limit;
then either the source is made to wait (a pipe can be), or whole GOPs are let go and counted.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import av.error
from av.packet import Packet

from ..errors import VideoError
from ..files.container import Opened, late_header_error
from ..headers.transport import follow
from ..streaming.clock import StreamClock
from ..streaming.trust import Trust
from .arrived import Arrived, LiveCounts, Skipped
from .held import frame_seconds

WhenBehind = Literal["wait", "skip"]

_MOST_FAULTS = 16  # of a demuxer, one after the other, before the stream counts as broken off


@dataclass(frozen=True, slots=True)
class Over:
    """The stream has ended."""

    error: Exception | None = None
    """Why it could not be opened, or was broken off."""


class Feed:
    """Opens a source and takes its packets, in a thread of its own.

    Args:
        open_source: Opens it; called in the thread.
        counts: Is told what comes.
        is_stopped: When it is set, nothing more is taken.
        when_behind: At the limits, let the source wait, or let go of what came first.
        max_packets: The most packets that wait to be read.
        max_bytes: Their most bytes.
    """

    opened: Opened | None
    """The open source; None before it is there."""

    def __init__(
        self,
        open_source: Callable[[], Opened],
        *,
        counts: LiveCounts,
        is_stopped: threading.Event,
        when_behind: WhenBehind,
        max_packets: int,
        max_bytes: int,
    ) -> None:
        self.opened = None
        self._open_source = open_source
        self._counts = counts
        self._is_stopped = is_stopped
        self._skips = when_behind == "skip"
        self._max_packets, self._max_bytes = max_packets, max_bytes
        self._queue: deque[Arrived | Skipped | Over] = deque()
        self._num_bytes = 0
        self._changed = threading.Condition()
        # A source that is silent cannot be told to end: the process must not wait for it.
        self._thread = threading.Thread(target=self._work, name="temporal-live", daemon=True)
        self._thread.start()

    def take(self, timeout_seconds: float) -> Arrived | Skipped | Over | None:
        """Take what came first; None: nothing came for so long."""
        with self._changed:
            if not self._changed.wait_for(lambda: bool(self._queue), timeout_seconds):
                return None
            found = self._queue.popleft()
            if isinstance(found, Arrived):
                self._num_bytes -= found.packet.size
            self._changed.notify_all()
            return found

    @property
    def num_waiting(self) -> int:
        """Packets that came and were not taken."""
        return len(self._queue)

    def stop(self) -> None:
        """Take nothing more from the source; what came is still there to take."""
        self._is_stopped.set()
        with self._changed:
            self._changed.notify_all()

    def wait(self, timeout_seconds: float) -> bool:
        """Wait for the thread; return whether it is at its end."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    # In the thread

    def _work(self) -> None:
        error: Exception | None = None
        try:
            self.opened = self._open_source()
            reader = _Packets(self.opened, self._counts)
            # A pipe ends when it is told to, and the demuxer then gives what it holds back.
            reads_on = self.opened.checked.file is not None and not self.opened.checked.is_seekable
            for arrived in reader:
                self._put(arrived)
                if self._is_stopped.is_set() and not reads_on:
                    break
            error = reader.fault
        except Exception as fault:  # told to whoever reads, who raises it
            error = fault
        with self._changed:
            self._queue.append(Over(error))
            self._changed.notify_all()

    def _put(self, arrived: Arrived) -> None:
        with self._changed:
            if not self._skips:
                self._changed.wait_for(lambda: not self._is_full or self._is_stopped.is_set())
            self._queue.append(arrived)
            self._num_bytes += arrived.packet.size
            if self._skips and self._is_full:
                self._let_go()
            self._changed.notify_all()

    @property
    def _is_full(self) -> bool:
        return len(self._queue) >= self._max_packets or self._num_bytes >= self._max_bytes

    def _let_go(self) -> None:
        """Let go of all before the latest keyframe that waits; of all, where none does."""
        keys = [k for k, one in enumerate(self._queue) if isinstance(one, Arrived) and one.is_entry]
        gone = keys[-1] if keys and keys[-1] > 0 else len(self._queue)
        frames = ticks = 0
        first: int | None = None
        latest = 0
        for _ in range(gone):
            one = self._queue.popleft()
            if isinstance(one, Skipped):
                frames, ticks = frames + one.frames, ticks + one.ticks
            elif isinstance(one, Arrived):
                self._num_bytes -= one.packet.size
                frames += 1
                first = one.pts if first is None else min(first, one.pts)
                latest = max(latest, one.pts)
        if self._queue and isinstance(self._queue[0], Arrived):
            latest = self._queue[0].pts
        span = 0 if first is None else max(0, latest - first)
        self._queue.appendleft(Skipped(frames=frames, ticks=ticks + span))


class _Packets:
    """The packets of a stream, their times on a clock that never goes back.

    Args:
        opened: The open source.
        counts: Is told what comes.
    """

    fault: VideoError | None
    """Why the stream was broken off; None: it ended."""

    def __init__(self, opened: Opened, counts: LiveCounts) -> None:
        self.fault = None
        self._is_untimed = False
        self._opened, self._counts = opened, counts
        context, time_base = opened.stream.codec_context, opened.stream.time_base
        assert time_base is not None
        self._trust = Trust(context)
        self._clock = StreamClock(time_base, frame_seconds(opened))
        self._frame_ticks = max(1, round(frame_seconds(opened) / time_base))
        self._reorder_depth = context.reorder_depth
        self._last = -self._frame_ticks  # when the packet before is shown, in ticks
        self._latest: list[int] = []  # the latest times, of as many frames as may be held back
        self._has_key = False

    def __iter__(self) -> Iterator[Arrived]:
        for packet, is_damaged in self._marked():
            self._counts.frames += 1
            self._counts.bytes += packet.size
            self._counts.packets_lost += is_damaged
            self._counts.clock_breaks += self._clock.follow(packet)
            self._give_time(packet)
            assert packet.pts is not None
            is_entry = packet.is_keyframe and (not self._has_key or self._trust.is_entry(packet))
            is_entry = is_entry and not is_damaged
            self._has_key |= is_entry
            self._counts.keyframes += is_entry
            yield Arrived(
                packet=packet,
                pts=packet.pts,
                dts=self._safe(packet),
                is_entry=is_entry,
                is_damaged=is_damaged,
                is_shown=not packet.is_discard,
                wall_seconds=time.time(),
            )

    def _marked(self) -> Iterator[tuple[Packet, bool]]:
        if self._opened.checked.demuxer == "mpegts":
            marked = follow(self._packets(), None, self._opened.stream.id)
            return ((packet, is_damaged) for packet, is_damaged, _ in marked)
        return ((packet, packet.is_corrupt) for packet in self._packets())

    def _packets(self) -> Iterator[Packet]:
        faults = 0
        while True:
            try:
                for packet in self._opened.container.demux(self._opened.stream):
                    faults = 0
                    if packet.size:
                        yield packet
                return
            except (av.error.FFmpegError, IndexError) as error:  # the latter: damage
                faults += 1
                self._counts.packets_lost += 1
                if not self._counts.frames and self._opened.checked.demuxer == "mov":
                    self.fault = late_header_error(self._opened.checked)
                    return
                if isinstance(error, MemoryError) or faults > _MOST_FAULTS:
                    self.fault = self._error("truncated", f"it breaks off: {error}")
                    return
            except VideoError as error:  # of a bomb in its way
                self.fault = error
                return

    def _give_time(self, packet: Packet) -> None:
        """Give a packet a time that has none, where its place says when it is shown."""
        if self._opened.checked.demuxer == "avi" and packet.dts is not None:
            packet.pts = packet.dts if not self._reorder_depth else None  # it is made up
        if packet.pts is None:
            if self._reorder_depth:
                raise self._error(
                    "bad_timestamps",
                    "its packets do not say when they are shown, and are not stored in that "
                    "order; wrap the stream first (ffmpeg -i ... -c copy -f mpegts -)",
                )
            packet.pts = self._last + self._frame_ticks if packet.dts is None else packet.dts
            self._counts.clock_breaks += packet.dts is None and not self._is_untimed
            self._is_untimed = packet.dts is None
        else:
            self._is_untimed = False
        self._last = packet.pts

    def _safe(self, packet: Packet) -> int | None:
        """Up to when all frames have come."""
        if packet.dts is not None:
            return packet.dts
        if not self._reorder_depth:
            return packet.pts
        assert packet.pts is not None
        heapq.heappush(self._latest, packet.pts)
        return heapq.heappop(self._latest) if len(self._latest) > self._reorder_depth + 1 else None

    def _error(self, reason: Literal["truncated", "bad_timestamps"], what: str) -> VideoError:
        return VideoError(reason, f"{self._opened.checked.name}: {what}")
