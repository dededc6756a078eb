"""Decoding the runs of one read side by side, each in a decoder of its own.

Runs do not depend on each other, so they can be decoded by several threads; and a long run by a
decoder that works at several frames at once. Both are only done here for what is whole. A lane
follows a run and believes its frames only if everything comes out as the index says; whatever does
not is left to the careful reader (`pyav`), which knows what to make of damage.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

import numpy as np

from ..files.container import Opened, open_container
from ..packets.index import VideoIndex
from ..packets.runs import Run, decoded_packets
from ..pictures.sink import FrameSink
from .lane import Lane
from .primer import needs_beginning

_MIN_PIXELS = 2_000_000
"""Pixels that must be decoded for a read to be worth a second decoder: some milliseconds."""

_FRAME_OVERHEAD_PIXELS = 20_000  # what a frame costs beside its pixels
_LONG_RUN = 12
"""Frames of a run from which on a decoder with several threads is faster."""

_HAVE_FRAME_THREADS = frozenset({"h264", "vp9"})
"""Codecs whose decoders can work at several frames and give damaged ones as one thread does. That
of HEVC does not: what it makes of damage then depends on which thread is first."""

_MAX_FRAME_THREADS = 5

_MAX_PIXELS_IN_FLIGHT = 40_000_000
"""Pixels of the frames that all decoders work at: each keeps a dozen and more in memory."""


class Lanes:
    """Decoders of one video that work side by side. Its owner locks.

    Args:
        opened: The open container of the careful reader; it is not used to read.
        index: The video's index.
        max_pixels: Largest frame that is decoded.
        num_threads: Cores that may be used.
    """

    frames_decoded: int
    """Packets that the decoders were given."""

    bytes_read: int
    """Bytes of these packets."""

    def __init__(
        self, opened: Opened, index: VideoIndex, *, max_pixels: int, num_threads: int
    ) -> None:
        self.frames_decoded = self.bytes_read = 0
        self._checked = opened.checked
        self._reorder_depth = opened.stream.codec_context.reorder_depth
        self._index = index
        self._max_pixels = max_pixels
        pixels = max(1, index.width * index.height)
        self._num_threads = max(1, min(num_threads, _MAX_PIXELS_IN_FLIGHT // pixels))
        self._is_possible = index.is_ordered and not index.must_begin_anew
        self._is_possible &= not needs_beginning(opened.stream.codec_context)
        self._lanes: list[Lane] = []

    def are_worth(self, runs: Sequence[Run]) -> bool:
        """Whether lanes read these runs faster than one decoder does."""
        if self._num_threads == 1 or not self._is_possible:
            return False
        frames = [run.last_packet - run.first_packet + 1 for run in runs]
        if len(runs) == 1 and frames[0] < _LONG_RUN:
            return False
        pixels = self._index.width * self._index.height + _FRAME_OVERHEAD_PIXELS
        return sum(frames) * pixels >= _MIN_PIXELS

    def read(self, runs: Sequence[Run], sink: FrameSink) -> list[int]:
        """Decode runs into a sink.

        Args:
            runs: In presentation order; none shares a packet with another.
            sink: Takes the frames of those runs that are whole.

        Returns:
            The wanted frames, ascending, that must be read with more care.
        """
        count = min(self._num_threads, len(runs))
        lanes = self._get_lanes(count, self._count_threads(runs, count))
        waiting = deque(enumerate(runs))
        sinks = [sink.branch(run.frames) for run in runs]
        is_whole = [False] * len(runs)

        def work(lane: Lane) -> None:
            while waiting:
                try:
                    number, run = waiting.popleft()
                except IndexError:  # another lane took the last one
                    return
                is_whole[number] = lane.read(run, sinks[number])

        helpers = [threading.Thread(target=work, args=(lane,)) for lane in lanes[1:]]
        for helper in helpers:
            helper.start()
        try:
            work(lanes[0])
        finally:
            waiting.clear()
            for helper in helpers:
                helper.join()
            for lane in lanes:
                self.frames_decoded += lane.frames_decoded
                self.bytes_read += lane.bytes_read
                lane.frames_decoded = lane.bytes_read = 0
        for branch, whole in zip(sinks, is_whole, strict=True):
            if whole:
                sink.join(branch)
        return [
            f for run, whole in zip(runs, is_whole, strict=True) if not whole for f in run.frames
        ]

    def close(self) -> None:
        """Close all decoders."""
        for lane in self._lanes:
            lane.close()
        self._lanes.clear()

    def _count_threads(self, runs: Sequence[Run], count: int) -> int:
        """How many frames each decoder works at: more than one where others would have no work."""
        threads = min(_MAX_FRAME_THREADS, max(2, self._num_threads // count))
        if self._index.codec not in _HAVE_FRAME_THREADS or len(runs) >= 2 * count:
            return 1
        if not self._index.is_plain:
            return 1  # of slices, fields and partial keyframes, some damage would go unmarked
        # The decoder holds back so many pictures; a run must go on for as long after that.
        least = max(_LONG_RUN, self._reorder_depth + 4 * threads)
        if min(len(decoded_packets(self._index, run)) for run in runs) < least:
            return 1
        if any(map(self._has_leading_frames, runs)):
            return 1  # they refer to the GOP before, which looks like damage
        return threads

    def _has_leading_frames(self, run: Run) -> bool:
        """Whether frames that belong to the GOP before are stored in a run (open GOPs)."""
        packets = self._index.frame_packets
        is_inside = (run.first_packet <= packets) & (packets <= run.last_packet)
        return bool(np.any(self._index.frame_entries[is_inside] < run.first_packet))

    def _get_lanes(self, count: int, threads: int) -> list[Lane]:
        """Return lanes whose decoders have so many threads, opening those that are missing."""
        if self._lanes and self._lanes[0].threads != threads:
            self.close()
        while len(self._lanes) < count:
            opened = self._open()
            self._lanes.append(Lane(opened, self._index, self._max_pixels, threads))
        return self._lanes[:count]

    def _open(self) -> Opened:
        # What a probe finds out is known, but for how far frames are reordered.
        opened = open_container(self._checked, max_pixels=self._max_pixels, is_known=True)
        if opened.stream.codec_context.reorder_depth == self._reorder_depth:
            return opened
        opened.close()
        return open_container(self._checked, max_pixels=self._max_pixels)
