"""Files that are unusual and whole: every frame must be had, exactly."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
from av.codec.context import Flags
from av.stream import Disposition

from . import barcode
from .kind import Kind
from .making import FRAMES, encode, put_sound, remux, replaced

OPEN_GOP = {"x264-params": "open-gop=1:bframes=3:b-pyramid=normal"}
OPEN_GOP_HEVC = {
    "x265-params": "log-level=none:pools=none:frame-threads=1:scenecut=0:open-gop=1:bframes=3"
}
INTERLACED = int(Flags.interlaced_dct | Flags.interlaced_me)


def _copied(path: Path, *, source: dict[str, Any] | None = None, **changes: Any) -> Path:
    """Encode to mp4, by default with B-frames, and copy the packets into `path`."""
    first = path.with_name(f"{path.name}.source.mp4")
    encode(first, **{"b_frames": 2, **(source or {})})
    remux(first, path, **changes)
    first.unlink()
    return path


def _edited(path: Path, change: Callable[[bytes], bytes], **options: Any) -> None:
    encode(path, **options)
    path.write_bytes(change(path.read_bytes()))


def _joined(path: Path, parts: tuple[dict[str, Any], ...]) -> None:
    """Two recordings one after the other in one file, the clock beginning anew."""
    whole = b""
    for number, part in enumerate(parts):
        piece = path.with_name(f"{number}.{path.name}")
        encode(piece, **part)
        whole += piece.read_bytes()
        piece.unlink()
    path.write_bytes(_counters_go_on(whole) if path.suffix == ".ts" else whole)


def _counters_go_on(data: bytes) -> bytes:
    """Number a transport stream's packets anew, as a recorder does that changes programmes."""
    changed, seen = bytearray(data), dict[int, int]()
    for place in range(0, len(data), 188):
        stream = int.from_bytes(data[place + 1 : place + 3], "big") & 0x1FFF
        if data[place + 3] & 0x10:  # has content: counts
            seen[stream] = (seen.get(stream, -1) + 1) % 16
        changed[place + 3] = data[place + 3] & 0xF0 | seen.get(stream, 0)
    return bytes(changed)


def _add_sound(container: Any) -> Callable[[], None]:
    stream = container.add_stream("aac", rate=16000, layout="mono")
    return lambda: put_sound(container, stream)


def _add_picture(container: Any, *, codec: str, pix_fmt: str, is_cover: bool) -> Callable[[], None]:
    """A video stream of one small frame, marked as a cover or not."""
    stream = container.add_stream(codec, rate=25)
    stream.width, stream.height, stream.pix_fmt = 32, 32, pix_fmt
    stream.codec_context.thread_count = 1
    if is_cover:
        stream.disposition = Disposition.attached_pic

    def fill() -> None:
        frame = av.VideoFrame.from_ndarray(barcode.draw(255, 32, 32), "rgb24")
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

    return fill


_add_thumbnail = partial(_add_picture, codec="libx264", pix_fmt="yuv420p", is_cover=False)
_add_cover = partial(_add_picture, codec="mjpeg", pix_fmt="yuvj420p", is_cover=True)


def _add_attachment(container: Any) -> Callable[[], None]:
    container.add_attachment("notes.txt", "text/plain", b"attached")
    return lambda: None


def _track_size_lies(data: bytes) -> bytes:
    """tkhd ends with width and height, 16.16 fixed point."""
    size = int.from_bytes(data[data.find(b"tkhd") - 4 :][:4], "big")
    end = data.find(b"tkhd") - 4 + size
    return replaced(data, end - 8, struct.pack(">II", 65535 << 16, 65535 << 16))


def _times_lie(data: bytes) -> bytes:
    """stts: the count of its only entry."""
    return replaced(data, data.find(b"stts") + 12, struct.pack(">I", 0x0FFFFFFF))


def _duration(value: int) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        for box, place in ((b"mvhd", 20), (b"mdhd", 20), (b"tkhd", 24)):
            data = replaced(data, data.find(box) + place, struct.pack(">I", value))
        return data

    return change


def _avi_count_lies(data: bytes) -> bytes:
    """avih and strh both say how many frames there are."""
    data = replaced(data, data.find(b"avih") + 8 + 16, struct.pack("<I", 1000))
    return replaced(data, data.find(b"strh") + 8 + 32, struct.pack("<I", 1000))


def _matroska_size_lies(data: bytes) -> bytes:
    """PixelWidth and PixelHeight are hints; the codec knows."""
    at = data.find(b"\xb0\x81\x40\xba\x81\x30")  # 64 x 48
    return replaced(data, at, b"\xb0\x81\xff\xba\x81\xff")


def _varied(count: int) -> list[int]:
    """Times with steps of 10 to 130 ms."""
    ticks = [0]
    for number in range(1, count):
        ticks.append(ticks[-1] + 10 + number * 7 % 121)
    return ticks


def _gap(count: int) -> list[int]:
    return [number * 40 + (3_600_000 if number >= count // 2 else 0) for number in range(count)]


def _whole(name: str, make: Callable[[Path], object], **changes: Any) -> Kind:
    return Kind(name=name, make=make, **changes)


def _enc(name: str, expected: dict[str, Any] | None = None, **options: Any) -> Kind:
    return _whole(name, partial(encode, **options), **(expected or {}))


def _copy(name: str, expected: dict[str, Any] | None = None, **options: Any) -> Kind:
    return _whole(name, partial(_copied, **options), **(expected or {}))


def _edit(name: str, change: Callable[[bytes], bytes], **options: Any) -> Kind:
    return _whole(name, partial(_edited, change=change, **options))


def _join(name: str, *parts: dict[str, Any]) -> Kind:
    return _whole(name, partial(_joined, parts=parts), frames=FRAMES * len(parts))


_MPEG2: dict[str, Any] = {"codec": "mpeg2video", "b_frames": 2}
_CUT: dict[str, Any] = {"shift": -5, "options": {"avoid_negative_ts": "disabled"}}
_FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}

UNUSUAL: tuple[Kind, ...] = (
    # mp4 and mov
    _enc("plain.mp4", b_frames=2),
    _enc("header_first.mp4", b_frames=2, muxing={"movflags": "faststart"}),
    _enc("fragments.mp4", b_frames=2, muxing=_FRAGMENTS),
    _enc("dash.mp4", b_frames=2, muxing={"movflags": "frag_keyframe+dash+global_sidx"}),
    _copy("edit_list_cut.mp4", {"frames": FRAMES - 5, "first": 5}, source={"b_frames": 0}, **_CUT),
    _copy("edit_list_cut_b.mp4", {"frames": None, "first": -1}, **_CUT),
    _copy("late.mp4", shift=250),
    _copy("late.mov", shift=250),
    _edit("track_size_lies.mp4", _track_size_lies),
    _edit("times_lie.mp4", _times_lie),
    _edit("no_duration.mp4", _duration(0), b_frames=2),
    _edit("endless_duration.mp4", _duration(0xFFFFFFF0), b_frames=2),
    _edit("garbage_after.mp4", lambda data: data + b"\xa5 garbage " * 500, b_frames=2),
    _edit("zeros_after.mp4", lambda data: data + bytes(5000), b_frames=2),
    _enc("many.mp4", {"frames": 3000}, frames=3000, size=(16, 16), gop=100),
    # other containers
    _copy("b.mkv"),
    _copy("negative_times.mkv", shift=-20, options={"avoid_negative_ts": "disabled"}),
    _edit("garbage_after.mkv", lambda data: data + b"\xa5 garbage " * 500),
    _edit("track_size_lies.mkv", _matroska_size_lies),
    _copy("b.ts"),
    _copy("b.m2ts", options={"mpegts_m2ts_mode": "1"}),
    _copy("b.flv"),
    _copy("wrong_ending_mkv.mp4", format="matroska"),
    _edit("avi_count_lies.avi", _avi_count_lies, codec="mpeg4"),
    _edit("garbage_after.ts", lambda data: data + b"\xa5 garbage " * 500),
    _join("clock_restarts.ts", {"b_frames": 2}, {"first": FRAMES, "b_frames": 2}),
    _join("clock_restarts.mpg", _MPEG2, {**_MPEG2, "first": FRAMES}),
    # codecs
    _enc("h264.avi", b_frames=2),
    _enc("mpeg4.avi", codec="mpeg4", b_frames=2),
    _enc("mpeg2.mpg", codec="mpeg2video", b_frames=2),
    _enc("mpeg1.mpg", codec="mpeg1video", b_frames=2),
    _enc("vp8.webm", codec="libvpx"),
    _enc("vp8.ogg", codec="libvpx"),
    _enc("vp9.webm", codec="libvpx-vp9"),
    _enc("av1.mp4", codec="libsvtav1", options={"preset": "12"}),
    _enc("av1.mkv", codec="libsvtav1", options={"preset": "12"}),
    _enc("hevc.mp4", codec="libx265", b_frames=2),
    _enc("hevc.ts", codec="libx265", b_frames=2),
    _enc("mjpeg.avi", codec="mjpeg", pix_fmt="yuvj420p"),
    _enc("ffv1.mkv", codec="ffv1"),
    _enc("prores.mov", codec="prores_ks", pix_fmt="yuv422p10le"),
    _enc("wmv2.asf", codec="wmv2"),
    _enc("flv1.flv", codec="flv"),
    _enc("mpeg4.mp4", codec="mpeg4", b_frames=2),
    _enc("png.mov", codec="png", pix_fmt="rgb24"),
    # how frames depend on each other
    _enc("open_gop.mp4", options=OPEN_GOP),
    _copy("open_gop.ts", source={"options": OPEN_GOP}),
    _enc("open_gop_hevc.mp4", codec="libx265", options=OPEN_GOP_HEVC),
    _enc("open_gop_hevc.ts", codec="libx265", options=OPEN_GOP_HEVC),
    _enc("intra_refresh.mp4", options={"x264-params": "intra-refresh=1:keyint=10:bframes=0"}),
    _enc("one_keyframe.mp4", gop=1000, b_frames=2),
    _enc("keyframes_only.mp4", gop=1),
    _enc("one_frame.mp4", {"frames": 1}, frames=1),
    _enc("one_frame.mkv", {"frames": 1}, frames=1),
    _enc("one_frame.ts", {"frames": 1}, frames=1),
    _enc("two_frames.mp4", {"frames": 2}, frames=2),
    # times
    _enc("varied_rate.mp4", ticks=_varied(FRAMES), b_frames=2),
    _enc("varied_rate.mkv", ticks=_varied(FRAMES), b_frames=2),
    _enc("hour_gap.mp4", ticks=_gap(FRAMES)),
    _enc("hour_gap.mkv", ticks=_gap(FRAMES)),
    # pictures
    _enc("turned_90.mp4", turns=1),
    _enc("turned_180.mp4", turns=2),
    _enc("turned_270.mp4", turns=3),
    _enc("turned_90.mkv", turns=1),
    _enc("turned_270.mkv", turns=3),
    _enc("odd.webm", codec="libvpx-vp9", size=(45, 61)),
    _enc("odd_444.mp4", pix_fmt="yuv444p", size=(45, 61), b_frames=2),
    _enc("tiny.mp4", size=(16, 16)),
    _enc("ten_bit.mp4", pix_fmt="yuv420p10le", b_frames=2),
    _enc("ten_bit_hevc.mp4", codec="libx265", pix_fmt="yuv420p10le"),
    _enc("gray.mp4", pix_fmt="gray"),
    _enc("alpha.webm", codec="libvpx-vp9", pix_fmt="yuva420p"),
    _enc("alpha.mov", codec="qtrle", pix_fmt="argb"),
    _enc("interlaced.mpg", codec="mpeg2video", b_frames=2, flags=INTERLACED),
    _enc("interlaced.mp4", options={"x264-params": "tff=1"}, b_frames=2, flags=INTERLACED),
    _join("size_changes.ts", {}, {"first": FRAMES, "size": (96, 128)}),
    _join("size_changes.mpg", _MPEG2, {**_MPEG2, "first": FRAMES, "size": (96, 128)}),
    # several streams
    _enc("sound_first.mp4", prepare=_add_sound, b_frames=2),
    _enc(
        "thumbnail_first.mp4",
        prepare=_add_thumbnail,
    ),
    _enc(
        "cover_first.mp4",
        prepare=_add_cover,
    ),
    _enc("attachment.mkv", prepare=_add_attachment),
    # elementary streams: no timestamps at all
    _copy("raw.h264"),
    _copy("raw_keyframes.h264", source={"gop": 1, "b_frames": 0}),
    _enc("raw.hevc", codec="libx265", b_frames=2),
    _enc("raw.m2v", codec="mpeg2video", b_frames=2),
)
