"""`VideoIndex`: what a video's packets say, before anything is decoded.

A packet is one coded frame. Reading the packets costs a pass over the file and no decoding, and
gives true counts (a header's may lie), exact times, the keyframes, and so the price of every frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TypeVar

import av.error
import numpy as np
from numpy.typing import NDArray

from ..decoders.once import HAVE_HEADERS, carries_once, is_header
from ..errors import VideoError
from ..files.container import Opened, announces_too_much
from ..headers import boxes
from ..headers.display import orientation_reader
from ..headers.disposable import HAVE_DISPOSABLES, Disposables
from ..headers.gif import is_whole
from ..headers.recovery import recovery_frames
from ..headers.settings import read_settings
from ..headers.settings_hevc import hevc_columns_kept
from ..headers.transport import damaged
from ..headers.units import h264_length_bytes
from ..pictures.orientation import UPRIGHT, Orientation
from .order import NO_PTS, duration_seconds, presentation_order
from .order import Packets as Packets
from .trusted import has_true_keyframes

_Scalar = TypeVar("_Scalar", bound=np.generic)

MAX_PACKETS = 20_000_000
"""More coded frames than this (nine days at 25 a second) is a header that lies."""


@dataclass(frozen=True, kw_only=True, eq=False)
class VideoIndex:
    """The frames of a video, in presentation order, known from packets alone.

    `len(index)` is the number of frames that decoding forward gives.
    """

    timestamps_seconds: NDArray[np.float64]
    """[N] when each frame is shown, in seconds on the container's clock (which may not start at
    0: see `start_seconds`)."""

    pts: NDArray[np.int64]
    """[N] the same in units of `time_base`."""

    keyframes: NDArray[np.int64]
    """[G] indices of the frames that are decoded without any other frame."""

    packet_bytes: NDArray[np.int64]
    """[N] bytes of each frame's packet: a free hint of how much changed."""

    width: int
    """Pixels across, upright."""

    height: int
    """Pixels down, upright."""

    rotation: int
    """Degrees counterclockwise by which stored frames are turned to stand upright: 0, 90, 180 or
    -90. Frames that are read are already turned."""

    is_mirrored: bool
    """Whether left and right of stored frames are exchanged after that. Frames that are read are
    already as they should be."""

    codec: str
    """The codec's name (`"h264"`)."""

    pixel_format: str
    """How the decoder stores pixels (`"yuv420p"`); empty where the header does not say."""

    container: str
    """The demuxer's name (`"mov"` for mp4)."""

    is_progressive: bool
    """Whether all pictures are whole frames, as far as an H.264 header says; True for others."""

    is_plain: bool
    """Whether each packet is one picture that is decoded in one piece: no slices, no fields, and
    keyframes that are whole."""

    video_streams: int
    """Video streams in the file, covers and thumbnails included; one of them is read."""

    time_base: Fraction
    """Seconds per unit of `pts`."""

    start_seconds: float
    """Time of the first frame."""

    duration_seconds: float
    """From the first frame's time to the end of the last."""

    frames_in_header: int
    """What the header claims; 0 where it claims nothing. Never used for counting."""

    has_duration_in_header: bool
    """Whether the header claims a duration; live recordings do not."""

    fault: str | None
    """`"truncated"` where the file ends before its header says; the frames listed are there."""

    packets: Packets
    """The coded frames in decoding order."""

    frame_packets: NDArray[np.int64]
    """[N] the last packet that must be decoded to have this frame (numbers into `packets`)."""

    frame_entries: NDArray[np.int64]
    """[N] the packet at which decoding this frame starts: its keyframe's."""

    is_ordered: bool
    """Whether timestamps tell which packet makes which frame. If not, frames are found by counting
    from the start of the file, and only frame 0 is a keyframe one can jump to."""

    must_begin_anew: bool
    """Whether packets carry what demuxers and decoders are told once (a palette, new headers): no
    decode goes back without opening the file anew."""

    def __len__(self) -> int:
        return len(self.pts)

    @property
    def orientation(self) -> Orientation:
        """How stored frames are made upright: `rotation` and `is_mirrored` in one."""
        return Orientation(self.rotation // 90 % 4, self.is_mirrored)

    @property
    def frames_per_second(self) -> float:
        """Mean frames per second; 0.0 for a single frame without a duration."""
        return len(self) / self.duration_seconds if self.duration_seconds > 0 else 0.0

    @property
    def frame_costs(self) -> NDArray[np.int64]:
        """[N] frames that are decoded to have this one alone, itself included."""
        before = np.concatenate([[0], np.cumsum(~self.packets.is_disposable)])
        return before[self.frame_packets] - before[self.frame_entries] + 1


def build_index(opened: Opened, amend: Callable[[Packets], Packets] | None = None) -> VideoIndex:
    """Read all packets of a freshly opened stream.

    Args:
        opened: The stream.
        amend: Changes what is known of the packets: of a part of a stream that never ends, which
            are shown.

    Raises:
        VideoError: `truncated_header` (a header and no frame), `corrupt` (nor can there be one),
            `bad_timestamps` (no packet has any time) or `too_large`.
    """
    packets, durations, recoveries, has_many_slices, fault, said = _read_packets(opened)
    packets = packets if amend is None else amend(packets)
    stream, checked, context = opened.stream, opened.checked, opened.stream.codec_context
    if not packets.is_shown.any():
        raise VideoError(
            "corrupt" if announces_too_much(opened) else "truncated_header",
            f"{checked.name} has a video header and not one whole frame",
        )
    if checked.demuxer == "mov" and len(stream.index_entries) > len(packets.pts):
        fault = "truncated"
    assert stream.time_base is not None
    time_base = Fraction(stream.time_base)
    rate = stream.average_rate or stream.guessed_rate
    order = presentation_order(
        packets,
        reorder_depth=int(context.reorder_depth),
        has_true_pts=checked.demuxer != "avi",
        recoveries=recoveries,
        once=said.once,
        has_true_keys=has_true_keyframes(context.codec),
        frame_ticks=float(1 / (rate * time_base)) if rate else 0.0,
    )
    if order is None:
        raise VideoError(
            "bad_timestamps", f"{checked.name}: its packets carry no timestamps; remux it first"
        )
    if not order.is_ordered:  # frames are found by counting them, so none may be left out
        packets = replace(packets, is_disposable=_frozen(np.zeros_like(packets.is_disposable)))
    codec = _codec_name(opened)
    settings = read_settings(context.extradata) if codec == "h264" else None
    is_progressive = settings is None or settings.is_progressive
    upright = _orientation(opened)
    upright = said.orientation if upright == UPRIGHT else upright
    kept = settings.columns_kept if settings else hevc_columns_kept(codec, context.extradata)
    height, width = upright.stored_size(context.height, context.width + kept)
    times = order.times.astype(np.float64) * float(time_base)
    return VideoIndex(
        timestamps_seconds=_frozen(times),
        pts=_frozen(order.times),
        keyframes=_frozen(order.keyframes),
        packet_bytes=_frozen(packets.size_bytes[order.own_packets]),
        width=width,
        height=height,
        rotation=upright.degrees,
        is_mirrored=upright.is_mirrored,
        codec=codec,
        pixel_format=opened.pixel_format,
        container=checked.demuxer,
        is_progressive=is_progressive,
        is_plain=is_progressive and not recoveries and not has_many_slices,
        video_streams=len(opened.container.streams.video),
        time_base=time_base,
        start_seconds=float(times[0]),
        duration_seconds=duration_seconds(times, order, durations, time_base),
        frames_in_header=int(stream.frames),
        has_duration_in_header=opened.container.duration is not None,
        fault=fault,
        packets=packets,
        frame_packets=_frozen(order.last_packets),
        frame_entries=_frozen(order.entries),
        is_ordered=order.is_ordered,
        must_begin_anew=bool(said.once),
    )


@dataclass(kw_only=True, slots=True)
class _Said:
    """What packets say beside their pictures."""

    once: list[int] = field(default_factory=list)
    """Packets that carry what is told once."""

    orientation: Orientation = UPRIGHT
    """As a message before the first picture says."""

    places: list[int] = field(default_factory=list)
    """Of a transport stream: where in the file each packet begins; -1 where that is not known."""


def _read_packets(
    opened: Opened,
) -> tuple[Packets, NDArray[np.int64], dict[int, int], bool, str | None, _Said]:
    """Return packets, durations (0: unknown), recovery points, slices?, last fault, things said."""
    rows: list[tuple[int, int, int, bool, bool, bool, int]] = []
    append = rows.append
    fault, said = None, _Said()
    codec, extradata = _codec_name(opened), opened.stream.codec_context.extradata
    hides = opened.stream.codec_context.name.startswith(("vp8", "libvpx")) and codec == "vp8"
    recoveries: dict[int, int] = {}
    read_orientation = orientation_reader(codec, extradata)
    context, has_headers = opened.stream.codec_context, codec in HAVE_HEADERS
    is_h264, is_transport = codec == "h264", opened.checked.demuxer == "mpegts"
    disposables, looks = Disposables(codec, extradata), codec in HAVE_DISPOSABLES
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
                said.once.append(len(rows))
            if looks:
                view = memoryview(packet)
                if read_orientation is not None and not rows:
                    said.orientation = read_orientation(view)
                disposables.look(view)
            if is_h264 and packet.is_keyframe:
                frames = recovery_frames(view, h264_length_bytes(extradata))
                if frames:
                    recoveries[len(rows)] = frames
            if is_transport:
                said.places.append(-1 if packet.pos is None else packet.pos)
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
            if len(rows) > MAX_PACKETS:
                told = f"{opened.checked.name} has more than {MAX_PACKETS} packets"
                raise VideoError("too_large", told)
    except (av.error.FFmpegError, IndexError):  # the latter: damage looks like a new stream
        fault = "truncated"
    packets, lasts = _in_columns(opened, rows, recoveries, disposables, said)
    fault = "truncated" if packets.is_corrupt.any() else fault
    return packets, lasts, recoveries, disposables.has_many_slices, fault, said


def _in_columns(
    opened: Opened,
    rows: list[tuple[int, int, int, bool, bool, bool, int]],
    recoveries: dict[int, int],
    disposables: Disposables,
    said: _Said,
) -> tuple[Packets, NDArray[np.int64]]:
    """What was read of each packet as arrays, and the durations; damage in streams is found now."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * 7
    whole = [_frozen(np.array(column, dtype=np.int64)) for column in columns[:3]]
    marks = [_frozen(np.array(column, dtype=np.bool_)) for column in columns[3:6]]
    if opened.checked.demuxer == "mpegts" and marks[2].any():
        with opened.checked.open_file() as file:
            known = (said.places, whole[0], marks[0], recoveries)
            marks[2] = _frozen(damaged(marks[2], *known, file, opened.stream.id))
    packets = Packets(
        pts=whole[0],
        dts=whole[1],
        size_bytes=whole[2],
        is_key=marks[0],
        is_shown=marks[1],
        is_corrupt=marks[2],
        is_disposable=_frozen(disposables.find(marks[0]) & ~marks[2]),
    )
    return packets, np.array(columns[6], np.int64)


def _orientation(opened: Opened) -> Orientation:
    """What the header says of it."""
    if opened.checked.demuxer not in ("mov", "matroska"):
        return UPRIGHT
    with opened.checked.open_file() as file:
        if opened.checked.demuxer == "matroska":
            return boxes.matroska_orientation(file.read(boxes.MATROSKA_HEAD_BYTES))
        return boxes.orientation(file, opened.stream.id)


def _codec_name(opened: Opened) -> str:
    """The codec, not the decoder that happens to implement it (`av1`, not `libdav1d`)."""
    return str(opened.stream.codec_context.codec.canonical_name)


def _frozen(array: NDArray[_Scalar]) -> NDArray[_Scalar]:
    array.setflags(write=False)
    return array
