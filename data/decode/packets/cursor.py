"""A place in the packets of an open video, and moving it: by seeking, where that can be checked."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import av.error
import numpy as np
from av.packet import Packet

from ..errors import VideoError
from ..files.container import Opened, open_container
from .index import VideoIndex
from .order import NO_PTS, clock_breaks

_NEARBY_PACKETS = 16  # reading past so many packets is as fast as a seek
_LOST_PACKETS = 256  # packets that may pass after a seek before we must know where we are

_LOSE_THEMSELVES = frozenset({"matroska", "ogg"})
"""Demuxers that do not go on into the next recording of a joined file after a seek."""


def _is_joined(index: VideoIndex) -> bool:
    """Whether the file is several recordings, one after another, through which none can seek."""
    packets = index.packets
    return index.container in _LOSE_THEMSELVES and bool(
        clock_breaks(packets.pts, packets.dts, packets.is_key).any()
    )


class HeldCursor:
    """A place in packets that are in memory; see `PacketCursor`.

    Args:
        opened: Has them; closed by `close`.
    """

    def __init__(self, opened: Opened) -> None:
        assert opened.held is not None
        self.opened = opened
        self.next = 0
        self._packets = opened.held

    @property
    def at_end(self) -> bool:
        """Whether no packet comes before a move."""
        return self.next >= len(self._packets)

    def close(self) -> None:
        """Let the packets go."""
        self._packets = ()
        self.opened.close()

    def move_to(self, packet: int) -> None:
        """Make this packet the next one."""
        self.next = packet

    def pull(self) -> Packet | None:
        """Take the next packet; None at the end."""
        if self.at_end:
            return None
        self.next += 1
        return self._packets[self.next - 1]


class PacketCursor:
    """Gives a video's packets one by one and always knows the number of the next.

    Where a seek leads is never trusted: the packets that come are looked up in the index. If no
    seek leads to a known place, packets are counted from the start of the file.

    Args:
        opened: The open container; closed by `close`.
        index: Its index.
        max_pixels: Largest frame allowed when the container must be opened again.
    """

    opened: Opened
    """The open container (another one after counting from the start)."""

    next: int
    """Number of the packet that comes next."""

    def __init__(self, opened: Opened, index: VideoIndex, *, max_pixels: int) -> None:
        self.opened = opened
        self.next = 0
        self._index = index
        self._max_pixels = max_pixels
        self._packets: Iterator[Packet] | None = None  # None: nowhere, a seek comes first
        self._can_seek = not (index.must_begin_anew or _is_joined(index))

    @property
    def at_end(self) -> bool:
        """Whether no packet comes before a move."""
        return self._packets is None

    def close(self) -> None:
        """Close the container."""
        self.opened.close()

    def move_to(self, packet: int) -> None:
        """Make this packet the next one."""
        is_ahead = self._packets is not None and self.next <= packet
        is_near = is_ahead and (packet <= self.next + _NEARBY_PACKETS or not self._can_seek)
        # Where something is told once, the decoder must be another one, too.
        if self._index.must_begin_anew or not is_near:
            self._seek(packet)
        while self.next < packet and self.pull() is not None:
            pass

    def _seek(self, packet: int) -> None:
        """Move to `packet` or a little before it, and know where; else count from the start."""
        for timestamp in self._seek_times(packet) if self._can_seek else ():
            try:
                self.opened.container.seek(timestamp, stream=self.opened.stream)
                if self._locate(packet):
                    return
            except (av.error.FFmpegError, IndexError):
                continue  # this kind of seek does not work on this file: the next one may
        self.opened.close()
        self.opened = open_container(
            self.opened.checked,
            max_pixels=self._max_pixels,
            decoder_options=self.opened.decoder_options,
        )
        self._packets, self.next = self._demux(), 0

    def _seek_times(self, packet: int) -> list[int]:
        pts = int(self._index.packets.pts[packet])
        dts = int(self._index.packets.dts[packet])
        # Matroska's index is in presentation time; mp4 and mpeg-ts are searched by decoding time.
        # That of an mp4 has an edit taken off, which leads a whole GOP too far back.
        both = [pts, dts] if self._index.container in ("matroska", "mov") else [dts, pts]
        times = [t for t in dict.fromkeys(both) if t != NO_PTS]
        return [*times, min(times) - round(1 / self._index.time_base)] if times else []

    def _locate(self, packet: int) -> bool:
        """Find out, from the packets that come, which number comes next; accept up to `packet`."""
        known = self._index.packets
        stream = self._demux()
        for come in itertools.islice(stream, _LOST_PACKETS):
            pts = NO_PTS if come.pts is None else come.pts
            same = np.flatnonzero((known.pts == pts) & (known.size_bytes == come.size))
            if len(same) != 1:
                continue  # cut in two by the jump, or not the only one that looks like this
            if same[0] > packet:
                return False
            self._packets, self.next = itertools.chain([come], stream), int(same[0])
            return True
        return False

    def _demux(self) -> Iterator[Packet]:
        packets = self.opened.container.demux(self.opened.stream)
        return (packet for packet in packets if packet.size)

    def pull(self) -> Packet | None:
        """Take the next packet; None at the end of the file."""
        if self._packets is None:
            return None
        try:
            packet = next(self._packets, None)
        except (av.error.FFmpegError, IndexError):  # the latter: damage looks like a new stream
            packet = None
        if packet is None:
            self._packets = None
            return None
        sizes = self._index.packets.size_bytes
        if self.next >= len(sizes) or packet.size != sizes[self.next]:
            self._packets = None
            raise VideoError(
                "corrupt", f"{self.opened.checked.name} changed while it was read; open it again"
            )
        self.next += 1
        return packet


def open_cursor(opened: Opened, index: VideoIndex, *, max_pixels: int) -> PacketCursor | HeldCursor:
    """A cursor at the first packet of an open video, wherever its packets are."""
    if opened.held is not None:
        return HeldCursor(opened)
    return PacketCursor(opened, index, max_pixels=max_pixels)
