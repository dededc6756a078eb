"""Frames that no other refers to are told from packets, and passed over on the way to others."""

from __future__ import annotations

import av
import numpy as np
import pytest

from temporal.data import Video
from temporal.data.decode.headers.disposable import Disposables

from ..conftest import FRAMES, decode_forward, encode
from ..zoo.laws import read_each, strangers
from ..zoo.oracle import decode_forward as forward

KINDS = {
    "h264.mp4": {"b_frames": 3, "gop": 30},
    "h264.ts": {"b_frames": 3, "gop": 30},
    "hevc.mp4": {"codec": "libx265", "b_frames": 3, "gop": 30},
    "mpeg2.mpg": {"codec": "mpeg2video", "b_frames": 2},
    "mpeg4.mp4": {"codec": "mpeg4", "b_frames": 2},
}


# Sequence parameters: profile 66, level 31; then, as bits, their number 0, frame numbers of 4 bits,
# order of kind 0 in 4 bits, 1 reference frame without gaps, 16x16 whole frames, nothing cropped.
_BITS = "1" + "1" + "1" + "1" + "010" + "0" + "1" + "1" + "1" + "1" + "0" + "0" + "1" + "0"
SETTINGS = bytes([0x67, 66, 0, 31]) + int(_BITS, 2).to_bytes(2, "big")
AVCC = bytes([1, 66, 0, 31, 0xFF, 0xE1, 0, len(SETTINGS)]) + SETTINGS  # lengths of 4 bytes


def unit(header: int, frame_number: int = 1) -> bytes:
    """A slice: first macroblock 0, type 0, picture parameters 0, its frame number."""
    bits = "111" + f"{frame_number:04b}" + "0"
    body = bytes([header, int(bits, 2), 0x80])
    return len(body).to_bytes(4, "big") + body


def marks(*packets: bytes, extradata: bytes | None = AVCC) -> list[bool]:
    """What is said of packets that follow a keyframe, and of a reference picture after them."""
    found = Disposables("h264", extradata)
    for packet in (unit(0x65, 0), *packets):
        found.look(memoryview(packet if extradata == AVCC else _with_start_codes(packet)))
    return found.find(np.arange(len(packets) + 1) == 0)[1:].tolist()


def _with_start_codes(packet: bytes) -> bytes:
    units, place = b"", 0
    while place < len(packet):
        size = int.from_bytes(packet[place : place + 4], "big")
        units += b"\0\0\1" + packet[place + 4 : place + 4 + size]
        place += 4 + size
    return units


SLICES = [
    (unit(0x01), True),  # nal_ref_idc 0
    (unit(0x21), False),  # nal_ref_idc 1
    (unit(0x06) + unit(0x01) + unit(0x01), True),  # a message, two slices
    (unit(0x01) + unit(0x41), False),  # a second field that others refer to
    (unit(0x06), False),  # no picture at all
    (unit(0x81), False),  # the forbidden bit
    (unit(0x01) + unit(0x14), False),  # scalable coding
    (b"", False),
]


@pytest.mark.parametrize("extradata", [AVCC, b"\0\0\1" + SETTINGS])
@pytest.mark.parametrize(("packet", "is_disposable"), SLICES)
def test_an_h264_packet_says_whether_others_refer_to_it(packet, is_disposable, extradata):
    assert marks(packet, extradata=extradata) == [is_disposable]


def test_a_cut_packet_is_not_disposable():
    assert marks(unit(0x01)[:-1]) == [False]


def test_a_missing_reference_picture_is_seen_in_the_frame_numbers():
    whole = [unit(0x41, 1), unit(0x01, 2), unit(0x41, 2), unit(0x01, 3), unit(0x01, 3)]
    assert marks(*whole) == [False, True, False, True, True]
    assert not any(marks(*whole[:2], *whole[3:]))  # number 2 is gone
    assert marks(*whole[:1], *whole[2:]) == [False, False, True, True]  # no other needed it
    around = [unit(0x41, number % 16) for number in range(1, 17)]
    assert marks(*around, unit(0x01, 1))[-1]  # numbers begin again after 15


def test_nothing_is_disposable_where_frame_numbers_are_not_known():
    assert marks(unit(0x01), extradata=b"") == [False]


def test_codecs_that_are_not_understood_have_none():
    found = Disposables("av1", None)
    found.look(memoryview(b"1234"))
    assert found.find(np.zeros(1, dtype=bool)).tolist() == [False]


def test_where_a_reference_picture_is_missing_frames_are_what_decoding_forward_gives(tmp_path):
    path = encode(tmp_path / "whole.mp4", **KINDS["h264.mp4"])
    index = Video(path).index
    referred = np.flatnonzero(~index.packets.is_disposable & ~index.packets.is_key)
    for lost in referred[[3, 6, 12]].tolist():
        cut = tmp_path / f"without_{lost}.mkv"
        with av.open(str(path)) as reader, av.open(str(cut), "w") as writer:
            copy = writer.add_stream_from_template(reader.streams.video[0])
            for number, packet in enumerate(p for p in reader.demux(video=0) if p.size):
                if number != lost:
                    packet.stream = copy
                    writer.mux(packet)
        oracle = forward(cut.read_bytes())
        for threads in (1, 2):
            with Video(cut, num_threads=threads) as video:
                had, _ = read_each(video, range(len(video) - 1, -1, -1))
                assert len(had) > FRAMES // 3
                assert strangers(video.index, had, oracle) == []


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
