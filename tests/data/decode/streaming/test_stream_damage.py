"""Streams of damaged and hostile files: nothing that refers to damage, and no bomb is opened."""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
import pytest

from temporal.data import Video, VideoError
from temporal.data.decode.files.view import ForwardFile
from temporal.data.decode.streaming.guard import BoxGuard

from ...zoo.broken import FRAGMENTS, _big_fragment, _packed_header, _tracks, changed
from ...zoo.corruption import GOOD, corrupt, make_good
from ...zoo.making import encode
from ...zoo.oracle import decode_forward


@pytest.mark.parametrize("name", GOOD)
def test_what_a_damaged_stream_gives_is_whole(tmp_path, name):
    good = make_good(name, tmp_path)
    truth = decode_forward(good)
    num_given = 0
    for seed in range(10):
        content = corrupt(good, seed)
        given = []
        try:
            for frame in Video(content).stream(0):
                given.append(frame.image.numpy())
        except VideoError as error:
            assert error.reason not in ("timeout", "worker_crashed", "oom"), seed
        num_given += len(given)
        others = [image for image in given if not any(one.equals(image) for one in truth)]
        if others:
            whole = [one for one in decode_forward(content) if not one.is_corrupt]
            assert all(any(one.equals(image) for one in whole) for image in others), seed
    assert num_given > len(truth)


class Pipe:
    """Bytes as one who cannot seek gets them: a few at a time."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)

    def read(self, size: int) -> bytes:
        return self._file.read(min(size, 1000))


BOMBS = {
    "fragment": (changed(_big_fragment, **FRAGMENTS), "corrupt", "a fragment announces"),
    "tracks": (_tracks, "too_large", "5001 tracks"),
    "packed": (_packed_header, "too_large", "unpacks to 268435456 bytes"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_before_it_is_streamed(tmp_path, name):
    make, reason, message = BOMBS[name]
    path = tmp_path / "bomb.mp4"
    make(path)
    for source in (path, Pipe(path.read_bytes())):
        with pytest.raises(VideoError, match=message) as caught:
            next(Video(source).stream(0))
        assert caught.value.reason == reason


def test_a_bomb_that_comes_late_ends_the_stream_at_its_place(tmp_path):
    path = tmp_path / "a.mp4"
    encode(path, frames=40, gop=10, **FRAGMENTS)
    data = path.read_bytes()
    place = data.rfind(b"trun")
    content = data[: place + 8] + struct.pack(">I", 0x07FFFFFF) + data[place + 12 :]
    video: Any = Video(Pipe(content))
    given = []
    with pytest.raises(VideoError, match="a fragment announces") as caught:
        given.extend(video.stream(0))
    assert caught.value.reason == "corrupt"
    frames = list(Video(Pipe(data)).stream(0))
    assert len(frames) == 40 and len(given) == caught.value.frames_read >= 20
    assert all(np.array_equal(a.image, b.image) for a, b in zip(given, frames, strict=False))


@pytest.mark.parametrize("chunk", [1, 7, 1000, 1 << 20])
def test_what_is_no_bomb_passes_the_guard_byte_by_byte(tmp_path, chunk):
    path = encode(tmp_path / "a.mp4", frames=20, **FRAGMENTS)
    data = path.read_bytes()
    wide = struct.pack(">I4sQ", 1, b"free", 20) + b"wide"
    moov = data.find(b"moov") - 4
    endless = bytes(4) + data[moov + 4 :]
    for content in (
        data,
        data[:moov] + wide + data[moov:],
        data[: moov + 100],  # cut in its header
        data[:moov] + endless,  # a header up to the end
        data[:moov] + b"\0\0\0\3free" + data[moov:],  # a size that makes no sense
        data + b"\0\0",
        b"",
    ):
        guard = BoxGuard(ForwardFile(content[:5], io.BytesIO(content[5:])), name="x")
        found = b""
        while part := guard.read(chunk):
            found += part
        assert found == content


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg2video", "mpeg4"])
def test_a_frame_that_comes_before_its_damage_is_known_is_not_given(tmp_path, codec):
    name = "a.mpg" if codec == "mpeg2video" else "a.mp4"
    good = encode(tmp_path / name, codec=codec, frames=24, gop=12, b_frames=2).read_bytes()
    truth = decode_forward(good)
    num_noticed = num_given = 0
    for content in _with_one_damaged_packet(good):
        given = []
        with contextlib.suppress(VideoError):
            given.extend(Video(content).stream(0))
        num_given += len(given)
        forward = decode_forward(content)
        # Damage that no decoder notices is a picture like any other.
        is_noticed = any(one.is_corrupt for one in forward)
        num_noticed += is_noticed
        right = truth if is_noticed else [*truth, *forward]
        for frame in given:
            same = [one for one in right if abs(one.seconds - frame.timestamp_seconds) < 1e-5]
            assert any(one.equals(frame.image.numpy()) for one in same)
    assert num_given > 100
    assert num_noticed >= (5 if codec in ("libx264", "mpeg4") else 0)


def _with_one_damaged_packet(good: bytes) -> Iterator[bytes]:
    with av.open(io.BytesIO(good)) as container:
        packets = [bytes(p) for p in container.demux(container.streams.video[0]) if p.size]
    for packet in packets:
        place = good.find(packet)
        if place < 0 or len(packet) < 40:
            continue  # in two pieces, or little more than a header
        for share in (0.4, 0.7):
            at = place + int(len(packet) * share)
            yield good[:at] + bytes(byte ^ 0x5A for byte in good[at : at + 8]) + good[at + 8 :]
