"""`VideoIndex`: what a video's packets say, before anything is decoded.

A packet is one coded frame. Reading the packets costs a pass over the file and no decoding, and
gives true counts (a header's may lie), exact times, the keyframes, and so the price of every frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ..errors import VideoError
from ..files.container import Opened, announces_too_much, codec_name
from ..headers import boxes
from ..headers.settings import read_settings
from ..headers.settings_hevc import hevc_columns_kept
from ..pictures.orientation import UPRIGHT, Orientation
from .order import Packets as Packets
from .order import duration_seconds, frozen, presentation_order
from .trusted import has_true_keyframes
from .walk import read_packets


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
    walked = read_packets(opened)
    packets = walked.packets if amend is None else amend(walked.packets)
    fault = walked.fault
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
        recoveries=walked.recoveries,
        once=walked.once,
        has_true_keys=has_true_keyframes(context.codec),
        frame_ticks=float(1 / (rate * time_base)) if rate else 0.0,
    )
    if order is None:
        raise VideoError(
            "bad_timestamps", f"{checked.name}: its packets carry no timestamps; remux it first"
        )
    if not order.is_ordered:  # frames are found by counting them, so none may be left out
        packets = replace(packets, is_disposable=frozen(np.zeros_like(packets.is_disposable)))
    codec = codec_name(opened)
    settings = read_settings(context.extradata) if codec == "h264" else None
    is_progressive = settings is None or settings.is_progressive
    upright = _orientation(opened)
    upright = walked.orientation if upright == UPRIGHT else upright
    kept = settings.columns_kept if settings else hevc_columns_kept(codec, context.extradata)
    height, width = upright.stored_size(context.height, context.width + kept)
    times = order.times.astype(np.float64) * float(time_base)
    return VideoIndex(
        timestamps_seconds=frozen(times),
        pts=frozen(order.times),
        keyframes=frozen(order.keyframes),
        packet_bytes=frozen(packets.size_bytes[order.own_packets]),
        width=width,
        height=height,
        rotation=upright.degrees,
        is_mirrored=upright.is_mirrored,
        codec=codec,
        pixel_format=opened.pixel_format,
        container=checked.demuxer,
        is_progressive=is_progressive,
        is_plain=is_progressive and not walked.recoveries and not walked.has_many_slices,
        video_streams=len(opened.container.streams.video),
        time_base=time_base,
        start_seconds=float(times[0]),
        duration_seconds=duration_seconds(times, order, walked.durations, time_base),
        frames_in_header=int(stream.frames),
        has_duration_in_header=opened.container.duration is not None,
        fault=fault,
        packets=packets,
        frame_packets=frozen(order.last_packets),
        frame_entries=frozen(order.entries),
        is_ordered=order.is_ordered,
        must_begin_anew=bool(walked.once),
    )


def _orientation(opened: Opened) -> Orientation:
    """What the header says of it."""
    if opened.checked.demuxer not in ("mov", "matroska"):
        return UPRIGHT
    with opened.checked.open_file() as file:
        if opened.checked.demuxer == "matroska":
            return boxes.matroska_orientation(file.read(boxes.MATROSKA_HEAD_BYTES))
        return boxes.orientation(file, opened.stream.id)
