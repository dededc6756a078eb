"""Reading forward without an index: constant memory, from sources that may never end.

Packets are held back until one of them is due. If a keyframe comes first, and nothing before it was
due, the packets before it are dropped: decoding can start at the keyframe. So with 2 seconds
between keyframes and a frame wanted every 10 seconds, four of five packets are never decoded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction

import av.error
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from ..decoders.once import carries_once
from ..errors import Reason, VideoError
from ..files.container import Opened, announces_too_much, late_header_error
from ..headers.rows import rows_check
from ..headers.transport import follow
from ..pictures.orientation import UPRIGHT, Orientation, from_frame
from ..pictures.sink import to_image
from .clock import StreamClock
from .due import DueTimes
from .trust import Trust
from .waiting import Waiter, WaitingRoom

_MAX_HELD_PACKETS = 1024
_MAX_HELD_BYTES = 32 * 2**20
_USUAL_FRAME_SECONDS = Fraction(1, 25)  # where the stream does not say


class ForwardReader:
    """Decodes one open video forward and gives the frames that are due.

    Args:
        opened: The open container, at its start; closed by its owner.
        every_seconds: Time from one due frame to the next; 0: every frame.
        size: (height, width) of the images; None: each frame's own.
        max_pixels: Largest frame that is decoded.
    """

    frames_decoded: int
    """Packets that were given to the decoder."""

    bytes_read: int
    """Their bytes."""

    packets_lost: int
    """Packets that were damaged."""

    num_yielded: int
    """Frames that the caller has had; errors say it."""

    def __init__(
        self,
        opened: Opened,
        *,
        every_seconds: float,
        size: tuple[int, int] | None,
        max_pixels: int,
    ) -> None:
        self.frames_decoded = self.bytes_read = self.packets_lost = self.num_yielded = 0
        self._opened = opened
        self._context = opened.stream.codec_context
        self._name = opened.checked.name
        self._size = size
        self._max_pixels = max_pixels
        stream = opened.stream
        assert stream.time_base is not None
        rate = stream.average_rate or stream.guessed_rate
        self.clock = StreamClock(
            Fraction(stream.time_base), 1 / Fraction(rate) if rate else _USUAL_FRAME_SECONDS
        )
        self._due = DueTimes(every_seconds, Fraction(stream.time_base))
        self._is_mov = opened.checked.demuxer == "mov"
        # The AVI demuxer makes presentation times up: frames take the decoding times in order.
        self._counts = opened.checked.demuxer == "avi"
        self._dts: deque[int | None] = deque(maxlen=64)  # of packets whose frames are not out
        self._trust = Trust(self._context)
        self._waiting = WaitingRoom()
        self._has_all_rows = rows_check(self._context)
        self._held: list[Packet] = []
        self._held_bytes = 0
        self._needs_key = True  # nothing to start from has come yet
        self._restarts = False  # what is held begins anew: empty the decoder first
        self._refusal: VideoError | None = None  # of what comes next in the source
        self._fault: Reason | None = None  # of a packet lost since the last frame that was given
        self._reformatter = VideoReformatter()
        self._orientation: Orientation | None = None  # the first frame tells
        # Where an index finds it, too: in headers, and in messages of these codecs.
        self._may_be_turned = self._context.name in ("h264", "hevc")
        self._may_be_turned |= opened.checked.demuxer in ("mov", "matroska")

    def frames(self) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        """Yield (seconds, uint8 [3, height, width]) of the frames that are due.

        Raises:
            VideoError: `truncated` or `corrupt` at the end, when frames were lost after the last
                that was given; `too_large`; `truncated_header` when there was no frame at all.
        """
        num_packets = 0
        for packet, is_damaged, is_after_a_gap in self._marked():
            num_packets += 1
            if is_damaged or not self._has_all_rows(packet):
                yield from self._lose("truncated")
                continue
            if is_after_a_gap:
                yield from self._restart()
            self.clock.follow(packet)
            if self._hold(packet):
                yield from self._decode_held()
        if self._needs_key and not self.packets_lost:
            yield from self._decode_held()  # no packet says that it is a keyframe: try them all
        yield from self._drained()
        if self._refusal is not None:
            self._refusal.frames_read = self.num_yielded
            raise self._refusal
        if self._is_mov:
            announced = len(self._opened.stream.index_entries)
            self._fault = "truncated" if announced > num_packets else self._fault
        if self._fault == "truncated" and announces_too_much(self._opened):
            raise self._error("corrupt", "a frame is announced that is larger than the file")
        if self._due.origin is None and self._is_mov and not self._opened.checked.is_seekable:
            raise late_header_error(self._opened.checked)
        if self._fault is not None:
            raise self._error(self._fault, "its end, or frames before it, cannot be decoded")
        if self._due.origin is None:
            raise self._error("truncated_header", "a video header and not one whole frame")

    def _marked(self) -> Iterator[tuple[Packet, bool, bool]]:
        """Packets, whether each is damaged, and whether others may be lost before it."""
        checked = self._opened.checked
        if checked.demuxer != "mpegts":
            return ((packet, packet.is_corrupt, False) for packet in self._packets())
        open_file = checked.open_file if checked.is_seekable else None
        return follow(self._packets(), open_file, self._opened.stream.id)

    def _packets(self) -> Iterator[Packet]:
        packets = self._opened.container.demux(self._opened.stream)
        try:
            yield from (packet for packet in packets if packet.size)
        except (av.error.FFmpegError, IndexError) as error:  # the latter: damage like a new stream
            if isinstance(error, MemoryError) and not announces_too_much(self._opened):
                raise self._error("oom", "the demuxer has not enough memory") from error
            self._fault = "truncated"
        except VideoError as error:  # of a bomb in its way
            self._refusal = error

    # Which packets are decoded

    def _hold(self, packet: Packet) -> bool:
        """Hold a packet back; return whether it is time to decode what is held."""
        if packet.is_keyframe and (self._begins_at_any or self._can_start_at(packet)):
            self._held.clear()
            self._held_bytes = 0
            self._restarts = True
            self._needs_key = False
        elif self._needs_key and self.packets_lost:
            return False  # its frame depends on one that was lost
        self._held.append(packet)
        self._held_bytes += packet.size
        if len(self._held) >= _MAX_HELD_PACKETS or self._held_bytes >= _MAX_HELD_BYTES:
            self._needs_key = False
            return True
        return not self._needs_key and self._due.includes(self.clock.ticks_of_packet(packet))

    @property
    def _begins_at_any(self) -> bool:
        """Whether a keyframe is waited for, and can be told."""
        return self._needs_key and (not self.packets_lost or self._trust.can_begin_again)

    def _can_start_at(self, keyframe: Packet) -> bool:
        """Whether nothing before this keyframe is wanted any more."""
        if self._counts and self._context.reorder_depth:
            return False  # frames are told apart by counting: none may be left out
        if any(carries_once(held, self._context) for held in self._held):
            return False
        ticks = self.clock.ticks_of_packet(keyframe)
        due = self._due.next
        is_in_time = ticks is not None and due is not None and ticks <= due
        return is_in_time and self._trust.is_entry(keyframe)

    # Decoding

    def _decode_held(self) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        held, self._held, self._held_bytes = self._held, [], 0
        if self._restarts and self._context.is_open:
            yield from self._given(self._waiting.leave())
            self._context.flush_buffers()
            self._trust.begin()
            self._dts.clear()
        self._restarts = False
        for packet in held:
            frames = self._decode(packet)
            if frames is None:
                self._trust.fail(packet)
                yield from self._lose("corrupt")
                return
            yield from self._due_ones(frames)

    def _decode(self, packet: Packet | None) -> list[VideoFrame] | None:
        """Feed the decoder, or drain it; None when it refuses the packet."""
        if packet is not None:
            self.frames_decoded += 1
            self.bytes_read += packet.size
            self._waiting.feed(packet)
            self._dts.append(packet.dts)
        try:
            return self._context.decode(packet)
        except av.error.EOFError:
            return []  # drained already
        except av.error.FFmpegError as error:
            if isinstance(error, MemoryError):
                raise self._error("oom", "the decoder has not enough memory") from error
            return None

    def _lose(self, reason: Reason) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        """A packet is damaged: give the frames before it, and wait for the next keyframe."""
        self.packets_lost += 1
        yield from self._restart()
        self._fault = reason

    def _restart(self) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        """Give the frames that are here, and wait for the next keyframe."""
        yield from self._drained()
        self._held.clear()
        self._held_bytes = 0
        self._needs_key = True

    def _drained(self) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        yield from self._due_ones(self._decode(None))
        yield from self._given(self._waiting.leave())

    def _due_ones(
        self, frames: list[VideoFrame] | None
    ) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        for frame in frames or ():
            ticks = frame.pts
            if self._counts:
                ticks = self._dts.popleft() if self._dts else None
            if self._orientation is None:
                self._orientation = from_frame(frame) if self._may_be_turned else UPRIGHT
            ticks = self.clock.ticks_of_frame(ticks)
            self.packets_lost += frame.is_corrupt
            is_good = self._trust.accepts(frame)
            yield from self._given(self._waiting.enter(frame, ticks, is_good=is_good))

    def _given(self, waiters: Iterable[Waiter]) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        """Give those frames that are good and due; what they refer to is known."""
        for waiter in waiters:
            frame, is_due = waiter.frame, self._due.includes(waiter.ticks)
            if not (waiter.is_good and is_due):
                self._fault = "corrupt" if is_due else self._fault
                continue
            if frame.width * frame.height > self._max_pixels:
                what = f"{frame.width}x{frame.height} pixels, more than max_pixels"
                raise self._error("too_large", f"a frame has {what} ({self._max_pixels})")
            upright = self._orientation or UPRIGHT
            height, width = self._size or upright.stored_size(frame.height, frame.width)
            try:
                image = to_image(frame, height, width, self._reformatter, upright)
            except VideoError as error:
                if error.reason != "corrupt":
                    raise
                self.packets_lost, self._fault = self.packets_lost + 1, "corrupt"
                continue
            self._due.give(waiter.ticks)
            self._fault = None
            yield self.clock.seconds(waiter.ticks), np.ascontiguousarray(image)

    def _error(self, reason: Reason, what: str) -> VideoError:
        return VideoError(reason, f"{self._name}: {what}", frames_read=self.num_yielded)
