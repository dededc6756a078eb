"""Frames that no other refers to are told from packets, and passed over on the way to others."""

from __future__ import annotations

import av
import numpy as np
import pytest

from temporal.data import Video
from temporal.data.decode.disposable import disposable_test

from .conftest import FRAMES, decode_forward, encode

KINDS = {
    "h264.mp4": {"b_frames": 3, "gop": 30},
    "h264.ts": {"b_frames": 3, "gop": 30},
    "hevc.mp4": {"codec": "libx265", "b_frames": 3, "gop": 30},
    "mpeg2.mpg": {"codec": "mpeg2video", "b_frames": 2},
    "mpeg4.mp4": {"codec": "mpeg4", "b_frames": 2},
}


def unit(header: int, content: bytes = b"\x88\x84") -> bytes:
    body = bytes([header]) + content
    return len(body).to_bytes(4, "big") + body


AVCC = bytes([1, 100, 0, 31, 0xFF])  # lengths of 4 bytes


@pytest.mark.parametrize(
    ("packet", "is_disposable"),
    [
        (unit(0x01), True),  # a slice, nal_ref_idc 0
        (unit(0x21), False),  # nal_ref_idc 1
        (unit(0x06) + unit(0x01) + unit(0x01), True),  # a message, two slices
        (unit(0x01) + unit(0x41), False),  # a second field that others refer to
        (unit(0x06), False),  # no picture at all
        (unit(0x81), False),  # the forbidden bit
        (unit(0x01)[:-1], False),  # cut
        (unit(0x01) + unit(0x14), False),  # scalable coding
        (b"", False),
    ],
)
def test_an_h264_packet_says_whether_others_refer_to_it(packet, is_disposable):
    test = disposable_test("h264", AVCC)
    assert test is not None
    assert test(memoryview(packet)) == is_disposable
    with_start_codes = disposable_test("h264", None)
    units, place = b"", 0
    while place < len(packet):
        size = int.from_bytes(packet[place : place + 4], "big")
        units += b"\0\0\1" + packet[place + 4 : place + 4 + size]
        place += 4 + size
    if len(packet) != len(unit(0x01)) - 1:  # start codes do not show a cut
        assert with_start_codes is not None
        assert with_start_codes(memoryview(units)) == is_disposable


def test_codecs_that_are_not_understood_have_none():
    assert disposable_test("av1", None) is None


@pytest.fixture(params=KINDS)
def path(request, tmp_path):
    return encode(tmp_path / request.param, **KINDS[request.param])


def test_they_are_those_that_the_decoder_can_leave_out(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.skip_frame = "NONREF"
        kept = {frame.pts for frame in container.decode(stream)}
    index = Video(path).index
    assert index.is_ordered
    needless = index.packets.is_disposable[index.frame_packets]
    assert 10 < np.count_nonzero(needless) < FRAMES - 10
    assert set(index.pts[~needless].tolist()) == kept


def test_they_are_passed_over_and_the_frames_are_exact(path):
    images, _ = decode_forward(path)
    index = Video(path).index
    for frame in (20, 25, 26, 27, 28, 29, 45):
        entry, packet = index.frame_entries[frame], index.frame_packets[frame]
        referred = np.count_nonzero(~index.packets.is_disposable[entry:packet])
        with Video(path) as video:
            assert video.cost([frame]).frames_decoded == index.frame_costs[frame] == referred + 1
            assert np.array_equal(video.read([frame])[0].numpy(), images[frame])
            assert video.spent.frames_decoded == referred + 1
            assert video.spent.bytes_read == video.cost([frame]).bytes_read


def test_any_order_gives_the_same_frames(path):
    images, _ = decode_forward(path)
    with Video(path) as video:
        for frames in ([29, 3], [4, 5, 6, 7], [40, 20, 41], [21], [22], [23], [0, 59]):
            assert np.array_equal(video.read(frames).numpy(), images[frames])


def test_an_expected_one_is_decoded_on_the_way(tmp_path):
    path = encode(tmp_path / "h264.mp4", **KINDS["h264.mp4"])
    images, _ = decode_forward(path)
    with Video(path) as video:
        index = video.index
        needless = [f for f in range(25) if index.packets.is_disposable[index.frame_packets[f]]]
        video.expect(needless[:3])
        video.read([28])
        assert video.spent.frames_decoded == video.cost([28]).frames_decoded + 3
        spent = video.spent.frames_decoded
        assert np.array_equal(video.read(needless[:3]).numpy(), images[needless[:3]])
        assert video.spent.frames_decoded == spent
