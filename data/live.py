"""`LiveVideo`: a video that never ends and cannot seek, read window by window as it comes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from temporal.trace import Cost

from .decode.errors import VideoError
from .decode.files.container import MAX_PIXELS, Opened
from .decode.files.sniff import source_name
from .decode.live.arrived import Arrived, LiveCounts, LiveState, Skipped
from .decode.live.cutting import Cut, Cutter
from .decode.live.feed import Feed, Over, WhenBehind
from .decode.live.held import LiveDecoder, decoder_of
from .decode.live.source import open_live
from .decode.packets.motion import MotionHistory
from .live_window import LiveWindow as LiveWindow

_LOOK_SECONDS = 0.2  # so often whoever waits for packets looks whether to stop
_LONGEST_END_SECONDS = 2.0  # a source that was told to end, and does not, is left alone after this


class LiveVideo:
    """A stream: a pipe, standard input, a FIFO, a file object, or a URL.

    Iterating gives `LiveWindow`s, each a source of frames that any reader reads. Packets are taken
    as they come, in a thread, and nothing is decoded but what is read. Memory is bounded: by the
    packets of a window and the GOP before it, and those that wait to be read. What is left out is
    counted in `counts`, and nothing is lost at the end: the last window has the last frame.

        with LiveVideo(sys.stdin.buffer) as live:
            for window in live:
                small = window.glance(window.index.keyframes)
                ...
            print(live.counts)

    Timestamps that go back (joined streams, counters that overflow, an encoder that begins anew) do
    not end it: the clock goes on evenly (`counts.clock_breaks`). Nor do damaged packets
    (`counts.packets_lost`), whose frames cannot be read, or a change of the frames' size.

    Args:
        source: A file object that is read forward (`process.stdout`), the path of a FIFO or a file,
            bytes, or a URL (rtsp, rtmp, udp, tcp, srt, http ...) of an origin that is allowed.
        window_seconds: How long a window is. It ends at the next keyframe after that, or, where
            none comes, once it is twice as long.
        stall_seconds: When nothing came for so long, `state` is `"stalled"`, and what has come is
            given, though the window is not full.
        give_up_seconds: When nothing came for so long, the stream counts as ended; None: never.
        when_behind: What happens when reading falls behind by `max_behind_bytes`. `"wait"`: nothing
            more is taken, so that who writes into a pipe must wait. `"skip"`: whole GOPs that were
            not read are let go, and counted.
        max_behind_bytes: The most bytes of packets that wait to be read; as many may be held.
        overlap: The last frame of a window is the first of the next one, too: for readers that look
            at the spans between two frames, of which none is to be missed.
        id: The stream's name in results; the file object's by default.
        max_pixels: Refuse frames that have more pixels (default 4096 x 2304).
        allow_remote: Origins of which URLs may be read (`["rtsp://camera.local:554"]`).
        stop: Stops it once its `is_set()` is true, as `stop()` does: a `threading.Event`, say.

    Raises:
        ValueError: A number is out of its range.
    """

    counts: LiveCounts
    """What came so far, and what became of it."""

    state: LiveState
    """What the stream does now."""

    overlap: bool
    """Whether the last frame of a window is the first of the next one."""

    def __init__(
        self,
        source: Any,
        *,
        window_seconds: float = 4.0,
        stall_seconds: float = 5.0,
        give_up_seconds: float | None = None,
        when_behind: WhenBehind = "wait",
        max_behind_bytes: int = 64 * 2**20,
        overlap: bool = False,
        id: str | None = None,
        max_pixels: int = MAX_PIXELS,
        allow_remote: Sequence[str] = (),
        stop: Any = None,
    ) -> None:
        numbers = {"window_seconds": window_seconds, "stall_seconds": stall_seconds}
        numbers |= {"give_up_seconds": give_up_seconds} if give_up_seconds is not None else {}
        for name, number in numbers.items():
            if not 0 < number < float("inf"):
                raise ValueError(f"{name} ({number}) must be > 0 and finite")
        if when_behind not in ("wait", "skip"):
            raise ValueError(f"when_behind ({when_behind!r}) must be 'wait' or 'skip'")
        if max_behind_bytes < 1:
            raise ValueError(f"max_behind_bytes ({max_behind_bytes}) must be >= 1")
        if isinstance(allow_remote, str | bool):
            raise TypeError(
                f"allow_remote ({allow_remote!r}) must be a list of origins such as "
                "['rtsp://camera.local:554']"
            )
        self.id = _name_of(source) if id is None else id
        self.counts, self.state = LiveCounts(), "opening"
        self._window_seconds, self._stall_seconds = window_seconds, stall_seconds
        self._give_up = give_up_seconds
        self._max_bytes, self._max_pixels, self.overlap = max_behind_bytes, max_pixels, overlap
        self._max_packets_waiting = _MAX_PACKETS
        self._has_looked = False
        self._stop = threading.Event() if stop is None else stop
        self._tick_seconds = 0.0
        self._is_stopped = threading.Event()
        self._feed: Feed | None = None
        self._start_feed = lambda: Feed(
            lambda: open_live(
                source,
                is_stopped=self._is_stopped,
                allow_remote=allow_remote,
                max_pixels=max_pixels,
            ),
            counts=self.counts,
            is_stopped=self._is_stopped,
            when_behind=when_behind,
            max_packets=self._max_packets_waiting,
            max_bytes=max_behind_bytes,
        )
        self._start_ticks: int | None = None
        self._decoder: LiveDecoder | None = None
        self._history = MotionHistory()

    @property
    def spent(self) -> Cost:
        """What reading its windows cost so far."""
        return Cost() if self._decoder is None else self._decoder.spent

    @property
    def frames_per_second(self) -> float | None:
        """The usual rate, as the stream says; None before it is open."""
        return None if self._decoder is None else float(1 / self._decoder.frame_seconds)

    @property
    def start_seconds(self) -> float:
        """Time of the first frame, on the stream's clock; 0 before there is one."""
        if self._start_ticks is None or self._decoder is None:
            return 0.0
        return float(self._start_ticks * self._decoder.time_base)

    @property
    def num_waiting(self) -> int:
        """Packets that came and were not looked at yet: how far reading is behind."""
        return 0 if self._feed is None else self._feed.num_waiting

    def stop(self) -> None:
        """Take nothing more: the iteration gives what has come, and ends.

        Any thread may call it, and a signal's handler.
        """
        self._stop.set()

    def __iter__(self) -> Iterator[LiveWindow]:
        """Give windows as they end.

        Raises:
            VideoError: The source cannot be opened, or its packets have no times.
            RuntimeError: It was iterated over before: a stream is read once.
        """
        if self._feed is not None:
            raise RuntimeError(f"{self.id} is a stream, and is read once: it was begun before")
        self._feed = self._start_feed()
        return self._windows(self._feed)

    def _windows(self, feed: Feed) -> Iterator[LiveWindow]:
        cutter: Cutter | None = None
        try:
            for came in self._arriving(feed):
                if cutter is None and feed.opened is not None and came is not None:
                    cutter = self._begin(feed.opened)
                if cutter is None:
                    continue
                if isinstance(came, Arrived):
                    if came.is_entry and not self._has_looked:
                        self._look(came)
                    cuts = cutter.add(came)
                elif isinstance(came, Skipped):
                    self.counts.frames_skipped += came.frames
                    self.counts.skipped_seconds += came.ticks * self._tick_seconds
                    cuts = cutter.skip()
                else:
                    cuts = cutter.stall()
                yield from map(self._window, cuts)
            if cutter is not None:
                yield from map(self._window, cutter.finish())
            self.state = "stopped" if self._stop.is_set() else "ended"
        finally:
            self.close()

    def _arriving(self, feed: Feed) -> Iterator[Arrived | Skipped | None]:
        """What comes; None once when nothing came for a while."""
        heard_at, is_stalled, gave_up = time.monotonic(), False, False
        while True:
            if self._stop.is_set() and not self._is_stopped.is_set():
                feed.stop()
            came = feed.take(_LOOK_SECONDS)
            silent_seconds = time.monotonic() - heard_at
            if came is not None:
                self.counts.stalled_seconds += silent_seconds if is_stalled else 0.0
                if isinstance(came, Over):
                    self._take_error(came.error)
                    return
                heard_at, is_stalled = time.monotonic(), False
                self.state = "running"
                yield came
                continue
            is_over = self._is_stopped.is_set()
            if is_over and silent_seconds >= _LONGEST_END_SECONDS + (self._give_up or 0) * gave_up:
                return  # its thread waits for a source that cannot be told to end
            if not is_over and not is_stalled and silent_seconds >= self._stall_seconds:
                self.counts.stalls += 1
                self.state, is_stalled = "stalled", True
                yield None
            if not is_over and self._give_up is not None and silent_seconds >= self._give_up:
                what = f"{self.id}: nothing came for {silent_seconds:.1f} s"
                self.counts.fault, gave_up = VideoError("timeout", what), True
                feed.stop()  # what the demuxer holds back comes now

    def _take_error(self, error: Exception | None) -> None:
        """Raise what kept the stream from being read; what ended it early is counted."""
        if error is None:
            return
        if self._decoder is None or not isinstance(error, VideoError | OSError):
            raise error
        if not isinstance(error, VideoError):  # of the pipe, or of the network
            error = VideoError("truncated", f"{self.id}: it breaks off: {error}")
        self.counts.fault = error

    def _begin(self, opened: Opened) -> Cutter:
        decoder = self._decoder = decoder_of(opened, self._max_pixels)
        self._tick_seconds = float(decoder.time_base)
        return Cutter(
            round(self._window_seconds / decoder.time_base),
            max_packets=_MAX_PACKETS,
            max_bytes=self._max_bytes,
            counts=self.counts,
            tick_seconds=self._tick_seconds,
            overlap=self.overlap,
        )

    def _look(self, first: Arrived) -> None:
        """See from the first keyframe how frames lie, and of which size they are."""
        assert self._decoder is not None
        self._has_looked = True
        self._decoder.look(first.packet)

    def _window(self, cut: Cut) -> LiveWindow:
        assert self._decoder is not None
        if self._start_ticks is None:
            self._start_ticks = min(one.pts for one in cut.arrived if one.pts >= cut.low)
        window = LiveWindow(
            cut, self._decoder, self._history, name=self.id, number=self.counts.windows
        )
        self.counts.windows += 1
        self.counts.frames_given += cut.frames_told
        return window

    def close(self) -> None:
        """Let go of the source. Windows that were given can still be read."""
        feed = self._feed
        if feed is None:
            return
        feed.stop()
        if feed.wait(1.0) and feed.opened is not None:
            feed.opened.close()

    def __enter__(self) -> LiveVideo:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"LiveVideo({self.id!r}, {self.state})"


def _name_of(source: Any) -> str:
    """How results call a stream: a descriptor's number is no name."""
    if isinstance(getattr(source, "name", None), int):
        return "<stream>"
    return source_name(source).partition("?")[0]


_MAX_PACKETS = 4096
"""Packets that are held, and that wait: two or three minutes."""
