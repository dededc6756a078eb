"""Exact frame reads through PyAV: jump to a keyframe, decode only what is needed, check each frame.

Every packet that is fed carries its number, and every frame that comes out says which packet made
it, so a frame is identified and never counted on trust. Four things make this cheap:

- *draining*: a decoder holds frames back to reorder them. At the end of a run it is flushed instead
  of being fed packets nobody asked for, so a lone keyframe costs one decoded frame;
- *streaming*: flushing loses the decoder's place. When the next read goes on in the same GOP, the
  GOP is entered once more and from then on the decoder is kept running, so reading a video frame by
  frame decodes it once (plus at most one GOP's beginning). Frames that a flush gives early are
  spared for the next read;
- *lanes*: runs that do not go on from the last read are decoded side by side (see `side_by_side`);
- *keeping*: expected frames that a decode passes go on a shelf until they are read; and if the
  frame that is expected next lies further on in the same GOP, the decoder is kept running at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from ..errors import VideoError
from ..files.container import MAX_PIXELS, Opened
from ..packets.index import VideoIndex
from ..packets.runs import Run, leads_on, plan_runs
from ..pictures.region import Region
from ..pictures.shelf import Shelf
from ..pictures.sink import FrameSink
from .decoding import Decoding
from .side_by_side import Lanes


class PyavReader:
    """Reads frames of one open video. Not safe for threads: its owner locks.

    Args:
        opened: The open container; the reader closes it.
        index: Its index.
        max_pixels: Largest frame that is decoded.
        num_threads: Cores that one read may use.
    """

    backend = "pyav"

    def __init__(
        self,
        opened: Opened,
        index: VideoIndex,
        *,
        max_pixels: int = MAX_PIXELS,
        num_threads: int = 1,
    ) -> None:
        self._decoding = Decoding(opened, index, max_pixels=max_pixels)
        self._lanes = Lanes(opened, index, max_pixels=max_pixels, num_threads=num_threads)
        self._name = opened.checked.name
        self._index = index
        self._failed: dict[int, int] = {}  # entry -> the packet that does not decode from there
        self._failed_alone: set[int] = set()  # damaged packets that no other frame needs
        self._is_streaming = False
        self._reformatter = VideoReformatter()

    @property
    def frames_decoded(self) -> int:
        """Packets that decoders were given."""
        return self._decoding.frames_decoded + self._lanes.frames_decoded

    @property
    def bytes_read(self) -> int:
        """Bytes of these packets."""
        return self._decoding.bytes_read + self._lanes.bytes_read

    def read(
        self,
        frame_indices: Sequence[int],
        slots: Mapping[int, int],
        out: NDArray[np.uint8],
        shelf: Shelf,
        region: Region | None = None,
    ) -> None:
        """Decode frames into `out`.

        Args:
            frame_indices: Wanted frames, ascending, without repeats.
            slots: Frame index -> row of `out`.
            out: uint8 [K, 3, height, width], RGB; frames are scaled to its size, upright.
            shelf: Frames expected later; gives those it has, takes those that are passed.
            region: The part of the frames that `out` has; None: all.

        Raises:
            VideoError: `corrupt` or `truncated`, with `frames_read`, when a wanted frame cannot be
                had; `too_large` when a frame turns out larger than allowed.
        """
        self.read_into(
            frame_indices,
            FrameSink(
                slots=slots,
                out=out,
                reformatter=self._reformatter,
                shelf=shelf,
                orientation=self._index.orientation,
                region=region,
            ),
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
        wanted = left
        if left:
            left = self._read_side_by_side(left, sink)
        ahead = sorted(set(wanted) - set(left))  # read before their turn
        runs = plan_runs(self._index, left)
        for place, run in enumerate(runs):
            try:
                self._read_run(run, sink, is_last=place == len(runs) - 1)
            except VideoError as error:
                error.frames_read -= sum(frame > run.frames[-1] for frame in ahead)
                raise

    def close(self) -> None:
        """Close all containers."""
        self._lanes.close()
        self._decoding.close()

    def _read_side_by_side(self, frame_indices: Sequence[int], sink: FrameSink) -> list[int]:
        """Read frames with several decoders where that is faster; return those that are left."""
        runs = plan_runs(self._index, frame_indices, joins=False)
        first = runs[0]
        reads_on = self._decoding.goes_on(first, set(first.frames)) or self._continues(first)
        will_read_on = leads_on(self._index, runs[-1], sink.shelf.missing)
        if reads_on or will_read_on or not self._lanes.are_worth(runs):
            return list(frame_indices)
        left = self._lanes.read(runs, sink)
        self._decoding.drained_at = (runs[-1].first_packet, runs[-1].last_packet + 1)
        return left

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
        needless = self._decoding.get_needless()
        if needless and (self._may_do_without(needless, sink) or resumed):
            self._decoding.entry = None  # begin anew, and do not decode those
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
        """The frame refers to a damaged picture; those after it in its GOP do, too."""
        entry, last = int(self._index.frame_entries[frame]), int(self._index.frame_packets[frame])
        packet = min(p for p in self._decoding.damage.packets if entry <= p <= last)
        self._failed[entry] = min(packet, self._failed.get(entry, packet))
        return self._lost(frame, sink, packet)

    def _may_do_without(self, packets: Sequence[int], sink: FrameSink) -> bool:
        """Note damaged packets that no others need; return whether one of them was not known."""
        known = len(self._failed_alone)
        self._failed_alone.update(packets)
        for frame in np.flatnonzero(np.isin(self._index.frame_packets, packets)):
            sink.shelf.missing.pop(int(frame), None)  # what was only expected is not tried again
        return len(self._failed_alone) > known

    def _known_fault(self, frame: int) -> int | None:
        """The packet on the way to this frame that is known not to decode."""
        own = int(self._index.frame_packets[frame])
        if own in self._failed_alone:
            return own
        fault = self._failed.get(int(self._index.frame_entries[frame]))
        return fault if fault is not None and fault <= self._index.frame_packets[frame] else None

    def _enter(self, run: Run, missing: set[int]) -> bool:
        """Bring decoder and demuxer to the run; return whether a running decode goes on."""
        if self._decoding.goes_on(run, missing):
            return True
        self._is_streaming = self._continues(run)
        self._decoding.begin(run.first_packet)
        return False

    def _continues(self, run: Run) -> bool:
        """Whether the run goes on in the GOP where the last decode ended."""
        drained = self._decoding.drained_at
        return drained is not None and (
            drained[0] <= run.first_packet <= drained[1] <= run.last_packet
            and run.first_packet < drained[1]
        )

    def _retry(self, missing: set[int], sink: FrameSink, *, resumed: bool) -> None:
        """A frame did not come out where the index says: start earlier, in the end from the start.

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
