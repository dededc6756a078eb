"""Streams out of a worker: frame for frame those of this process, each under the deadline."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from temporal.data import DecodePool, Video, VideoError

from .isolation import workers


@pytest.fixture(scope="module")
def pool():
    with DecodePool(1, 60.0) as pool:
        yield pool


def same(isolated: Any, plain: Any, **options: Any) -> int:
    """Compare two streams of one source, frame by frame; return how many frames there are."""
    count = 0
    for ours, theirs in zip(isolated.stream(**options), plain.stream(**options), strict=True):
        assert ours.timestamp_seconds == theirs.timestamp_seconds
        assert ours.clock_breaks == theirs.clock_breaks
        assert ours.packets_lost == theirs.packets_lost
        assert np.array_equal(ours.image.numpy(), theirs.image.numpy())
        assert isolated.spent.frames_decoded == plain.spent.frames_decoded
        assert isolated.spent.bytes_read == plain.spent.bytes_read
        count += 1
    assert isolated.spent.frames_decoded == plain.spent.frames_decoded
    return count


def test_streams_and_their_costs_are_the_same(clips, clip_name, pool):
    path = clips.path(clip_name)
    images, _ = clips.truth(clip_name)
    assert same(pool.open(path), Video(path), every_seconds=0.0) == len(images)
    sparse = {"every_seconds": 0.33, "size": (24, 20)}
    assert same(pool.open(path.read_bytes()), Video(path), **sparse) >= 7


def test_clock_breaks_and_changing_sizes_come_through(clips, pool, tmp_path, encode_video):
    parts = [clips.path("h264.ts"), encode_video(tmp_path / "large.ts", size=(96, 128))]
    content = b"".join(part.read_bytes() for part in parts * 2)
    count = same(pool.open(content), Video(content), every_seconds=0.0)
    assert count > 100


def test_streams_and_reads_of_one_worker_take_turns(clips, pool):
    names = ("h264.mp4", "h264.mkv")
    videos = [pool.open(clips.path(name)) for name in names]
    truths = [clips.truth(name)[0] for name in names]
    streams = zip(*(video.stream(0.0) for video in videos), strict=True)
    for number, pair in enumerate(streams):
        for frame, images in zip(pair, truths, strict=True):
            assert np.array_equal(frame.image.numpy(), images[number])
        wanted = (number * 7) % 60
        assert np.array_equal(videos[0].read([wanted])[0].numpy(), truths[0][wanted])


def test_what_is_not_read_on_is_not_decoded(clips, pool):
    video = pool.open(clips.path("h264_no_b.mp4"))
    stream = video.stream(0.0)
    assert video.spent.frames_decoded == 0
    for count in range(1, 6):
        next(stream)
        assert video.spent.frames_decoded == count
    stream.close()
    assert list(stream) == [] and video.spent.frames_decoded == 5


def is_open(path: Any) -> bool:
    return any(str(path) in [f.path for f in worker.open_files()] for worker in workers())


def test_closing_and_dropping_a_stream_frees_the_worker(clips):
    path = clips.path("fragmented.mp4")
    with DecodePool(1, 60.0) as pool:
        video = pool.open(path)
        with contextlib.closing(video.stream(0.0)) as stream:
            next(stream)
            assert is_open(path)
        pool.open(clips.path("h264.mp4")).read([0])  # comes after the close
        assert not is_open(path)
        for _ in video.stream(0.0):
            break
        assert is_open(path)
        pool.open(clips.path("h264.mp4")).read([0])  # the next call takes it along
        assert not is_open(path)
        video.read([0])
        assert is_open(path)
        video.close()
        pool.open(clips.path("h264.mp4")).read([0])
        assert not is_open(path)
        assert video.read([1]).shape == (1, 3, 48, 64)


def test_a_cut_file_gives_what_is_there_and_then_the_error(clips, pool):
    content = clips.path("fragmented.mp4").read_bytes()
    fourth = [place.start() for place in re.finditer(b"mdat", content)][3]
    content = content[: fourth + 150]
    streams, ends = (Video(content).stream(0.0), pool.open(content).stream(0.0)), []
    for stream in streams:
        images = []
        with pytest.raises(VideoError) as caught:
            for frame in stream:
                images.append(frame.image.numpy())
        assert caught.value.frames_read == len(images) > 10
        ends.append((caught.value.reason, len(images)))
        assert next(stream, None) is None
    assert ends[0] == ends[1]


def test_sources_and_arguments_are_checked(clips, pool, tmp_path):
    video = pool.open(tmp_path / "missing.mp4")
    with pytest.raises(VideoError, match="not_found"):
        next(video.stream())
    for every_seconds in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="every_seconds"):
            video.stream(every_seconds)
    with pytest.raises(ValueError, match="size"):
        video.stream(size=(0, 5))
    receiving, sending = os.pipe()
    os.close(sending)
    with os.fdopen(receiving, "rb") as pipe, pytest.raises(TypeError, match=r"Video\(source\)"):
        pool.open(pipe)
    (tmp_path / "a.txt").write_text("text")
    with open(tmp_path / "a.txt") as file, pytest.raises(TypeError, match="'rb'"):
        pool.open(file)  # type: ignore[arg-type]
    with clips.path("h264.ts").open("rb") as file:
        assert len(list(pool.open(file).stream(0.4))) == 6


def _sabotage(video, frames, size, out):
    """Make the worker's next decoding hang, or kill it."""
    from temporal.data.decode.streaming.forward import ForwardReader

    if frames == [1]:
        ForwardReader._decode = lambda *_: time.sleep(1000)  # type: ignore[assignment,method-assign]
    if frames == [2]:
        ForwardReader._decode = lambda *_: os.kill(  # type: ignore[assignment,method-assign]
            os.getpid(), signal.SIGKILL
        )
    return video.read_array(frames, size=size, out=out)


@pytest.mark.parametrize(("frame", "reason"), [(1, "timeout"), (2, "worker_crashed")])
def test_a_hang_and_a_crash_end_the_stream_and_not_the_pool(clips, frame, reason):
    images, _ = clips.truth("h264.mp4")
    with DecodePool(1, 60.0, read_function=_sabotage) as pool:
        video = pool.open(clips.path("h264.mp4"))
        stream, bystander = video.stream(0.0), video.stream(0.0)
        for number in range(3):
            assert np.array_equal(next(stream).image.numpy(), images[number])
            assert np.array_equal(next(bystander).image.numpy(), images[number])
        video.read([frame])
        pool.deadline_seconds = 0.5 if reason == "timeout" else 60.0
        more = []  # what was decoded before is still given
        with pytest.raises(VideoError) as caught:
            for frame_after in stream:
                more.append(frame_after)
        pool.deadline_seconds = 60.0
        assert (caught.value.reason, caught.value.frames_read) == (reason, 3 + len(more))
        assert list(stream) == []
        with pytest.raises(VideoError, match=r"worker_crashed.*place is lost"):
            next(bystander)
        assert np.array_equal(video.read([30])[0].numpy(), images[30])
        assert len(list(video.stream(0.4))) == 6


def test_a_worker_that_dies_between_two_frames_ends_the_stream(clips):
    with DecodePool(1, 60.0) as pool:
        stream = pool.open(clips.path("h264.mp4")).stream(0.0)
        next(stream)
        for worker in workers():
            worker.kill()
        with pytest.raises(VideoError) as caught:
            list(stream)
        assert (caught.value.reason, caught.value.frames_read) == ("worker_crashed", 1)


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="needs Linux")
def test_workers_load_no_torch_for_streams(clips):
    with DecodePool(1, 60.0) as pool:
        video = pool.open(clips.path("h264.mp4"))
        assert len(list(video.stream(0.4))) == 6
        (worker,) = workers()
        maps = Path(f"/proc/{worker.pid}/maps").read_text()
        assert "libav" in maps
        assert "libtorch" not in maps


@pytest.mark.slow
def test_many_frames_take_no_more_memory_than_a_few(clips):
    content = clips.path("h264.ts").read_bytes() * 500  # 30,000 frames
    with DecodePool(1, 60.0) as pool:
        warm: list[int] = []
        for count, _ in enumerate(pool.open(content).stream(0.0, size=(24, 32))):
            if count == 3000:
                processes = [psutil.Process(), *workers()]
                warm = [process.memory_info().rss for process in processes]
        assert count > 29_000
        for process, before in zip(processes, warm, strict=True):
            assert process.memory_info().rss - before < 20 * 2**20
