"""Workers that hang or die cost one read, not the pool."""

from __future__ import annotations

import os
import signal
import struct
import time

import numpy as np
import psutil
import pytest

from temporal.data import DecodePool, Video, VideoError

from .isolation import ended, workers


def _misbehave(video, frames, size, out):
    """Frame 1 hangs, frame 2 kills its worker, frame 3 needs all memory; others are read."""
    if frames == [1]:
        time.sleep(1000)
    if frames == [2]:
        os.kill(os.getpid(), signal.SIGKILL)
    if frames == [3]:
        raise MemoryError
    return video.read_array(frames, size=size, out=out)


def test_isolated_video_equals_a_plain_one(clips):
    images, _ = clips.truth("h264.mp4")
    with DecodePool(2, 60.0) as pool:
        for source in (clips.path("h264.mp4"), clips.path("h264.mp4").read_bytes()):
            video = pool.open(source, id="x")
            assert (len(video), video.backend, video.id, video.unit) == (60, "pyav", "x", "frame")
            assert np.array_equal(video.read([50, 7, 50]).numpy(), images[[50, 7, 50]])
            named = video.cost([50, 7])
            assert video.spent.frames_decoded == named.frames_decoded
            assert video.spent.bytes_read == named.bytes_read
            assert video.spent.decode_seconds > 0
            assert video.plan([0.4], tolerance_seconds=0.1) == [12]
            assert video.snap([13], 1) == [12]
            with pytest.raises(IndexError, match="0..59"):
                video.read([60])


def test_expected_frames_are_kept_in_the_worker_and_by_its_successor(clips):
    images, _ = clips.truth("h264_one_key.mp4")
    order = [30, 7, 59, 44]
    with DecodePool(1, 60.0, read_function=_misbehave) as pool:
        plain = Video(clips.path("h264_one_key.mp4"))
        video = pool.open(clips.path("h264_one_key.mp4"))
        plain.expect(order)
        video.expect(order)
        with pytest.raises(VideoError, match="died"):
            video.read([2])
        for frame in order:
            assert np.array_equal(video.read([frame])[0].numpy(), images[frame])
            plain.read([frame])
            assert video.spent.frames_decoded == plain.spent.frames_decoded <= 60
        before = video.spent.frames_decoded
        video.read([7])  # it left the shelf when it was read
        assert video.spent.frames_decoded > before
        with pytest.raises(ValueError, match="size"):
            video.expect([1], size=(0, 4))


def test_source_errors_come_through(tmp_path):
    with DecodePool(1, 60.0) as pool:
        with pytest.raises(VideoError, match="no/such") as caught:
            len(pool.open(tmp_path / "no" / "such.mp4"))
        assert caught.value.reason == "not_found"


def test_a_hang_and_a_crash_cost_one_read(clips):
    images, _ = clips.truth("h264.mp4")
    with DecodePool(1, 60.0, read_function=_misbehave) as pool:
        video, other = pool.open(clips.path("h264.mp4")), pool.open(clips.path("h264.mkv"))
        assert np.array_equal(video.read([30])[0].numpy(), images[30])
        for frame, reason in ((1, "timeout"), (2, "worker_crashed"), (3, "oom")):
            pool.deadline_seconds = 0.5 if reason == "timeout" else 60.0
            with pytest.raises(VideoError) as caught:
                video.read([frame])
            assert caught.value.reason == reason
            pool.deadline_seconds = 60.0
            assert np.array_equal(video.read([30])[0].numpy(), images[30])
            assert np.array_equal(other.read([9])[0].numpy(), clips.truth("h264.mkv")[0][9])
        left = workers()
        assert left
    assert ended(left)


@pytest.mark.parametrize(("workers", "deadline"), [(0, 1.0), (1, 0.0)])
def test_options_are_checked(workers, deadline):
    with pytest.raises(ValueError, match="must be"):
        DecodePool(workers, deadline)


def test_workers_that_die_while_idle_are_replaced(clips):
    images, _ = clips.truth("h264.mp4")
    with DecodePool(1, 60.0) as pool:
        video = pool.open(clips.path("h264.mp4"))
        for frame in range(4):
            assert np.array_equal(video.read([frame])[0].numpy(), images[frame])
            (worker,) = workers()
            worker.kill()
            psutil.wait_procs([worker], timeout=10)
            if frame % 2:
                time.sleep(0.3)  # so that pebble notices, and gives its pool up


def _answer_half(video, frames, size, out):
    """Frame 2 begins to answer and dies: the parent has half a message."""
    if frames == [2]:
        from multiprocessing.connection import Connection

        def send(self, content):
            self._send(struct.pack("!i", len(content)) + bytes(content)[: len(content) // 2])
            os.kill(os.getpid(), signal.SIGKILL)

        Connection._send_bytes = send
    return video.read_array(frames, size=size, out=out)


def test_half_an_answer_is_a_crash_and_not_a_hang(clips):
    images, _ = clips.truth("h264.mp4")
    with DecodePool(1, 60.0, read_function=_answer_half) as pool:
        video = pool.open(clips.path("h264.mp4"))
        with pytest.raises(VideoError) as caught:
            video.read([2])
        assert caught.value.reason == "worker_crashed"
        assert np.array_equal(video.read([30])[0].numpy(), images[30])
        left = workers()  # one, or also what the first pool began before it was given up
        assert left
    assert ended(left)


def test_a_closed_pool_says_so(clips):
    with DecodePool(1, 60.0) as pool:
        video = pool.open(clips.path("h264.mp4"))
        video.read([0])
    with pytest.raises(RuntimeError, match="closed"):
        video.read([0])
    video.close()
