"""Exact frame reads through PyAV: jump to a keyframe, decode only what is needed, check each frame.

Every packet that is fed carries its number, and every frame that comes out says which packet made
it, so a frame is identified and never counted on trust. Three things make this cheap:

- *draining*: a decoder holds frames back to reorder them. At the end of a run it is flushed instead
  of being fed packets nobody asked for, so a lone keyframe costs one decoded frame;
- *streaming*: flushing loses the decoder's place. When the next read goes on in the same GOP, the
  GOP is entered once more and from then on the decoder is kept running, so reading a video frame by
  frame decodes it once (plus at most one GOP's beginning). Frames that a flush gives early are
  spared for the next read;
- *keeping*: expected frames that a decode passes go on a shelf until they are read; and if the
  frame that is expected next lies further on in the same GOP, the decoder is kept running at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import av.error
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from .container import MAX_PIXELS, Opened
from .cursor import PacketCursor
from .errors import VideoError
from .index import VideoIndex
from .plan import Run, plan_runs
from .shelf import Shelf
from .sink import FrameSink

_MAX_SPARED = 8  # frames kept from a flush, as the decoder made them


class PyavReader:
    """Reads frames of one open video. Not safe for threads: its owner locks.

    Args:
        opened: The open container; the reader closes it.
        index: Its index.
        max_pixels: Largest frame that is decoded.
    """

    backend = "pyav"

    def __init__(self, opened: Opened, index: VideoIndex, *, max_pixels: int = MAX_PIXELS) -> None:
        self.frames_decoded = 0
        self.bytes_read = 0
        self._cursor = PacketCursor(opened, index, max_pixels=max_pixels)
        self._name = opened.checked.name
        self._index = index
        self._max_pixels = max_pixels
        self._entry: int | None = None  # where the running decode began; None: must begin anew
        self._drained_at: tuple[int, int] | None = None  # (entry, next) of a flushed decode
        self._pending: set[int] = set()  # packets fed whose frames are not out
        self._num_out = 0  # frames out since the entry
        self._last_out = -1  # the latest of them
        self._spared: dict[int, VideoFrame] = {}  # frame index -> frame, from the last flush
        self._failed: dict[int, int] = {}  # entry -> the packet that does not decode from there
        self._is_streaming = False
        self._frame_of_packet = np.full(len(index.packets.pts), -1, dtype=np.int64)
        self._frame_of_packet[index.frame_packets] = np.arange(len(index))
        self._reformatter = VideoReformatter()

    def read(
        self,
        frame_indices: Sequence[int],
        slots: Mapping[int, int],
        out: NDArray[np.uint8],
        shelf: Shelf,
    ) -> None:
        """Decode frames into `out`.

        Args:
            frame_indices: Wanted frames, ascending, without repeats.
            slots: Frame index -> row of `out`.
            out: uint8 [K, 3, height, width], RGB; frames are scaled to its size, upright.
            shelf: Frames expected later; gives those it has, takes those that are passed.

        Raises:
            VideoError: `corrupt` or `truncated`, with `frames_read`, when a wanted frame cannot be
                had; `too_large` when a frame turns out larger than allowed.
        """
        sink = FrameSink(slots=slots, out=out, reformatter=self._reformatter, shelf=shelf)
        others = sink.put_kept(frame_indices)
        spared = [f for f in others if f in self._spared]
        for frame in spared:
            sink.put(frame, self._spared[frame])
        runs = plan_runs(self._index, [f for f in others if f not in self._spared])
        for place, run in enumerate(runs):
            self._read_run(run, sink, is_last=place == len(runs) - 1)

    def close(self) -> None:
        """Close the container."""
        self._cursor.close()

    @property
    def _context(self) -> VideoCodecContext:
        return self._cursor.opened.stream.codec_context

    # One run

    def _read_run(self, run: Run, sink: FrameSink, *, is_last: bool) -> None:
        doomed = [f for f in run.frames if self._known_fault(f) is not None]
        if doomed:
            for rest in plan_runs(self._index, [f for f in run.frames if f < doomed[0]]):
                self._read_run(rest, sink, is_last=False)
            raise self._lost(doomed[0], sink, self._known_fault(doomed[0]))
        missing = set(run.frames)
        resumed = self._enter(run, missing)
        keep_place = is_last and (self._is_streaming or self._leads_on(run, sink.shelf))
        fault = self._decode_run(run, missing, sink, keep_place=keep_place)
        if not missing:
            return
        if fault is not None:
            # Later GOPs of this run do not depend on the packet that failed.
            entries = self._index.frame_entries
            keys = entries[entries <= fault]
            self._failed[int(keys.max(initial=0))] = fault
            beyond = sorted(f for f in missing if entries[f] > fault)
            if len(beyond) < len(missing):
                raise self._lost(min(missing - set(beyond)), sink, fault)
            for later in plan_runs(self._index, beyond):
                self._read_run(later, sink, is_last=False)
            return
        self._retry(missing, sink, resumed=resumed)

    def _known_fault(self, frame: int) -> int | None:
        """The packet on the way to this frame that is known not to decode."""
        fault = self._failed.get(int(self._index.frame_entries[frame]))
        return fault if fault is not None and fault <= self._index.frame_packets[frame] else None

    def _enter(self, run: Run, missing: set[int]) -> bool:
        """Bring decoder and demuxer to the run; return whether a running decode goes on."""
        if self._goes_on(run, missing):
            return True
        drained = self._drained_at
        self._is_streaming = drained is not None and (
            drained[0] <= run.first_packet <= drained[1] <= run.last_packet
            and run.first_packet < drained[1]
        )
        self._begin(run.first_packet)
        return False

    def _goes_on(self, run: Run, missing: set[int]) -> bool:
        if self._entry is None or not self._entry <= run.first_packet <= self._cursor.next:
            return False
        if not self._index.is_ordered:
            return min(missing) >= self._num_out
        packets = (int(self._index.frame_packets[f]) for f in missing)
        return all(p >= self._cursor.next or p in self._pending for p in packets)

    def _leads_on(self, run: Run, shelf: Shelf) -> bool:
        """Whether the next decode for an expected frame would go over this run's packets again."""
        for frame in shelf.missing:
            if not 0 <= frame < len(self._index):
                continue  # its own read will say so
            entry, packet = self._index.frame_entries[frame], self._index.frame_packets[frame]
            if not run.first_packet <= packet <= run.last_packet:  # else this run passes it
                return bool(entry <= run.last_packet < packet)
        return False

    def _decode_run(
        self, run: Run, missing: set[int], sink: FrameSink, *, keep_place: bool
    ) -> int | None:
        """Feed the run's packets, then get the held-back frames; return the packet that failed."""
        while missing and self._cursor.next <= run.last_packet:
            fault = self._feed(missing, sink)
            if fault is not None:
                self._drain(missing, sink)  # frames before the fault are good: keep them
                self._drained_at = None
                return fault
        while missing and keep_place and not self._cursor.at_end:
            if self._feed(missing, sink) is not None:
                break
        if missing:
            self._drain(missing, sink)
        return None

    def _retry(self, missing: set[int], sink: FrameSink, *, resumed: bool) -> None:
        """A frame did not come out where the index says: start earlier, at last from the start.

        This happens when a keyframe is not what it says (the decoder needs a few frames to recover)
        or when the decoder learns the reordering depth late.
        """
        for frame in sorted(missing):
            entry = int(self._index.frame_entries[frame])
            last = int(self._index.frame_packets[frame])
            keys = np.flatnonzero(self._index.packets.is_key[:entry])
            starts = [entry] if resumed else []
            starts += [int(keys[-1])] if len(keys) else []
            for start in dict.fromkeys([*starts, 0]):
                left = {frame}
                self._begin(start)
                run = Run(first_packet=start, last_packet=last, frames=(frame,))
                fault = self._decode_run(run, left, sink, keep_place=False)
                if not left:
                    break
                if fault is not None and fault >= entry:
                    raise self._lost(frame, sink, fault)
            else:
                raise self._lost(frame, sink, None)

    def _lost(self, frame: int, sink: FrameSink, packet: int | None) -> VideoError:
        self._entry = None
        seconds = self._index.timestamps_seconds[frame]
        name = self._name
        cut = self._index.fault == "truncated"
        where = "" if packet is None else f": packet {packet} does not decode"
        return VideoError(
            "truncated" if cut else "corrupt",
            f"{name}: frame {frame} (at {seconds:.3f} s) cannot be decoded{where}",
            frames_read=sink.num_read,
        )

    # Feeding the decoder

    def _feed(self, missing: set[int], sink: FrameSink) -> int | None:
        """Decode the next packet; return its number when the decoder refuses it."""
        number = self._cursor.next
        packet = self._cursor.pull()
        if packet is None:
            return number if number < len(self._index.packets.pts) else None
        if self._index.packets.is_corrupt[number]:
            return number
        packet.opaque = (number,)  # a new object each time: PyAV keeps them by identity
        self._pending.add(number)
        self.frames_decoded += 1
        self.bytes_read += packet.size
        try:
            frames = self._context.decode(packet)
        except av.error.FFmpegError as error:
            _raise_if_oom(error, self._name)
            return number
        self._take(frames, missing, sink)
        return None

    def _drain(self, missing: set[int], sink: FrameSink) -> None:
        """Make the decoder give all frames that it holds; its place is lost by this."""
        context = self._context
        try:
            frames = context.decode(None)
            self._take(frames, missing, sink, spares=True)
        except av.error.EOFError:  # already drained at the end of the file
            pass
        except av.error.FFmpegError as error:
            _raise_if_oom(error, self._name)
        if self._entry is not None:
            self._drained_at = (self._entry, self._cursor.next)
        self._entry = None
        self._pending.clear()

    def _take(
        self,
        frames: Sequence[VideoFrame],
        missing: set[int],
        sink: FrameSink,
        *,
        spares: bool = False,
    ) -> None:
        for frame in frames:
            number = self._number(frame)
            self._pending.discard(number)
            if self._index.is_ordered:
                index = int(self._frame_of_packet[number]) if number >= 0 else -1
            else:
                index = self._num_out
            self._num_out += 1
            if index < 0 or frame.is_corrupt:
                continue
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
                is_whole = (
                    self._entry is not None and self._index.frame_entries[index] >= self._entry
                )
                if is_large or not is_whole or not self._is_sound(index, frame):
                    continue
                kept = sink.pass_by(index, frame)
                if spares and not kept and len(self._spared) < _MAX_SPARED:
                    self._spared[index] = frame
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
            sink.put(index, frame)
            missing.discard(index)

    def _is_sound(self, index: int, frame: VideoFrame) -> bool:
        """Whether the frame has the time that its packet announced."""
        if frame.pts is None or not self._index.is_ordered:
            return True
        return bool(frame.pts == self._index.pts[index])

    def _number(self, frame: VideoFrame) -> int:
        if frame.opaque is not None:
            return int(frame.opaque[0])  # type: ignore[index]  # the tuple that `_feed` attached
        # A decoder that does not carry the mark: its timestamp names it among the packets fed.
        pts = self._index.packets.pts
        return next((n for n in self._pending if pts[n] == frame.pts), -1)

    def _begin(self, packet: int) -> None:
        """Empty the decoder and make `packet` the next one."""
        context = self._context
        if context.is_open:
            context.flush_buffers()
        self._pending.clear()
        self._spared.clear()
        self._num_out = 0
        self._last_out = -1
        self._entry = None
        self._drained_at = None
        self._cursor.move_to(packet)
        self._entry = packet


def _raise_if_oom(error: Exception, name: str) -> None:
    if isinstance(error, MemoryError):
        raise VideoError("oom", f"{name}: the decoder has not enough memory") from error
