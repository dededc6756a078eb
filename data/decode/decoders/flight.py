"""Packets that were fed to a decoder and whose frames have not come out."""

from __future__ import annotations

import numpy as np
from av.video.frame import VideoFrame

from ..packets.index import VideoIndex


class Flight:
    """The packets on their way through a decoder.

    Args:
        index: The video's index.
    """

    def __init__(self, index: VideoIndex) -> None:
        self._index = index
        self._frame_of_packet = np.full(len(index.packets.pts), -1, dtype=np.int64)
        self._frame_of_packet[index.frame_packets] = np.arange(len(index))
        self._packets: set[int] = set()
        self.begin(0)

    def begin(self, entry: int) -> None:
        """Forget everything: decoding begins anew, at this packet."""
        self._entry = entry
        self._latest_taken = -1  # the latest packet whose frame was given or kept
        self._packets.clear()
        self._overtaken: set[int] = set()  # of which frames came out that are shown later

    def __contains__(self, packet: int) -> bool:
        return packet in self._packets

    def frame_of(self, packet: int) -> int:
        """The frame that a packet makes; -1: none."""
        return int(self._frame_of_packet[packet])

    def add(self, packet: int) -> None:
        """A packet is fed."""
        self._packets.add(packet)

    def clear(self) -> None:
        """The decoder was emptied."""
        self._packets.clear()

    def land(self, frame: VideoFrame) -> tuple[int, int]:
        """A frame came out; return its packet and its index by timestamps, -1 where not known."""
        if frame.opaque is not None:
            packet = int(frame.opaque[0])  # type: ignore[index]  # the tuple it was fed with
        else:
            # A decoder that does not carry the mark: its timestamp names it among those fed.
            pts = self._index.packets.pts
            packet = next((n for n in self._packets if pts[n] == frame.pts), -1)
        self._packets.discard(packet)
        self._overtaken.discard(packet)
        frame_index = int(self._frame_of_packet[packet]) if packet >= 0 else -1
        if self._index.is_ordered and frame_index >= 0:
            late = [p for p in self._packets if self._frame_of_packet[p] < frame_index]
            self._overtaken.update(p for p in late if self._is_awaited(p))
            self._packets.difference_update(self._overtaken)
        return packet, frame_index

    def has_lost(self, frame_index: int) -> bool:
        """Whether a picture to which this frame may refer was swallowed by the decoder.

        Decoders give frames in the order in which they are shown: one that was overtaken will not
        come. The decoder found nothing in its packet, or no use for it, and does not say so.
        """
        if not self._overtaken:
            return False
        entry, last = self._index.frame_entries[frame_index], self._index.frame_packets[frame_index]
        return any(entry <= packet <= last for packet in self._overtaken)

    @property
    def needless_lost(self) -> list[int]:
        """Packets whose pictures were swallowed and that no other frame refers to."""
        return [p for p in self._overtaken if self._index.packets.is_disposable[p]]

    @property
    def num_counted(self) -> int:
        """Packets on their way, where frames are found by counting them; else 0."""
        if self._index.is_ordered:
            return 0
        return sum(bool(self._index.packets.is_shown[packet]) for packet in self._packets)

    def take(self, packet: int) -> None:
        """The frame of this packet is given away or kept."""
        self._latest_taken = max(self._latest_taken, packet)

    @property
    def is_doubtful(self) -> bool:
        """Whether a frame was taken that may refer to a picture that is not out yet."""
        return self.doubts(self._latest_taken)

    @property
    def is_awaiting(self) -> bool:
        """Whether a picture that should be whole is not out yet, or will not come out."""
        return bool(self._overtaken) or any(map(self._is_awaited, self._packets))

    def doubts(self, packet: int) -> bool:
        """Whether this packet's frame may refer to a picture that is not out yet."""
        return any(p < packet and self._is_awaited(p) for p in self._packets)

    def _is_awaited(self, packet: int) -> bool:
        """Whether a picture will come out, and is one that decoding from the entry gives whole."""
        if not self._index.is_ordered:
            return bool(self._index.packets.is_shown[packet])
        frame = self._frame_of_packet[packet]
        return bool(frame >= 0 and self._index.frame_entries[frame] >= self._entry)
