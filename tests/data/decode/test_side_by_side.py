"""Runs that are decoded side by side: the same frames, the same cost, and no damage hidden."""

from __future__ import annotations

import io
import random

import av
import numpy as np
import pytest

from temporal.data import Video, VideoError
from temporal.data.decode.decoders import side_by_side
from temporal.data.decode.decoders.lane import Lane

from ..conftest import FRAMES, encode
from ..conftest import decode_forward as decode_forward_all
from ..zoo.corruption import GOOD, corrupt, make_good
from ..zoo.laws import read_what_can_be, strangers
from ..zoo.oracle import decode_forward

SEEDS = 10
SPREAD = [3, 17, 18, 30, 44, 59]


class Followed(list):
    """(first packet of a run, frames its decoder works at, whether it was whole), as they were."""


@pytest.fixture
def followed(monkeypatch):
    """Let lanes read everything, however small; say what they read."""
    monkeypatch.setattr(side_by_side, "_MIN_PIXELS", 0)
    monkeypatch.setattr(side_by_side, "_LONG_RUN", 1)
    runs, read = Followed(), Lane.read

    def read_and_tell(lane, run, sink):
        is_whole = read(lane, run, sink)
        runs.append((run.first_packet, lane.threads, is_whole))
        return is_whole

    monkeypatch.setattr(Lane, "read", read_and_tell)
    return runs


def test_threads_change_no_frame_and_no_cost(clips, clip_name, followed):
    path = clips.path(clip_name)
    for frames in (SPREAD, range(FRAMES), [40], [59, 2]):
        with Video(path, num_threads=1) as alone, Video(path, num_threads=3) as together:
            frames = [frame for frame in frames if frame < len(alone)]
            expected = alone.read(frames, size=(24, 32)).numpy()
            assert not followed
            assert np.array_equal(together.read(frames, size=(24, 32)).numpy(), expected)
            assert bool(followed) == together.index.is_ordered
            if all(is_whole for *_, is_whole in followed):
                assert together.spent.frames_decoded == alone.spent.frames_decoded
                assert together.spent.bytes_read == alone.spent.bytes_read
            followed.clear()


def test_lanes_do_the_work_of_whole_files(clips, followed):
    with Video(clips.path("h264.mp4"), num_threads=3) as video:
        video.read(SPREAD)
    assert len(followed) == 5  # GOPs of 12 in which something is wanted
    assert all(is_whole for *_, is_whole in followed)


def test_a_long_run_alone_is_decoded_with_frame_threads(clips, followed):
    with Video(clips.path("h264_one_key.mp4"), num_threads=2) as video:
        images = video.read([10, 55]).numpy()
    assert followed == [(0, 2, True)]
    truth, _ = clips.truth("h264_one_key.mp4")
    assert np.array_equal(images, truth[[10, 55]])


@pytest.mark.parametrize("as_bytes", [True, False])
def test_bytes_and_file_objects_have_lanes_too(clips, followed, as_bytes):
    content = clips.path("h264.mp4").read_bytes()
    truth, _ = clips.truth("h264.mp4")
    with Video(content if as_bytes else io.BytesIO(content), num_threads=2) as video:
        assert np.array_equal(video.read(SPREAD).numpy(), truth[SPREAD])
    assert len(followed) == 5


def test_reading_on_stays_with_the_decoder_that_has_its_place(clips, followed):
    with Video(clips.path("h264_one_key.mp4"), num_threads=2) as video:
        for frame in range(FRAMES):
            video.read([frame])
        assert len(followed) == 1  # then it was known that reading goes on
        assert video.spent.frames_decoded <= FRAMES + 2


def test_what_is_expected_is_kept_by_lanes(clips, followed):
    truth, _ = clips.truth("h264.mp4")
    with Video(clips.path("h264.mp4"), num_threads=2) as video:
        video.expect([4, 29])
        video.read([10, 34])
        assert len(followed) == 2
        spent = video.spent.frames_decoded
        assert np.array_equal(video.read([4, 29]).numpy(), truth[[4, 29]])
        assert video.spent.frames_decoded == spent


def test_frames_too_large_for_several_decoders_have_one(clips, followed, monkeypatch):
    monkeypatch.setattr(side_by_side, "_MAX_PIXELS_IN_FLIGHT", 64 * 48)
    with Video(clips.path("h264.mp4"), num_threads=8) as video:
        video.read(SPREAD)
    assert not followed


@pytest.mark.parametrize("name", GOOD)
def test_no_damage_is_hidden_by_threads(tmp_path, followed, name):
    good = make_good(name, tmp_path)
    truth = decode_forward(good)
    for seed in range(SEEDS):
        content = corrupt(good, seed)
        try:
            index = Video(content).index
        except VideoError:
            continue
        had, _ = read_what_can_be(Video(content, num_threads=2))
        assert strangers(index, had, decode_forward(content), truth) == [], seed
        for frame in range(0, len(index), 5):
            alone, together = (_fresh(content, frame, threads) for threads in (1, 2))
            assert np.array_equal(alone, together), (seed, frame)


@pytest.mark.parametrize("b_frames", [0, 2])
def test_no_damage_is_hidden_by_frame_threads(tmp_path, followed, b_frames):
    path = encode(tmp_path / "long.mkv", gop=FRAMES, b_frames=b_frames)
    good, rng = path.read_bytes(), random.Random(b_frames)
    for seed in range(2 * SEEDS):
        content = bytearray(good[: rng.randrange(len(good) // 2, len(good))])
        content[-rng.randrange(2, 500)] ^= 1 << rng.randrange(8)  # near the end of what is left
        count = len(Video(bytes(content)))
        for frame in (count - 1, count - 2, count // 2):
            alone, together = (_fresh(bytes(content), frame, threads) for threads in (1, 2))
            assert np.array_equal(alone, together), (seed, frame)
    assert any(threads > 1 for _, threads, _ in followed)


@pytest.mark.parametrize("params", ["slices=4:keyint=60", "intra-refresh=1:keyint=20"])
def test_pictures_in_pieces_are_not_decoded_with_frame_threads(tmp_path, followed, params):
    options = {"x264-params": params}
    path = encode(tmp_path / "pieces.mp4", gop=FRAMES, size=(96, 128), options=options)
    images, _ = decode_forward_all(path)
    with Video(path, num_threads=2) as video:
        assert np.array_equal(video.read([40, 59]).numpy(), images[[40, 59]])
    assert {threads for _, threads, _ in followed} <= {1}


def test_an_error_counts_the_frames_before_it(tmp_path, followed):
    path = encode(tmp_path / "broken.mp4")
    packets = Video(path).index.packets
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    broken = int(np.flatnonzero(packets.is_key)[2])
    for place in range(places[broken], places[broken] + int(packets.size_bytes[broken])):
        content[place] ^= 0x5A
    counts = []
    for threads in (1, 2):
        with pytest.raises(VideoError) as caught:
            Video(bytes(content), num_threads=threads).read(SPREAD)
        counts.append(caught.value.frames_read)
    assert counts == [3, 3]  # of 3, 17, 18, 30, 44, 59
    assert any(is_whole for *_, is_whole in followed[-2:])  # though later ones had been read


def _fresh(content: bytes, frame: int, threads: int) -> np.ndarray:
    """Read one frame with a new video; empty where it cannot be had."""
    try:
        return Video(content, num_threads=threads).read([frame])[0].numpy()
    except VideoError:
        return np.empty(0)


def test_num_threads_is_checked():
    with pytest.raises(ValueError, match=r"num_threads \(0\)"):
        Video("clip.mp4", num_threads=0)
