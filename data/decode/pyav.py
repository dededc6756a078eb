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

import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from .container import MAX_PIXELS, Opened
from .decoding import Decoding
from .errors import VideoError
from .index import VideoIndex
from .plan import Run, leads_on, plan_runs
from .shelf import Shelf
from .sink import FrameSink


class PyavReader:
    """Reads frames of one open video. Not safe for threads: its owner locks.

    Args:
        opened: The open container; the reader closes it.
        index: Its index.
        max_pixels: Largest frame that is decoded.
    """

    backend = "pyav"

    def __init__(self, opened: Opened, index: VideoIndex, *, max_pixels: int = MAX_PIXELS) -> None:
        self._decoding = Decoding(opened, index, max_pixels=max_pixels)
        self._name = opened.checked.name
        self._index = index
        self._failed: dict[int, int] = {}  # entry -> the packet that does not decode from there
        self._failed_alone: dict[int, int] = {}  # frame -> its packet, which no other needs
        self._is_streaming = False
        self._reformatter = VideoReformatter()

    @property
    def frames_decoded(self) -> int:
        """Packets that the decoder was given."""
        return self._decoding.frames_decoded

    @property
    def bytes_read(self) -> int:
        """Bytes of these packets."""
        return self._decoding.bytes_read

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
        self.read_into(
            frame_indices,
            FrameSink(slots=slots, out=out, reformatter=self._reformatter, shelf=shelf),
        )

    def read_into(self, frame_indices: Sequence[int], sink: FrameSink) -> None:
        """Decode frames (ascending, without repeats) into a sink; raises what `read` raises."""
        others = sink.put_kept(frame_indices)
        left = []
        for frame in others:
            spared = self._decoding.get_spared(frame)
            if spared is None:
                left.append(frame)
            else:
                sink.put(frame, spared)
        runs = plan_runs(self._index, left)
        for place, run in enumerate(runs):
            self._read_run(run, sink, is_last=place == len(runs) - 1)

    def close(self) -> None:
        """Close the container."""
        self._decoding.close()

    # One run

    def _read_run(self, run: Run, sink: FrameSink, *, is_last: bool) -> None:
        doomed = [f for f in run.frames if self._known_fault(f) is not None]
        if doomed:
            for rest in plan_runs(self._index, [f for f in run.frames if f < doomed[0]]):
                self._read_run(rest, sink, is_last=False)
            raise self._lost(doomed[0], sink, self._known_fault(doomed[0]))
        missing = set(run.frames)
        resumed = self._enter(run, missing)
        keep_place = is_last and (
            self._is_streaming or leads_on(self._index, run, sink.shelf.missing)
        )
        fault = self._decoding.run(run, missing, sink, keep_place=keep_place)
        self._decoding.take_back(run.frames, missing, sink)
        if not missing:
            return
        if fault is not None and self._index.packets.is_disposable[fault]:
            self._fail_alone(fault, sink)
            for rest in plan_runs(self._index, sorted(missing)):
                self._read_run(rest, sink, is_last=False)
            return
        if fault is not None and not self._decoding.damage.is_of_entry:
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
        if self._decoding.damage.packets and not self._decoding.damage.is_of_entry:
            tainted = [f for f in sorted(missing) if self._decoding.damage.taints(f)]
            if tainted:
                raise self._damaged(tainted[0], sink)
        self._retry(missing, sink, resumed=resumed)

    def _damaged(self, frame: int, sink: FrameSink) -> VideoError:
        """The frame is damaged, or refers to a picture that is, as those after it may."""
        packet = self._decoding.damage.cause(frame)
        assert packet is not None
        if self._index.packets.is_disposable[packet]:
            self._fail_alone(packet, sink)
        else:
            entry = int(self._index.frame_entries[frame])
            self._failed[entry] = min(packet, self._failed.get(entry, packet))
        return self._lost(frame, sink, packet)

    def _fail_alone(self, packet: int, sink: FrameSink) -> None:
        """A packet is damaged that no other frame refers to: only its own is lost."""
        frame = int(np.flatnonzero(self._index.frame_packets == packet)[0])
        self._failed_alone[frame] = packet
        sink.shelf.missing.pop(frame, None)  # it may have been read only because it was expected

    def _known_fault(self, frame: int) -> int | None:
        """The packet on the way to this frame that is known not to decode."""
        if frame in self._failed_alone:
            return self._failed_alone[frame]
        fault = self._failed.get(int(self._index.frame_entries[frame]))
        return fault if fault is not None and fault <= self._index.frame_packets[frame] else None

    def _enter(self, run: Run, missing: set[int]) -> bool:
        """Bring decoder and demuxer to the run; return whether a running decode goes on."""
        if self._decoding.goes_on(run, missing):
            return True
        drained = self._decoding.drained_at
        self._is_streaming = drained is not None and (
            drained[0] <= run.first_packet <= drained[1] <= run.last_packet
            and run.first_packet < drained[1]
        )
        self._decoding.begin(run.first_packet)
        return False

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
                self._decoding.begin(start)
                run = Run(first_packet=start, last_packet=last, frames=(frame,))
                fault = self._decoding.run(run, left, sink, keep_place=False, discards=False)
                self._decoding.take_back(run.frames, left, sink)
                if not left:
                    break
                if self._decoding.damage.taints(frame) and not self._decoding.damage.is_of_entry:
                    raise self._damaged(frame, sink)
                if fault is not None and fault >= entry:
                    self._failed[entry] = fault
                    raise self._lost(frame, sink, fault)
            else:
                raise self._lost(frame, sink, None)

    def _lost(self, frame: int, sink: FrameSink, packet: int | None) -> VideoError:
        self._decoding.entry = None
        seconds = self._index.timestamps_seconds[frame]
        name = self._name
        cut = self._index.fault == "truncated"
        where = "" if packet is None else f": packet {packet} does not decode"
        return VideoError(
            "truncated" if cut else "corrupt",
            f"{name}: frame {frame} (at {seconds:.3f} s) cannot be decoded{where}",
            frames_read=sink.num_read,
        )
