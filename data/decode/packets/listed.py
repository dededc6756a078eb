"""The packets of a long mp4 as its tables list them, in a part of the time of demuxing each.

A demuxer makes an object of every packet. The file's own tables (`headers.sample_tables`) say where
each lies and when it is shown; what the index wants beside that are the first bytes of packets,
which are read in large blocks.

P packets.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import av.error
import numpy as np
from numpy.typing import NDArray

from ..errors import VideoError
from ..files.container import Opened, codec_name, open_container
from ..headers.disposable import Disposables
from ..headers.sample_tables import SampleTables, read_sample_tables
from ..headers.units import FOUR_BYTES, h264_length_bytes, hevc_length_bytes

_MANY = 512
"""Frames from which on a list saves more than it costs."""
_CODECS = {"h264": h264_length_bytes, "hevc": hevc_length_bytes}
_LENGTH_BYTES = 4
_H264_SLICE, _H264_KEY = 1, 5  # types of units
_HEVC_KEYS, _HEVC_OTHERS = range(16, 24), 32  # slices of keyframes; what is no slice
_BLOCK_BYTES = 1 << 20
_PROBED = 64  # frames that the demuxer's list is asked about

Row = tuple[int, int, int, bool, bool, bool, int]
"""pts, dts, bytes, whether it is a keyframe, shown, damaged; and how long it is shown."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Listed:
    """Packets in decoding order; arrays of length P."""

    places: NDArray[np.int64]
    """Where in the file each begins; ascending."""
    pts: NDArray[np.int64]
    dts: NDArray[np.int64]
    """Both but for what all have in common, before `beginning_with`."""
    size_bytes: NDArray[np.int64]
    is_key: NDArray[np.bool_]
    is_shown: NDArray[np.bool_]
    durations: NDArray[np.int64]

    def beginning_with(self, row: Row) -> Listed:
        """The same, where the first packet is this one."""
        pts, dts = row[0] - int(self.pts[0]), row[1] - int(self.dts[0])
        return replace(self, pts=self.pts + pts, dts=self.dts + dts)

    def rows(self, start: int, stop: int) -> list[Row]:
        """Some of them as demuxing gives them; none is damaged."""
        part = slice(start, stop)
        whole = [one[part].tolist() for one in (self.pts, self.dts, self.size_bytes)]
        marks = [one[part].tolist() for one in (self.is_key, self.is_shown)]
        is_corrupt = [False] * len(whole[0])
        return list(zip(*whole, *marks, is_corrupt, self.durations[part].tolist(), strict=True))


def list_packets(opened: Opened) -> Listed | None:
    """The packets of a freshly opened stream; its place stays at the beginning.

    Returns:
        None: They must be demuxed. The file is short, is none of the simple kind, or was cut.
    """
    checked, stream = opened.checked, opened.stream
    if checked.demuxer != "mov" or checked.path is None or stream.frames < _MANY:
        return None
    codec, extradata = codec_name(opened), stream.codec_context.extradata
    if codec not in _CODECS or _CODECS[codec](extradata) != _LENGTH_BYTES:
        return None
    with checked.open_file() as file:
        tables = read_sample_tables(file, stream.id)
        end = file.seek(0, 2)
    if tables is None or not _go_with(tables, stream.index_entries):
        return None
    places, sizes = tables.places, tables.size_bytes
    if sizes.min() < 1 or (places + sizes).max() > end or (np.diff(places) <= 0).any():
        return None
    if not tables.is_key.any():
        return None
    dts = np.cumsum(tables.durations) - tables.durations
    return Listed(
        places=places,
        pts=dts + tables.offsets,
        dts=dts,
        size_bytes=sizes,
        is_key=tables.is_key,
        is_shown=np.ones(len(dts), dtype=np.bool_),
        durations=tables.durations,
    )


def _go_with(tables: SampleTables, entries: Any) -> bool:
    """Whether the demuxer has the same frames in its list, as far as some of them tell."""
    count = len(tables.places)
    if len(entries) != count:
        return False
    start = entries[0].timestamp
    times = np.cumsum(tables.durations) - tables.durations
    for k in np.unique(np.linspace(0, count - 1, _PROBED).astype(np.int64)).tolist():
        one = entries[k]
        told = (one.pos, one.size, one.timestamp - start, bool(one.is_keyframe))
        known = (tables.places[k], tables.size_bytes[k], times[k], tables.is_key[k])
        if told != known or one.is_discard:
            return False
    return True


def goes_on_to_the_end(opened: Opened, listed: Listed) -> bool:
    """Whether the packets from the last keyframe on come as they are listed."""
    key = int(np.flatnonzero(listed.is_key)[-1])
    rows: list[Row] = []
    try:
        opened.container.seek(int(listed.pts[key]), stream=opened.stream)
        for packet in opened.container.demux(opened.stream):
            if packet.size == 0:
                continue
            if packet.pts is None or packet.dts is None or any(packet.iter_sidedata()):
                return False
            marks = packet.is_keyframe, not packet.is_discard, packet.is_corrupt
            rows.append((packet.pts, packet.dts, packet.size, *marks, packet.duration or 0))
    except (av.error.FFmpegError, IndexError):
        return False
    count = len(listed.pts)
    return 0 < len(rows) <= count and listed.rows(count - len(rows), count) == rows


def reopen(opened: Opened) -> None:
    """Begin anew: what was read of a stream does not go with its list."""
    opened.container.close()
    most = int(opened.stream.codec_context.options["max_pixels"])
    anew = open_container(opened.checked, max_pixels=most, decoder_options=opened.decoder_options)
    opened.container, opened.stream = anew.container, anew.stream


def look_at(opened: Opened, listed: Listed) -> Disposables | None:
    """Look at the first bytes of all packets.

    Returns:
        None: Packets do not say themselves what is listed of them, whether they are keyframes. A
        demuxer looks, too, and may call them otherwise.

    Raises:
        VideoError: `corrupt`: the file was changed meanwhile.
    """
    codec, extradata = codec_name(opened), opened.stream.codec_context.extradata
    looked = Disposables(codec, extradata)
    places, sizes = listed.places, listed.size_bytes
    ends = places + sizes
    with opened.checked.open_file() as file:
        start = 0
        while start < len(places):
            first = int(places[start])
            stop = max(int(np.searchsorted(ends, first + _BLOCK_BYTES, side="right")), start + 1)
            file.seek(first)
            block = file.read(int(ends[stop - 1]) - first)
            if len(block) < ends[stop - 1] - first:
                told = f"{opened.checked.name} changed while it was read; open it again"
                raise VideoError("corrupt", told)
            others = np.flatnonzero(~listed.is_key[start:stop])
            if not _are_plain(
                codec, block, places[start:stop][others] - first, sizes[start:stop][others]
            ):
                return None
            looked.look_at(block, places[start:stop] - first, sizes[start:stop])
            for key in start + np.flatnonzero(listed.is_key[start:stop]):
                at = int(places[key]) - first
                if not _is_whole_key(codec, memoryview(block)[at : at + int(sizes[key])]):
                    return None
            start = stop
    return looked


def _are_plain(
    codec: str, block: bytes, starts: NDArray[np.int64], sizes: NDArray[np.int64]
) -> bool:
    """Whether packets in a block of bytes all begin with a slice of a picture that is no key."""
    if not len(starts):
        return True
    if sizes.min() <= _LENGTH_BYTES:
        return False
    data = np.frombuffer(block, dtype=np.uint8)
    heads = data[starts[:, None] + np.arange(_LENGTH_BYTES + 1)]
    lengths = np.ascontiguousarray(heads[:, :_LENGTH_BYTES]).view(">u4")[:, 0]
    is_whole = (lengths > 0) & (lengths <= sizes - _LENGTH_BYTES)
    kinds = heads[:, _LENGTH_BYTES]
    is_slice = kinds & 31 == _H264_SLICE if codec == "h264" else kinds >> 1 < _HEVC_KEYS.start
    return bool((is_whole & is_slice).all())


def _is_whole_key(codec: str, packet: memoryview) -> bool:
    """Whether a packet's first slice is of a picture that decodes alone, and shows it at once."""
    place = 0
    while place + _LENGTH_BYTES < len(packet):
        (size,) = FOUR_BYTES(packet, place)
        place += _LENGTH_BYTES
        if size < 1 or place + size > len(packet):
            return False
        kind = packet[place] & 31 if codec == "h264" else packet[place] >> 1
        if kind in ((_H264_KEY,) if codec == "h264" else _HEVC_KEYS):
            return True
        if kind < (_H264_KEY if codec == "h264" else _HEVC_OTHERS):
            return False
        place += size
    return False
