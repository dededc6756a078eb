"""Files that are cut, overwritten or that lie, and files that are no video at all."""

from __future__ import annotations

import gzip
import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np

from . import barcode
from .kind import Kind, damaged, refused
from .making import FRAMES, GOP, encode, remux, replaced, sound

Change = Callable[[bytes], bytes]

HEADER_FIRST: dict[str, Any] = {"b_frames": 2, "muxing": {"movflags": "faststart"}}
FRAGMENTS: dict[str, Any] = {
    "b_frames": 2,
    "muxing": {"movflags": "frag_keyframe+empty_moov+default_base_moof"},
}


# Changes


def cut(share: float) -> Change:
    """Keep the first share of the bytes."""
    return lambda data: data[: int(len(data) * share)]


def without_end(count: int) -> Change:
    """Leave out the last bytes."""
    return lambda data: data[:-count]


def noise(start: float, stop: float, count: int, *, box: bytes = b"mdat") -> Change:
    """Overwrite random bytes between two shares of the media data."""

    def change(data: bytes) -> bytes:
        place = data.find(box) + 4 if box else 0
        size = len(data) - place
        if box:
            size = int.from_bytes(data[place - 8 : place - 4], "big") - 8
        rng, changed = random.Random(0), bytearray(data)
        for _ in range(count):
            at = place + int(size * rng.uniform(start, stop))
            changed[at] = rng.randrange(256)
        return bytes(changed)

    return change


def zeros(start: float, stop: float) -> Change:
    """Overwrite a part of the media data with zeros, as an unfinished download does."""

    def change(data: bytes) -> bytes:
        place = data.find(b"mdat") + 4
        size = len(data) - place
        begin, end = place + int(size * start), place + int(size * stop)
        return data[:begin] + bytes(end - begin) + data[end:]

    return change


def table(box: bytes, place: int, value: int) -> Change:
    """Overwrite a 32-bit number at a place after a box's name."""
    return lambda data: replaced(data, data.find(box) + place, struct.pack(">I", value))


def renamed(box: bytes, name: bytes) -> Change:
    """Give a box another name."""
    return lambda data: replaced(data, data.find(box), name)


def both(*changes: Change) -> Change:
    """One change after the other."""

    def change(data: bytes) -> bytes:
        for one in changes:
            data = one(data)
        return data

    return change


def _without_parameters(data: bytes) -> bytes:
    """avcC: the sequence parameter set becomes zeros."""
    place = data.find(b"avcC") + 4
    size = int.from_bytes(data[place + 6 : place + 8], "big")
    return replaced(data, place + 8, bytes(size))


def _start_only(data: bytes) -> bytes:
    """The header of a fragmented file, without any fragment."""
    return data[: data.find(b"moof") - 4]


def _media_only(data: bytes) -> bytes:
    """A fragment without the header."""
    return data[data.find(b"moof") - 4 :]


def _without_media(data: bytes) -> bytes:
    return data[: data.find(b"mdat") - 4]


def _big_fragment(data: bytes) -> bytes:
    """trun: no sizes of its own, and a count that has nothing to do with the file."""
    place = data.find(b"trun")
    data = replaced(data, place + 4, struct.pack(">II", 0, 0x07FFFFFF))
    return data


# Files


def changed(change: Change, **options: Any) -> Callable[[Path], None]:
    """Encode, then change the bytes."""

    def make(path: Path) -> None:
        encode(path, **options)
        path.write_bytes(change(path.read_bytes()))

    return make


def copied(change: Change, **options: Any) -> Callable[[Path], None]:
    """Encode with B-frames, copy the packets to the container, then change the bytes."""

    def make(path: Path) -> None:
        source = path.with_name(f"{path.name}.source.mp4")
        remux(encode(source, **{"b_frames": 2, **options}), path)
        source.unlink()
        path.write_bytes(change(path.read_bytes()))

    return make


def content(data: bytes) -> Callable[[Path], object]:
    """Write these bytes."""
    return lambda path: path.write_bytes(data)


def _pixels(path: Path) -> None:
    encode(path, frames=1, size=(8192, 8192), options={"preset": "ultrafast"})


def _image(path: Path, *, codec: str, pix_fmt: str) -> None:
    context = av.CodecContext.create(codec, "w")
    context.width, context.height, context.pix_fmt = 64, 48, pix_fmt
    context.time_base = Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(barcode.draw(1), format="rgb24").reformat(format=pix_fmt)
    frame.pts = 0
    path.write_bytes(b"".join(bytes(packet) for packet in context.encode(frame)))


def _gif(path: Path) -> None:
    encode(path, codec="gif", pix_fmt="rgb8", format="gif", frames=5)


def _zip(path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("clip.mp4", encode(path).read_bytes())
    path.write_bytes(inner.getvalue())


def _tracks(path: Path) -> None:
    """One header, a thousand video tracks."""
    data = encode(path).read_bytes()
    place = data.find(b"trak") - 4
    size = int.from_bytes(data[place : place + 4], "big")
    trak, moov = data[place : place + size], data.find(b"moov") - 4
    whole = int.from_bytes(data[moov : moov + 4], "big") + size * 5000
    path.write_bytes(
        data[:moov] + struct.pack(">I", whole) + data[moov + 4 : place] + trak * 5001
        + data[place + size :]
    )  # fmt: skip


def _packed_header(path: Path) -> None:
    """A compressed header that unpacks to 256 MB of zeros."""
    packer = zlib.compressobj(9)
    body = b"".join(packer.compress(bytes(1 << 20)) for _ in range(256)) + packer.flush()
    dcom = struct.pack(">I4s4s", 12, b"dcom", b"zlib")
    cmvd = struct.pack(">I4sI", 12 + len(body), b"cmvd", 256 << 20) + body
    cmov = struct.pack(">I4s", 8 + len(dcom) + len(cmvd), b"cmov") + dcom + cmvd
    moov = struct.pack(">I4s", 8 + len(cmov), b"moov") + cmov
    path.write_bytes(struct.pack(">I4s4sI", 16, b"ftyp", b"qt  ", 0) + moov)


def _nested(path: Path) -> None:
    """Boxes in boxes in boxes."""
    body = b""
    for _ in range(20_000):
        body = struct.pack(">I4s", 8 + len(body), b"moov") + body
        if len(body) > 150_000:
            break
    path.write_bytes(struct.pack(">I4s4sI", 16, b"ftyp", b"isom", 0) + body)


_RNG = np.random.default_rng(0)
_NOISE = _RNG.integers(0, 256, 65536, dtype=np.uint8).tobytes()
_BOMB = 0x07FFFFFF  # samples
_INDEX = both(
    table(b"stsz", 8, 1), table(b"stsz", 12, _BOMB), table(b"stsc", 16, _BOMB),
    table(b"stts", 12, _BOMB),
)  # fmt: skip
_HALF = FRAMES // 2

# fmt: off
BROKEN: tuple[Kind, ...] = (
    # no media
    refused("empty.mp4", "not_media", content(b"")),
    refused("one_byte.mp4", "not_media", content(b"x")),
    refused("zeros.mp4", "not_media", content(bytes(65536))),
    refused("noise.mp4", "not_media", content(b"\xa5" + _NOISE)),
    refused("text.mp4", "not_media", content(b"Dear reader, this is no video. " * 99)),
    refused("page.mp4", "not_media", content(b"<!DOCTYPE html><html>404 Not Found</html>")),
    refused("archive.mp4", "not_media", _zip),
    refused("packed.mp4", "not_media", content(gzip.compress(_NOISE))),
    refused("program.mp4", "not_media", content(b"\x7fELF\x02\x01\x01" + bytes(5000))),
    refused("garbage_before.mp4", "not_media", changed(lambda data: b"garbage!" * 9 + data)),
    refused("garbage_before.mkv", "not_media", changed(lambda data: b"garbage!" * 9 + data)),
    # no video
    refused("image_png.mp4", "not_video", partial(_image, codec="png", pix_fmt="rgb24")),
    refused("image_jpg.mp4", "not_video", partial(_image, codec="mjpeg", pix_fmt="yuvj420p")),
    refused("image_bmp.mp4", "not_video", partial(_image, codec="bmp", pix_fmt="bgr24")),
    refused("image_tiff.mp4", "not_video", partial(_image, codec="tiff", pix_fmt="rgb24")),
    Kind(name="moving_gif.mp4", make=_gif, frames=5),
    refused("image_webp.mp4", "not_video", content(b"RIFF\x40\0\0\0WEBPVP8 " + bytes(64))),
    refused("sound.mp4", "no_video_stream", sound),
    refused("sound.mkv", "no_video_stream", sound),
    refused("sound.ts", "no_video_stream", sound),
    refused("sound.wav", "no_video_stream", partial(sound, codec="pcm_s16le")),
    refused("sound.ogg", "no_video_stream", partial(sound, codec="libopus")),
    refused("sound_tag.mp4", "no_video_stream", content(b"ID3\x04" + bytes(5000))),
    # cut
    refused("no_header_1.mp4", "truncated_header", changed(cut(0.5), b_frames=2)),
    refused("no_header_2.mp4", "truncated_header", changed(lambda data: data[:32])),
    refused("no_header_3.mp4", "truncated_header", changed(without_end(200))),
    refused("no_media.mp4", "truncated_header", changed(_without_media, **HEADER_FIRST)),
    refused("no_fragment.mp4", "truncated_header", changed(_start_only, **FRAGMENTS)),
    refused("fragment_alone.mp4", "not_media", changed(_media_only, **FRAGMENTS)),
    refused("no_cluster.mkv", "truncated", copied(lambda data: data[:300])),
    damaged("cut_half.mp4", "truncated", 5, changed(cut(0.75), **HEADER_FIRST)),
    damaged("cut_end.mp4", "truncated", FRAMES - 6, changed(without_end(20), **HEADER_FIRST)),
    damaged("cut_half_fragments.mp4", "truncated", GOP, changed(cut(0.6), **FRAGMENTS)),
    damaged("cut_half.mkv", "truncated", 5, copied(cut(0.6))),
    damaged("cut_half.webm", "truncated", 5, changed(cut(0.6), codec="libvpx-vp9")),
    damaged("cut_half.ts", "truncated", 5, copied(cut(0.6))),
    damaged("cut_half.flv", "truncated", 5, copied(cut(0.6))),
    damaged("cut_half.avi", "truncated", 5, changed(cut(0.85), codec="mpeg4")),
    damaged("cut_half.mpg", "truncated", 5, changed(cut(0.6), codec="mpeg2video")),
    damaged("cut_half.asf", "truncated", 5, changed(cut(0.8), codec="wmv2")),
    damaged("cut_half.h264", "truncated", 5, copied(cut(0.6))),
    # overwritten
    damaged("noise_middle.mp4", "corrupt", GOP, changed(noise(0.4, 0.6, 40), b_frames=2)),
    damaged("noise_all.mp4", "corrupt", 0, changed(noise(0.0, 1.0, 400), b_frames=2)),
    damaged("zeros_middle.mp4", "corrupt", GOP, changed(zeros(0.5, 0.6), b_frames=2)),
    damaged(
        "zeros_middle.ts", "truncated",
        GOP,
        copied(lambda data: data[: 188 * 40] + bytes(188 * 4) + data[188 * 44 :]),
    ),
    damaged(
        "packets_lost.ts",
        "truncated",
        GOP,
        copied(lambda data: data[: 188 * 40] + data[188 * 43 :]),
    ),
    refused(
        "noise_header.mp4",
        "no_video_stream",
        changed(noise(0, 1, 200, box=b"moov"), **HEADER_FIRST),
    ),
    damaged("no_parameters.mp4", "corrupt", 0, changed(_without_parameters)),
    refused(
        "unknown_codec.mp4",
        "unsupported_codec",
        changed(lambda data: replaced(data, data.find(b"stsd") + 16, b"zzz9")),
    ),
    Kind(name="all_keyframes.mp4", make=changed(renamed(b"stss", b"free"))),
    Kind(name="all_keyframes_b.mp4", make=changed(renamed(b"stss", b"free"), b_frames=2)),
    Kind(name="all_keyframes_mpeg4.mp4", make=changed(renamed(b"stss", b"free"), codec="mpeg4")),
    Kind(name="all_keyframes_hevc.mp4", make=changed(renamed(b"stss", b"free"), codec="libx265")),
    Kind(name="all_keyframes_vp9.mp4", make=changed(renamed(b"stss", b"free"), codec="libvpx-vp9")),
    # bombs
    refused("pixels.mp4", "too_large", _pixels),
    refused(
        "sizes_bomb.mp4",
        "corrupt",
        changed(both(table(b"stsz", 8, 1), table(b"stsz", 12, _BOMB))),
    ),
    refused("index_bomb.mp4", "corrupt", changed(_INDEX)),
    damaged(
        "offsets_bomb.mp4",
        "bad_timestamps",
        1,
        changed(table(b"ctts", 12, _BOMB), b_frames=2),
        first=-1,
    ),
    refused("fragment_bomb.mp4", "corrupt", changed(_big_fragment, **FRAGMENTS)),
    refused("many_tracks.mp4", "too_large", _tracks),
    refused("packed_header.mov", "too_large", _packed_header),
    refused("nested.mp4", "corrupt", _nested),
)
