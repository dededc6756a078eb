"""One decode: a decoder that is fed packet after packet, and the frames that come out of it.

A frame that refers to a damaged picture looks like any other, and may come out before the picture
that shows the damage. So a frame is good only when all those fed before it are out and whole (see
`damage`); mostly that is so when it comes, and no packet more is decoded for it.
"""

from __future__ import annotations

from collections.abc import Sequence

import av.error
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from ..errors import VideoError
from ..files.container import Opened
from ..headers.rows import rows_check
from ..packets.cursor import open_cursor
from ..packets.index import VideoIndex
from ..packets.runs import Run
from ..pictures.sink import FrameSink
from .damage import Damage
from .flight import Flight
from .once import is_header
from .primer import needs_beginning, show_beginning

_MAX_SPARED = 8  # frames kept as the decoder made them


class Decoding:
    """Feeds the decoder of one open video.

    Args:
        opened: The open container; closed by `close`.
        index: Its index.
        max_pixels: Largest frame that is decoded.
    """

    entry: int | None
    """The packet where the running decode began; None: it must begin anew."""

    drained_at: tuple[int, int] | None
    """(entry, next packet) of a decode that was flushed."""

    damage: Damage
    """What is known to be broken since the entry."""

    def __init__(self, opened: Opened, index: VideoIndex, *, max_pixels: int) -> None:
        self.frames_decoded = 0
        self.bytes_read = 0
        self.entry = None
        self.drained_at = None
        self._spared: dict[int, tuple[int, VideoFrame]] = {}  # frame index -> packet, frame
        self.damage = Damage(index)
        self._cursor = open_cursor(opened, index, max_pixels=max_pixels)
        self._name = opened.checked.name
        self._index = index
        self._max_pixels = max_pixels
        self._flight = Flight(index)
        self._last_fed = -1  # the latest packet that the decoder took
        self._num_out = 0  # frames out since the entry
        self._last_out = -1  # the latest of them
        self._discards = True
        self._is_primed = not needs_beginning(self._context)
        self._has_all_rows = rows_check(self._context)

    @property
    def _context(self) -> VideoCodecContext:
        return self._cursor.opened.stream.codec_context

    @property
    def _holds_nothing_back(self) -> bool:
        """Whether each packet's frame comes out before the next packet is fed."""
        return self._index.is_ordered and self._context.reorder_depth == 0

    def close(self) -> None:
        """Close the container."""
        self._cursor.close()

    def get_spared(self, frame_index: int) -> VideoFrame | None:
        """Return a frame that came out after those asked for before, if it is known to be good."""
        packet, frame = self._spared.get(frame_index, (-1, None))
        return None if self._flight.doubts(packet) else frame

    def begin(self, packet: int) -> None:
        """Empty the decoder and make `packet` the next one."""
        if packet and not self._is_primed:
            self._cursor.move_to(0)
            first = self._cursor.pull()
            if first is not None:
                show_beginning(self._context, first)
            self._is_primed = True
        if self._context.is_open:
            self._context.flush_buffers()
        self._spared.clear()
        self._last_fed = packet - 1
        self._num_out = 0
        self._last_out = -1
        self.entry = None
        self.drained_at = None
        self._flight.begin(packet)
        self.damage.begin(packet)
        self._cursor.move_to(packet)
        self.entry = packet

    def goes_on(self, run: Run, missing: set[int]) -> bool:
        """Whether the running decode leads to these frames."""
        if self.entry is None or not self.entry <= run.first_packet <= self._cursor.next:
            return False
        if not self._index.is_ordered:
            return min(missing) >= self._num_out
        packets = (int(self._index.frame_packets[f]) for f in missing)
        return all(p >= self._cursor.next or p in self._flight for p in packets)

    def run(
        self,
        run: Run,
        missing: set[int],
        sink: FrameSink,
        *,
        keep_place: bool,
        discards: bool = True,
    ) -> int | None:
        """Feed the run's packets, then get the held-back frames; return the packet that failed.

        Args:
            run: The run.
            missing: Its wanted frames; those that come out are struck off.
            sink: Takes them.
            keep_place: Keep the decoder running instead of emptying it at the end.
            discards: Pass over packets that no other frame refers to and whose own is not expected.
        """
        self._discards = discards
        for passed in [f for f in self._spared if f < min(run.frames)]:
            del self._spared[passed]  # reading has gone on
        while (missing or self._flight.is_doubtful) and self._cursor.next <= run.last_packet:
            fault = self._feed(missing, sink)
            if fault is not None:
                self._drain(missing, sink)  # frames before the fault are good: keep them
                self.drained_at = None
                return fault
        self._discards = False  # what lies beyond the run may be read next
        while (missing or self._flight.is_doubtful) and not self._cursor.at_end:
            # A packet that gave no frame puts counting out: go on until the wanted one comes.
            has_lost = self._flight.num_counted > self._context.reorder_depth
            if not (keep_place or has_lost) or self._feed(missing, sink) is not None:
                break
        if missing or self._flight.is_doubtful:
            self._drain(missing, sink)
        return None

    def take_back(self, frames: Sequence[int], missing: set[int], sink: FrameSink) -> None:
        """Make those frames missing again that turned out to refer to a damaged picture."""
        given = [f for f in frames if f not in missing and self._is_tainted(f)]
        sink.num_read -= len(given)
        missing.update(given)
        sink.shelf.drop(f for f in list(sink.shelf.images) if self._is_tainted(f))
        sink.shelf.whole.drop(f for f in sink.shelf.whole if self._is_tainted(f))
        for frame in [f for f in self._spared if self._is_tainted(f)]:
            del self._spared[frame]

    def get_needless(self) -> list[int]:
        """The packets that went wrong since the entry and that no other frame refers to.

        They taint others all the same, once they were decoded: a header that lies misleads the
        decoder. A decode without them is as good as new.
        """
        is_disposable = self._index.packets.is_disposable
        broken = [packet for packet in self.damage.packets if is_disposable[packet]]
        return broken + self._flight.needless_lost

    def _is_tainted(self, frame_index: int) -> bool:
        return self.damage.taints(frame_index) or self._flight.has_lost(frame_index)

    def _feed(self, missing: set[int], sink: FrameSink) -> int | None:
        """Decode the next packet; return its number when the decoder refuses it."""
        number = self._cursor.next
        packet = self._cursor.pull()
        if packet is None:
            return number if number < len(self._index.packets.pts) else None
        if self._discards and self._index.packets.is_disposable[number]:
            frame_index = self._flight.frame_of(number)
            if frame_index not in missing and frame_index not in sink.shelf.missing:
                return None
        if self._index.packets.is_corrupt[number] or not self._has_all_rows(packet):
            return number
        packet.opaque = (number,)  # a new object each time: PyAV keeps them by identity
        self._flight.add(number)
        self.frames_decoded += 1
        self.bytes_read += packet.size
        try:
            frames = self._context.decode(packet)
        except av.error.FFmpegError as error:
            _raise_if_oom(error, self._name)
            if is_header(packet, self._index.codec):
                return None  # it was taken, and refused as a picture
            self.damage.fail(number)  # what it has of this picture may still come out
            return number
        self._last_fed = number
        self._take(frames, missing, sink)
        return None

    def _drain(self, missing: set[int], sink: FrameSink) -> None:
        """Make the decoder give all frames that it holds; its place is lost by this."""
        context = self._context
        try:
            frames = context.decode(None)
            self._take(frames, missing, sink, is_flushed=True)
        except av.error.EOFError:  # already drained at the end of the file
            pass
        except av.error.FFmpegError as error:
            _raise_if_oom(error, self._name)
        if self.entry is not None:
            self.drained_at = (self.entry, self._cursor.next)
        self.entry = None
        self._flight.clear()

    def _take(
        self,
        frames: Sequence[VideoFrame],
        missing: set[int],
        sink: FrameSink,
        *,
        is_flushed: bool = False,
    ) -> None:
        for frame in frames:
            number, index = self._flight.land(frame)
            self.damage.note(number, frame)
            if not self._index.is_ordered:
                index = self._num_out if self._num_out < len(self._index) else -1
                if is_flushed and self._index.frame_packets[index] > self._last_fed:
                    continue  # too early to be counted: one that is not fed may come before it
            self._num_out += 1
            if index < 0 or frame.is_corrupt or self._is_tainted(index):
                continue
            if is_flushed and self._holds_nothing_back:
                continue  # the picture before it once more: there was none in its packet
            if index < self._last_out:
                # Decoders give frames in presentation order, so the index has it wrong.
                raise VideoError(
                    "bad_timestamps",
                    f"{self._name}: frame {index} comes out after frame "
                    f"{self._last_out}: its timestamps are wrong; remux it first",
                    frames_read=sink.num_read,
                )
            self._last_out = index
            is_large = frame.width * frame.height > self._max_pixels
            if index not in missing:
                # Only what its own read would give: after a jump into open GOPs, frames come out
                # that depend on the GOP before.
                is_whole = self.entry is not None and self._index.frame_entries[index] >= self.entry
                if is_large or not is_whole or not self._is_sound(index, frame):
                    continue
                try:
                    kept = sink.pass_by(index, frame)
                except VideoError as error:
                    self._refuse(number, error)
                    continue
                if kept:
                    self._flight.take(number)
                elif is_flushed or not missing:
                    self._spare(index, number, frame)
                continue
            if is_large:
                raise VideoError(
                    "too_large",
                    f"{self._name}: frame {index} has {frame.width}x{frame.height} "
                    f"pixels, more than max_pixels ({self._max_pixels})",
                    frames_read=sink.num_read,
                )
            if not self._is_sound(index, frame):
                continue  # not the frame asked for: it stays missing
            try:
                sink.put(index, frame)
            except VideoError as error:
                self._refuse(number, error)
                continue
            missing.discard(index)
            self._flight.take(number)

    def _refuse(self, packet: int, error: VideoError) -> None:
        """A frame came out that is no image."""
        if error.reason != "corrupt":
            raise error
        self.damage.fail(packet)

    def _spare(self, index: int, packet: int, frame: VideoFrame) -> None:
        """Keep a frame that came out after those asked for."""
        if len(self._spared) < _MAX_SPARED:  # else the first of them are read next
            self._spared[index] = (packet, frame)

    def _is_sound(self, index: int, frame: VideoFrame) -> bool:
        """Whether the frame has the time that its packet announced."""
        if frame.pts is None or not self._index.is_ordered:
            return True
        return bool(frame.pts == self._index.pts[index])


def _raise_if_oom(error: Exception, name: str) -> None:
    if isinstance(error, MemoryError):
        raise VideoError("oom", f"{name}: the decoder has not enough memory") from error
