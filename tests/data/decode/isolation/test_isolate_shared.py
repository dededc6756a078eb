"""Frames come through shared memory: exact, never overwritten, and nothing is left of it."""

from __future__ import annotations

import dataclasses
import errno
import os
import random
import threading

import numpy as np
import pytest

from temporal.data import DecodePool, VideoError
from temporal.data.decode.isolation import shared

from .isolation import counted_pipe, ended, shared_memory_of, workers

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs Linux")

SIZE = (480, 640)
FRAME_BYTES = 3 * 480 * 640


def test_no_frame_goes_through_the_pipe(clips, monkeypatch):
    with DecodePool(1, 60.0) as pool:
        video = pool.open(clips.path("h264.mp4"))
        len(video)
        with counted_pipe(monkeypatch) as sizes:
            assert video.read(range(16), size=SIZE).shape == (16, 3, *SIZE)
            assert video.read([3]).shape == (1, 3, 48, 64)
            assert len(list(video.stream(0.4, size=SIZE))) == 6
    assert 0 < sum(sizes) < 50_000


def test_the_bytes_of_a_video_go_to_its_worker_once(clips, monkeypatch):
    content = clips.path("h264.mp4").read_bytes() + bytes(10**7)
    images, _ = clips.truth("h264.mp4")
    sent = []
    from temporal.data import Video

    whole = Video.__getstate__
    monkeypatch.setattr(Video, "__getstate__", lambda self: sent.append(self) or whole(self))
    with DecodePool(1, 60.0, max_open=1) as pool:
        video, other = pool.open(content), pool.open(clips.path("h264.mkv"))
        for frame in range(5):
            assert np.array_equal(video.read([frame])[0].numpy(), images[frame])
        assert len(sent) == 1
        other.read([0])  # takes the only place
        assert np.array_equal(video.read([9])[0].numpy(), images[9])
        assert len(sent) == 3


def _no_room(monkeypatch):
    def refuse(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", refuse)


def _other_system(monkeypatch):
    monkeypatch.delattr(os, "memfd_create")


def _hidden_from_the_worker(monkeypatch):
    whole = shared.SharedBuffer.fit

    def fit(self, num_bytes):
        return dataclasses.replace(whole(self, num_bytes), process=2**22 + 1)  # there is none

    monkeypatch.setattr(shared.SharedBuffer, "fit", fit)


@pytest.mark.parametrize("hinder", [_no_room, _other_system, _hidden_from_the_worker])
def test_the_pipe_takes_over_where_there_is_no_shared_memory(clips, monkeypatch, hinder):
    images, _ = clips.truth("h264.mp4")
    hinder(monkeypatch)
    with DecodePool(1, 60.0) as pool:
        video = pool.open(clips.path("h264.mp4"))
        with counted_pipe(monkeypatch) as sizes:
            assert np.array_equal(video.read([9, 2, 9]).numpy(), images[[9, 2, 9]])
            video.read([5], size=SIZE)
            frames = [frame.image.numpy() for frame in video.stream(0.4)]
        assert max(sizes) > FRAME_BYTES
        assert np.array_equal(np.stack(frames), images[::10])


def test_frames_that_a_caller_has_stay_as_they_are(clips):
    images, _ = clips.truth("h264.mp4")
    with DecodePool(1, 60.0) as pool:
        video = pool.open(clips.path("h264.mp4"))
        order = random.Random(0).sample(range(60), 60)
        had = [video.read([frame]) for frame in order] + [f.image[None] for f in video.stream(0.0)]
        had[0][:] = 7  # the caller's own, to write to
    for frame, tensor in zip([*order, *range(60)][1:], had[1:], strict=True):
        assert np.array_equal(tensor[0].numpy(), images[frame])
    assert (had[0] == 7).all()


def test_threads_that_read_one_video_get_their_own_frames(clips):
    images, _ = clips.truth("h264.mp4")
    wrong: list[object] = []
    with DecodePool(1, 60.0) as pool:
        video = pool.open(clips.path("h264.mp4"))

        def read(seed: int) -> None:
            draw = random.Random(seed)
            try:
                for _ in range(20):
                    frames = draw.sample(range(60), 4)
                    video.expect(draw.sample(range(60), 9))
                    if not np.array_equal(video.read(frames).numpy(), images[frames]):
                        wrong.append(frames)
            except Exception as error:
                wrong.append(error)

        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_large_memory_is_given_back_and_small_memory_kept(clips):
    with DecodePool(1, 60.0) as pool:
        video = pool.open(clips.path("h264.mp4"))
        video.read([0])
        (worker,) = workers()
        small = [len(shared_memory_of(pid)) for pid in ("self", worker.pid)]
        assert min(small) > 0
        assert video.read([0], size=(5000, 5000)).shape == (1, 3, 5000, 5000)  # 75 MB
        assert shared_memory_of("self") == shared_memory_of(worker.pid) == []
        video.read([1])
        assert [len(shared_memory_of(pid)) for pid in ("self", worker.pid)] == small
    assert shared_memory_of("self") == []


def test_a_descriptor_that_means_another_file_by_now_is_not_written_to(tmp_path):
    buffer = shared.SharedBuffer(0)
    address = buffer.fit(100)
    assert address is not None
    path = tmp_path / "precious"
    path.write_bytes(bytes(10**6))
    with path.open("rb+") as file:
        stale = dataclasses.replace(address, descriptor=file.fileno())
        assert shared.map_shared(stale, 100) is None
    mapped = shared.map_shared(address, 100)
    assert mapped is not None
    mapped[:] = np.arange(100)
    assert np.array_equal(buffer.copy((4, 25)), np.arange(100).reshape(4, 25))
    assert shared.map_shared(address, 101) is None
    buffer.free()
    shared._mapped.clear()  # this process was its own worker


def named_memory() -> set[str]:
    # Without semaphores, which other processes have there, too.
    return {name for name in os.listdir("/dev/shm") if not name.startswith("sem.")}


def test_workers_killed_at_any_moment_leave_nothing(clips):
    images, _ = clips.truth("h264.mp4")
    before = named_memory()
    delays, seen, reasons = random.Random(0), [], []
    stop = threading.Event()

    def kill() -> None:
        while not stop.wait(delays.uniform(0.0, 0.06)):
            for worker in workers():
                worker.kill()
                seen.append(worker)

    killer = threading.Thread(target=kill)
    with DecodePool(2, 60.0) as pool:
        videos = [pool.open(clips.path("h264.mp4")) for _ in range(2)]
        assert len(videos[0]) == len(videos[1]) == 60
        killer.start()
        try:
            while len(seen) < 12 and len(reasons) < 20_000:
                number = len(reasons)
                try:
                    found = videos[number % 2].read([40, 8]).numpy()
                    reasons.append("ok" if np.array_equal(found, images[[40, 8]]) else "wrong")
                except VideoError as error:
                    reasons.append(error.reason)
        finally:
            stop.set()
            killer.join()
        for video in videos:  # and the pool goes on
            assert np.array_equal(video.read([5])[0].numpy(), images[5])
        seen += workers()
    assert set(reasons) <= {"ok", "worker_crashed"} and len(seen) >= 12
    assert ended(seen) and workers() == []
    assert shared_memory_of("self") == []
    assert named_memory() - before == set()
