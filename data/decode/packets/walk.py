"""What is known of a stream's packets, in decoding order: by demuxing each, or from a list of them.

P packets.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import av.error
import numpy as np
from numpy.typing import NDArray

from ..decoders.once import HAVE_HEADERS, carries_once, is_header
from ..errors import VideoError
from ..files.container import Opened, codec_name
from ..headers.display import orientation_reader
from ..headers.disposable import HAVE_DISPOSABLES, Disposables
from ..headers.gif import is_whole
from ..headers.recovery import recovery_frames
from ..headers.transport import damaged
from ..headers.units import h264_length_bytes
from ..pictures.orientation import UPRIGHT, Orientation
from .listed import Listed, Row, goes_on_to_the_end, list_packets, look_at, reopen
from .order import NO_PTS, Packets, frozen

MAX_PACKETS = 20_000_000
"""More coded frames than this (nine days at 25 a second) is a header that lies."""

_COMPARED = 32
"""Packets at the beginning that are demuxed, though there is a list of all."""


@dataclass(kw_only=True, slots=True)
class Walked:
    """All packets of a stream, and what they say beside their pictures."""

    packets: Packets
    durations: NDArray[np.int64]
    """[P] in the stream's time base; 0: unknown."""
    recoveries: dict[int, int]
    """Keyframes that are not whole -> frames after which the picture is."""
    has_many_slices: bool
    """Whether an H.264 picture was coded in several."""
    fault: str | None
    """`"truncated"` where the file ends early."""
    once: list[int]
    """Packets that carry what is told once."""
    orientation: Orientation
    """As a message before the first picture says."""


@dataclass(kw_only=True, slots=True)
class _Seen:
    """What is collected while packets pass."""

    disposables: Disposables
    rows: list[Row] = field(default_factory=list)
    recoveries: dict[int, int] = field(default_factory=dict)
    once: list[int] = field(default_factory=list)
    orientation: Orientation = UPRIGHT
    fault: str | None = None
    places: list[int] = field(default_factory=list)
    """Of a transport stream: where in the file each packet begins; -1 where that is not known."""


def read_packets(opened: Opened) -> Walked:
    """Read all packets of a freshly opened stream.

    Of a long mp4 of the simple kind, the demuxer's own list and the file's tables say what walking
    through it would, a packet's first bytes excepted, which are read. The list is believed where
    it agrees with the packets that come at the beginning and at the end.

    Raises:
        VideoError: `too_large`.
    """
    listed = list_packets(opened)
    seen = _demuxed(opened, None if listed is None else _COMPARED)
    if listed is not None:
        if seen.rows and NO_PTS not in seen.rows[0] and not seen.once:
            listed = listed.beginning_with(seen.rows[0])
            begins = listed.rows(0, _COMPARED) == seen.rows
            if begins and goes_on_to_the_end(opened, listed):
                looked = look_at(opened, listed)
                if looked is not None:
                    return _from_list(listed, looked, seen)
        reopen(opened)
        seen = _demuxed(opened, None)
    packets, durations = _in_columns(opened, seen)
    return Walked(
        packets=packets,
        durations=durations,
        recoveries=seen.recoveries,
        has_many_slices=seen.disposables.has_many_slices,
        fault="truncated" if packets.is_corrupt.any() else seen.fault,
        once=seen.once,
        orientation=seen.orientation,
    )


def _demuxed(opened: Opened, most: int | None) -> _Seen:
    """What the packets say, or the first of them."""
    codec, extradata = codec_name(opened), opened.stream.codec_context.extradata
    seen = _Seen(disposables=Disposables(codec, extradata))
    rows, disposables = seen.rows, seen.disposables
    append = rows.append
    hides = opened.stream.codec_context.name.startswith(("vp8", "libvpx")) and codec == "vp8"
    read_orientation = orientation_reader(codec, extradata)
    context, has_headers = opened.stream.codec_context, codec in HAVE_HEADERS
    is_h264, is_transport = codec == "h264", opened.checked.demuxer == "mpegts"
    looks = codec in HAVE_DISPOSABLES
    try:
        for packet in opened.container.demux(opened.stream):
            size = packet.size
            if size == 0:  # the demuxer's end mark, or an empty packet: nothing to decode
                continue
            pts, dts = packet.pts, packet.dts
            # A VP8 packet may update a reference and show nothing: bit 4 of its first byte.
            shown = not packet.is_discard and not (hides and not memoryview(packet)[0] & 0x10)
            is_head = has_headers and is_header(packet, codec)
            shown = shown and not is_head
            if (is_head or any(packet.iter_sidedata())) and carries_once(packet, context):
                seen.once.append(len(rows))
            if looks:
                view = memoryview(packet)
                if read_orientation is not None and not rows:
                    seen.orientation = read_orientation(view)
                disposables.look(view)
            if is_h264 and packet.is_keyframe:
                frames = recovery_frames(view, h264_length_bytes(extradata))
                if frames:
                    seen.recoveries[len(rows)] = frames
            if is_transport:
                seen.places.append(-1 if packet.pos is None else packet.pos)
            append(
                (
                    NO_PTS if pts is None else pts,
                    NO_PTS if dts is None else dts,
                    size,
                    packet.is_keyframe,
                    shown,
                    packet.is_corrupt or (codec == "gif" and not is_whole(bytes(packet))),
                    packet.duration or 0,
                )
            )
            if len(rows) == most:
                break
            if len(rows) > MAX_PACKETS:
                told = f"{opened.checked.name} has more than {MAX_PACKETS} packets"
                raise VideoError("too_large", told)
    except (av.error.FFmpegError, IndexError):  # the latter: damage looks like a new stream
        seen.fault = "truncated"
    return seen


def _in_columns(opened: Opened, seen: _Seen) -> tuple[Packets, NDArray[np.int64]]:
    """What was read of each packet as arrays, and the durations; damage in streams is found now."""
    columns = list(zip(*seen.rows, strict=True)) if seen.rows else [()] * 7
    whole = [frozen(np.array(column, dtype=np.int64)) for column in columns[:3]]
    marks = [frozen(np.array(column, dtype=np.bool_)) for column in columns[3:6]]
    if opened.checked.demuxer == "mpegts" and marks[2].any():
        with opened.checked.open_file() as file:
            known = (seen.places, whole[0], marks[0], seen.recoveries)
            marks[2] = frozen(damaged(marks[2], *known, file, opened.stream.id))
    packets = Packets(
        pts=whole[0],
        dts=whole[1],
        size_bytes=whole[2],
        is_key=marks[0],
        is_shown=marks[1],
        is_corrupt=marks[2],
        is_disposable=frozen(seen.disposables.find(marks[0]) & ~marks[2]),
    )
    return packets, np.array(columns[6], np.int64)


def _from_list(listed: Listed, looked: Disposables, seen: _Seen) -> Walked:
    """The same of a list, when the first bytes of each packet have been looked at."""
    packets = Packets(
        pts=frozen(listed.pts),
        dts=frozen(listed.dts),
        size_bytes=frozen(listed.size_bytes),
        is_key=frozen(listed.is_key),
        is_shown=frozen(listed.is_shown),
        is_corrupt=frozen(np.zeros(len(listed.pts), dtype=np.bool_)),
        is_disposable=frozen(looked.find(listed.is_key)),
    )
    return Walked(
        packets=packets,
        durations=listed.durations,
        recoveries={},  # their keyframes would not be whole
        has_many_slices=looked.has_many_slices,
        fault=None,
        once=[],
        orientation=seen.orientation,
    )
