"""One decoder that follows runs of packets, and believes only what comes out as the index says."""

from __future__ import annotations

from collections.abc import Sequence

import av.error
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from ..errors import VideoError
from ..files.container import Opened
from ..headers.rows import rows_check
from ..packets.cursor import PacketCursor
from ..packets.index import VideoIndex
from ..packets.runs import Run, decoded_packets
from ..pictures.sink import FrameSink
from .damage import INTRA
from .flight import Flight

_MAX_HELD_BACK = 15  # frames that the H.264 decoder can hold back


class Lane:
    """One decoder, for one thread at a time.

    Args:
        opened: An open container of its own, which nothing was decoded from; closed by `close`.
        index: The video's index.
        max_pixels: Largest frame that is decoded.
        threads: Frames that the decoder works at side by side.
    """

    def __init__(self, opened: Opened, index: VideoIndex, max_pixels: int, threads: int) -> None:
        self.threads = threads
        self.frames_decoded = self.bytes_read = 0
        if threads > 1:
            _use_frame_threads(opened.stream.codec_context, threads)
        self._cursor = PacketCursor(opened, index, max_pixels=max_pixels)
        self._index = index
        self._max_pixels = max_pixels
        self._flight = Flight(index)
        self._has_all_rows = rows_check(self._context)

    @property
    def _context(self) -> VideoCodecContext:
        return self._cursor.opened.stream.codec_context

    def close(self) -> None:
        """Close the container."""
        self._cursor.close()

    def read(self, run: Run, sink: FrameSink) -> bool:
        """Decode a run; return whether all its frames are whole and in the sink."""
        self._sink = sink
        self._missing = set(run.frames)
        self._entry, self._last_out, self._is_first = run.first_packet, -1, True
        packets = self._index.packets
        if packets.is_corrupt[run.first_packet : run.last_packet + 1].any():
            return False
        expected = [f for f in sink.shelf.missing if self._is_within(f, run)]
        numbers = decoded_packets(self._index, run, also=expected)
        if self._context.is_open:
            self._context.flush_buffers()
        self._flight.begin(run.first_packet)
        try:
            self._cursor.move_to(run.first_packet)
            return self._decode(numbers.tolist())
        except (av.error.FFmpegError, VideoError):
            return False  # the careful reader finds out what it is

    def _is_within(self, frame: int, run: Run) -> bool:
        if not 0 <= frame < len(self._index):
            return False  # its own read will say so
        first, last = self._index.frame_entries[frame], self._index.frame_packets[frame]
        return bool(run.first_packet <= first and last <= run.last_packet)

    def _decode(self, numbers: Sequence[int]) -> bool:
        for number in numbers:
            packet = self._cursor.pull()
            while packet is not None and self._cursor.next <= number:
                packet = self._cursor.pull()
            if packet is None or not self._has_all_rows(packet):
                return False
            packet.opaque = (number,)
            self._flight.add(number)
            self.frames_decoded += 1
            self.bytes_read += packet.size
            if not all(map(self._take, self._context.decode(packet))):
                return False
        held_back = self._context.decode(None)
        holds_nothing_back = self.threads == 1 and self._context.reorder_depth == 0
        if held_back and holds_nothing_back:
            return False  # the picture before once more: there was none in the last packet
        if not all(map(self._take, held_back)):
            return False
        return not self._missing and not self._flight.is_awaiting

    def _take(self, frame: VideoFrame) -> bool:
        """Take a frame that came out; return whether it is as the index says."""
        is_first, self._is_first = self._is_first, False
        number, index = self._flight.land(frame)
        if is_first and number == self._entry > 0 and int(frame.pict_type) not in INTRA:
            return False  # the container calls it a keyframe, and it is not one
        if index < 0 or self._index.frame_entries[index] < self._entry:
            return number >= 0  # hidden, or of the GOP before: not to be whole
        is_sound = frame.pts is None or frame.pts == self._index.pts[index]
        is_small = frame.width * frame.height <= self._max_pixels
        if frame.is_corrupt or not (is_sound and is_small) or index < self._last_out:
            return False
        self._last_out = index
        if index in self._missing:
            self._sink.put(index, frame)
            self._missing.discard(index)
        else:
            self._sink.pass_by(index, frame)
        return True


def _use_frame_threads(context: VideoCodecContext, threads: int) -> None:
    """Let a decoder that is not open yet work at several frames side by side.

    It marks a picture as damaged when it is done with it. An H.264 picture that comes out while it
    is still being worked at would come without its mark. So the decoder is made to hold pictures
    back for so long that none can: all but those that wait to be reordered, it holds for two rounds
    of its threads.
    """
    held_back = context.reorder_depth + 2 * threads
    if held_back > _MAX_HELD_BACK:
        return
    context.thread_count = threads
    context.thread_type = "FRAME"
    context.options = {
        **context.options,
        "has_b_frames": str(held_back),
        "err_detect": "explode",
    }
