"""Each frame read out of turn is the one that decoding forward gives: many codecs and files."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext

from temporal.data import Video, VideoError
from temporal.data.decode.headers.settings import Settings

from ..zoo import barcode
from ..zoo.laws import read_each, strangers
from ..zoo.making import encode
from ..zoo.oracle import decode_forward

FRAMES = 25
FEW = (
    ("cinepak", "rgb24", "avi"),
    ("msvideo1", "rgb555le", "avi"),
    ("qtrle", "rgb24", "mov"),
    ("rpza", "rgb555le", "mov"),
    ("smc", "pal8", "mov"),
    ("rawvideo", "pal8", "avi"),
    ("rawvideo", "pal8", "mov"),
    ("zmbv", "bgr0", "avi"),
    ("flashsv", "bgr24", "flv"),
    ("huffyuv", "yuv422p", "avi"),
)
CODECS = (
    ("amv", "yuvj420p"), ("asv1", "yuv420p"), ("cfhd", "yuv422p10le"), ("cinepak", "rgb24"),
    ("ffv1", "yuv420p"), ("ffvhuff", "yuv420p"), ("flashsv", "bgr24"), ("flashsv2", "bgr24"),
    ("flv", "yuv420p"), ("h263p", "yuv420p"), ("huffyuv", "yuv422p"), ("jpeg2000", "rgb24"),
    ("libvpx", "yuv420p"), ("libx264", "yuv420p"), ("ljpeg", "yuvj420p"), ("magicyuv", "yuv420p"),
    ("mjpeg", "yuvj420p"), ("mpeg1video", "yuv420p"), ("mpeg2video", "yuv420p"),
    ("mpeg4", "yuv420p"), ("msmpeg4", "yuv420p"), ("msmpeg4v2", "yuv420p"), ("msrle", "pal8"),
    ("msvideo1", "rgb555le"), ("png", "rgb24"), ("qtrle", "gray"), ("qtrle", "rgb24"),
    ("rawvideo", "pal8"), ("rawvideo", "rgb24"), ("rpza", "rgb555le"),
    ("smc", "pal8"), ("snow", "yuv420p"), ("svq1", "yuv410p"), ("utvideo", "yuv420p"),
    ("wmv1", "yuv420p"), ("wmv2", "yuv420p"), ("zmbv", "bgr0"), ("zmbv", "pal8"),
)  # fmt: skip
ENDINGS = ("avi", "mov", "mp4", "mkv", "flv", "asf", "ts", "ogg", "webm", "mpg")


def _make(path: Path, codec: str, pix_fmt: str) -> bytes:
    encode(path, codec=codec, pix_fmt=pix_fmt, frames=FRAMES, options={"strict": "-2"})
    return path.read_bytes()


def _check(source: Any, count: int | None = None) -> None:
    """Read every frame alone, in a random order; then stream them."""
    content = source if isinstance(source, bytes) else Path(source).read_bytes()
    oracle = decode_forward(content)
    with Video(source, backend="pyav") as video:
        assert len(video) == len(oracle) == (len(oracle) if count is None else count)
        had, errors = read_each(video, random.Random(0).sample(range(len(video)), len(video)))
        assert not errors
        assert strangers(video.index, had, oracle) == []
        whole = video.read(range(len(video)), size=had[0].shape[1:])
        assert all(one.equals(image) for one, image in zip(oracle, whole.numpy(), strict=True))
    streamed = [frame.image.numpy() for frame in Video(source).stream(0)]
    assert all(one.equals(image) for one, image in zip(oracle, streamed, strict=True))
    due = [frame.image.numpy() for frame in Video(source).stream(0.4)]
    assert all(any(one.equals(image) for one in oracle) for image in due)


@pytest.mark.parametrize(("codec", "pix_fmt", "ending"), FEW)
def test_frames_of_old_codecs(tmp_path, codec, pix_fmt, ending):
    _check(_make(tmp_path / f"film.{ending}", codec, pix_fmt), FRAMES)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("codec", "pix_fmt"), CODECS)
def test_frames_of_every_codec_in_every_container_that_takes_it(tmp_path, codec, pix_fmt):
    checked = 0
    for ending in ENDINGS:
        try:
            content = _make(tmp_path / f"film.{ending}", codec, pix_fmt)
            oracle = decode_forward(content)
        except (av.error.FFmpegError, AttributeError, RuntimeError, ValueError, VideoError):
            continue  # this container does not take it, or PyAV finds no decoder for what it says
        if oracle:
            _check(content)
            checked += 1
    assert checked


# Several recordings in one file


def _tags(data: bytes) -> list[bytearray]:
    place, found = 13, []
    while place < len(data):
        size = int.from_bytes(data[place + 1 : place + 4], "big")
        found.append(bytearray(data[place : place + size + 15]))
        place += size + 15
    return found


def _joined_flv(first: bytes, second: bytes, later_ms: int) -> bytes:
    """The tags of both; the second's begin later, with its own H.264 headers."""
    end = 2  # kind of packet that ends a sequence
    tags = [tag for tag in _tags(first) if not (tag[0] == 9 and tag[12] == end)]
    for tag in _tags(second):
        if tag[0] == 9:
            tag[4:7] = (int.from_bytes(tag[4:7], "big") + later_ms).to_bytes(3, "big")
            tags.append(tag)
    return first[:13] + b"".join(tags)


def test_new_headers_in_flv_hold_for_what_comes_after_them(tmp_path):
    parts = [
        encode(tmp_path / f"{width}.flv", size=(64, width), frames=FRAMES, b_frames=2).read_bytes()
        for width in (64, 128)
    ]
    _check(_joined_flv(*parts, 1000), 2 * FRAMES)


@pytest.mark.parametrize(
    ("codec", "ending", "sizes"),
    [
        ("libvpx", "webm", ((48, 64), (48, 64))),
        ("libvpx", "webm", ((48, 64), (96, 128))),
        ("libvpx", "ogg", ((48, 64), (48, 64))),
        ("libx264", "mkv", ((48, 64), (48, 64))),
    ],
)
def test_joined_recordings(tmp_path, codec, ending, sizes):
    parts = [
        encode(
            tmp_path / f"{number}.{ending}",
            codec=codec,
            size=size,
            frames=FRAMES,
            first=number * FRAMES,
            b_frames=3 if codec == "libx264" else 0,
        ).read_bytes()
        for number, size in enumerate(sizes)
    ]
    _check(b"".join(parts), 2 * FRAMES)


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
@pytest.mark.parametrize("sizes", [((48, 64), (48, 64)), ((48, 64), (96, 128))])
def test_joined_transport_streams(tmp_path, codec, sizes):
    parts = [
        encode(
            tmp_path / f"{number}.ts",
            codec=codec,
            size=size,
            frames=FRAMES,
            first=number * FRAMES,
            b_frames=2,
        ).read_bytes()
        for number, size in enumerate(sizes)
    ]
    joined = b"".join(parts)
    assert Video(joined).index.fault is None
    order = random.Random(0).sample(range(2 * FRAMES), 2 * FRAMES)
    with Video(joined) as video:
        assert [barcode.read(video.read([frame])[0].numpy()) for frame in order] == order
    for every, step in ((0, 1), (0.4, 10)):
        streamed = list(Video(joined).stream(every))
        numbers = [barcode.read(frame.image.numpy()) for frame in streamed]
        assert numbers[: FRAMES // step] == list(range(0, FRAMES, step))[: FRAMES // step]
        assert streamed[-1].packets_lost == 0
    assert [barcode.read(frame.image.numpy()) for frame in Video(joined).stream(0)] == [
        *range(2 * FRAMES)
    ]


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
@pytest.mark.parametrize("seed", range(8))
def test_no_wrong_frame_of_a_transport_stream_that_lost_packets(tmp_path, codec, seed):
    whole = encode(tmp_path / "a.ts", codec=codec, size=(96, 128), b_frames=2).read_bytes()
    truth = Video(whole)
    times = truth.index.timestamps_seconds
    images = truth.read_array(range(len(truth)))
    chance = random.Random(seed)
    count = chance.choice([1, 2, 5])
    first = chance.randrange(8, len(whole) // 188 - count)
    content = whole[: 188 * first] + whole[188 * (first + count) :]

    def check(seconds, image):
        assert np.array_equal(image, images[np.abs(times - seconds).argmin()])

    video, num_read = Video(content), 0
    for frame, seconds in enumerate(video.index.timestamps_seconds):
        with contextlib.suppress(VideoError):
            check(seconds, video.read_array([frame])[0])
            num_read += 1
    assert num_read >= 10
    with contextlib.suppress(VideoError):
        for given in Video(content).stream(0):
            check(given.timestamp_seconds, given.image.numpy())


@pytest.mark.parametrize("ending", ["mpg", "m2v"])
@pytest.mark.parametrize("sizes", [((48, 64), (96, 128)), ((96, 128), (48, 64))])
def test_joined_mpeg_recordings_of_two_sizes(tmp_path, ending, sizes):
    parts = [
        encode(
            tmp_path / f"{number}.{ending}",
            codec="mpeg2video",
            size=size,
            frames=FRAMES,
            first=number * FRAMES,
            b_frames=2,
            format="mpeg2video" if ending == "m2v" else None,
        ).read_bytes()
        for number, size in enumerate(sizes)
    ]
    video = Video(b"".join(parts))
    order = random.Random(0).sample(range(2 * FRAMES), 2 * FRAMES)
    assert [barcode.read(video.read([frame])[0].numpy()) for frame in order] == order
    assert len(video) == 2 * FRAMES


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg4"])
def test_decoding_times_that_are_given_as_times_of_frames(tmp_path, codec):
    # What `ffmpeg -i film.h264 -c copy film.mp4` writes: a raw stream has no times of its own.
    source, target = tmp_path / "true.mp4", tmp_path / "false.mp4"
    encode(source, codec=codec, frames=FRAMES, b_frames=2)
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream)
        for number, packet in enumerate(p for p in reader.demux(stream) if p.size):
            packet.stream, packet.pts, packet.dts = copy, number * 512, number * 512
            writer.mux(packet)
    _check(target, FRAMES)
    assert barcode.read(Video(target).read([4])[0].numpy()) == 4


def test_a_transport_stream_that_begins_inside_a_packet(tmp_path):
    whole = encode(tmp_path / "whole.ts", size=(96, 128), b_frames=2).read_bytes()
    for cut in (77, 188 * 2 + 5):
        _check(whole[cut:])
    with pytest.raises(VideoError) as caught:
        len(Video(b" " + (b"G" + b" " * 187) * 40))  # the marks alone do not make it one
    assert caught.value.reason == "not_media"


def test_times_that_are_rounded_to_the_same_are_told_as_the_file_has_them(tmp_path):
    path = tmp_path / "fast.mkv"
    encode(path, frames=60, b_frames=2, rate=2000)
    times = Video(path).index.timestamps_seconds
    assert len(times) == 60
    assert np.allclose(times, np.arange(60) / 2000, atol=0.00051)  # the file has milliseconds
    _check(path, 60)


# Crops


@pytest.mark.parametrize(
    ("crop", "bits", "chroma", "kept"),
    [(8, 8, 1, 8), (64, 8, 1, 0), (72, 8, 1, 8), (8, 8, 3, 8), (32, 8, 3, 0), (32, 10, 1, 0)],
)
def test_columns_that_a_decoder_leaves_in(crop, bits, chroma, kept):
    settings = Settings(
        width=112,
        height=90,
        chroma_format=chroma,
        bits_per_sample=bits,
        is_progressive=True,
        is_full_range=False,
        frame_number_bits=4,
        max_reordered=0,
        crop_left=crop,
    )
    assert settings.columns_kept == kept


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
@pytest.mark.parametrize("ending", ["ts", "mp4"])
def test_a_left_crop_squeezes_nothing(tmp_path, codec, ending):
    source, target = tmp_path / f"whole.{ending}", tmp_path / f"cropped.{ending}"
    encode(source, codec=codec, size=(96, 128), frames=10, b_frames=2)
    name = {"libx264": "h264", "libx265": "hevc"}[codec]
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream)
        crop = BitStreamFilterContext(f"{name}_metadata=crop_left=8:crop_right=8", stream, copy)
        packets = [packet for packet in reader.demux(stream) if packet.size]
        for packet in [*packets, None]:
            for changed in crop.filter(packet):
                changed.stream = copy
                writer.mux(changed)
    assert Video(target).index.width == 120  # 112 are to be shown, and the decoder leaves 8 in
    _check(target, 10)
