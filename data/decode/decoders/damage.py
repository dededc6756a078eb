"""Which frames of a decode cannot be trusted: those that refer to a picture known to be damaged.

A decoder conceals damage. It marks the picture in which it did, and not those that are predicted
from that picture, which carry the damage on until the next keyframe.
"""

from __future__ import annotations

from av.video.frame import PictureType, VideoFrame

from ..packets.index import VideoIndex

INTRA = frozenset(map(int, (PictureType.I, PictureType.SI, PictureType.BI, PictureType.NONE)))
"""Types of pictures that refer to no other."""


class Damage:
    """What went wrong since a decode began.

    Args:
        index: The video's index.
    """

    packets: list[int]
    """Packets whose pictures are damaged."""

    def __init__(self, index: VideoIndex) -> None:
        self._index = index
        self.begin(0)

    def begin(self, entry: int) -> None:
        """Forget everything: decoding begins anew, at this packet."""
        self.packets = []
        self._entry = entry
        self._is_first = True
        self._is_recovering = False

    @property
    def is_of_entry(self) -> bool:
        """Whether the entry itself is at fault: beginning earlier may help."""
        return self._entry > 0 and self._entry in self.packets

    def fail(self, packet: int) -> None:
        """A packet does not decode."""
        self.packets.append(packet)

    def note(self, packet: int, frame: VideoFrame) -> None:
        """Look at a frame that came out, in the order in which frames come."""
        is_first, self._is_first = self._is_first, False
        is_intra = int(frame.pict_type) in INTRA
        if frame.is_corrupt:
            # A decode that begins where pictures are refreshed bit by bit is marked corrupt until
            # it has them all, and is right from then on.
            self._is_recovering |= is_first and not is_intra
            if not self._is_recovering:
                self.packets.append(packet)
            return
        self._is_recovering = False
        if packet == self._entry > 0 and not is_intra:
            self.packets.append(packet)  # the container calls it a keyframe, and it is not one

    def taints(self, frame_index: int) -> bool:
        """Whether a frame is damaged or may refer to a damaged picture."""
        if not self.packets:
            return False
        if self.is_of_entry:
            return True
        if not self._index.is_ordered:
            # Frames are counted, and how many a damaged stretch gives is not known.
            return bool(min(self.packets) <= self._index.frame_packets[frame_index])
        entry, last = self._index.frame_entries[frame_index], self._index.frame_packets[frame_index]
        return any(entry <= packet <= last for packet in self.packets)
