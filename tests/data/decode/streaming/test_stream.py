"""Streams: forward, without an index, in constant memory, right whatever the timestamps do."""

from __future__ import annotations

import io
import os
import re
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
import pytest

from temporal.data import Video, VideoError
from temporal.data.decode.packets import index_cache
from temporal.data.decode.streaming.clock import StreamClock
from temporal.trace import Cost


@pytest.fixture
def no_index(monkeypatch) -> None:
    """Building an index is an error."""
    monkeypatch.setattr(index_cache, "build_index", None)


def due(times: np.ndarray, every_seconds: float, tick: float) -> list[int]:
    """The frames that are due, by hand: the first at or after each multiple of the interval."""
    found, number = [], 0
    for frame, time in enumerate(times - times[0] + tick / 2 + 1e-9):
        if time >= number * every_seconds:
            found.append(frame)
            number = int(time // every_seconds) + 1
    return found


def test_every_frame_of_every_container_is_the_oracles(clips, clip_name):
    images, _ = clips.truth(clip_name)
    times = Video(clips.path(clip_name)).index.timestamps_seconds
    video = Video(clips.path(clip_name))
    frames = list(video.stream(0.0))
    assert [f.timestamp_seconds for f in frames] == pytest.approx(times.tolist(), abs=1e-9)
    assert np.array_equal(np.stack([f.image.numpy() for f in frames]), images)
    assert not any(f.clock_breaks or f.packets_lost for f in frames)


@pytest.mark.parametrize("every_seconds", [0.2, 0.33, 0.7, 1.0])
def test_due_frames_of_every_container_are_the_oracles(clips, clip_name, every_seconds):
    images, _ = clips.truth(clip_name)
    index = Video(clips.path(clip_name)).index
    times = index.timestamps_seconds
    wanted = due(times, every_seconds, float(index.time_base))
    frames = list(Video(clips.path(clip_name)).stream(every_seconds))
    assert [f.timestamp_seconds for f in frames] == pytest.approx(times[wanted].tolist())
    assert np.array_equal(np.stack([f.image.numpy() for f in frames]), images[wanted])


@pytest.mark.usefixtures("no_index")
def test_no_index_is_built_and_gops_without_a_due_frame_are_not_decoded(clips, read_number):
    path = clips.path("h264_no_b.mp4")  # GOPs of 12 frames, 0.48 s
    video = Video(path)
    frames = list(video.stream(every_seconds=1.0))
    assert [read_number(f.image.numpy()) for f in frames] == [0, 25, 50]
    # Frame 0; 24 and 25 from their keyframe; 48, 49 and 50 from theirs.
    assert video.spent.frames_decoded == 1 + 2 + 3
    with av.open(str(path)) as container:
        sizes = [p.size for p in container.demux(video=0) if p.size]
    assert video.spent.bytes_read == sum(sizes[i] for i in (0, 24, 25, 48, 49, 50))
    assert video.spent.decode_seconds > 0


def test_only_due_frames_are_converted(clips, monkeypatch):
    from temporal.data.decode.streaming import forward

    converted: list[int] = []
    whole = forward.to_image

    def count(frame: Any, *args: Any) -> np.ndarray:
        converted.append(frame.pts)
        return whole(frame, *args)

    monkeypatch.setattr(forward, "to_image", count)
    video = Video(clips.path("h264_one_key.mp4"))
    assert len(list(video.stream(0.5))) == len(converted) == 5
    assert video.spent.frames_decoded > 50  # one GOP: the frames on the way had to be decoded


def test_what_is_not_read_on_is_not_decoded_and_costs_are_told_on_the_way(clips):
    video = Video(clips.path("h264_no_b.mp4"))
    stream = video.stream(0.0)
    assert video.spent == Cost()
    for count in range(1, 6):
        next(stream)
        assert video.spent.frames_decoded == count
    stream.close()
    assert video.spent.frames_decoded == 5


def test_reads_and_streams_of_one_source_do_not_disturb_each_other(clips):
    path = clips.path("h264.mp4")
    images, _ = clips.truth("h264.mp4")
    with open(path, "rb") as file:
        for source in (path, path.read_bytes(), file):
            video = Video(source)
            streams = [video.stream(0.0), video.stream(0.0)]
            for frame, pair in enumerate(zip(*streams, strict=True)):
                for item in pair:
                    assert np.array_equal(item.image.numpy(), images[frame])
                other = (frame * 7) % 60
                assert np.array_equal(video.read([other])[0].numpy(), images[other])
        assert not file.closed


def test_size_rotation_and_arguments(clips):
    video = Video(clips.path("rotated.mp4"))
    assert next(video.stream()).image.shape == (3, 64, 48)
    frame = next(video.stream(size=(32, 20)))
    assert frame.image.shape == (3, 32, 20) and frame.image.is_contiguous()
    for every_seconds in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="every_seconds"):
            video.stream(every_seconds)
    with pytest.raises(ValueError, match="size"):
        video.stream(size=(0, 5))


# Sources that cannot seek, or that grow


class Pipe:
    """A source that can only be read, a little at a time."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)

    def read(self, size: int) -> bytes:
        return self._file.read(min(size, 700))


@pytest.mark.usefixtures("no_index")
@pytest.mark.parametrize("name", ["h264.ts", "h264.mkv", "fragmented.mp4", "h264.flv", "vp9.webm"])
def test_pipes_read_as_files_do(clips, name):
    images, _ = clips.truth(name)
    frames = list(Video(Pipe(clips.path(name).read_bytes())).stream(0.0))  # type: ignore[arg-type]
    assert np.array_equal(np.stack([f.image.numpy() for f in frames]), images)


def test_a_live_pipe_gives_frames_before_its_end(clips, read_number):
    content = clips.path("h264_intra.mp4").read_bytes()
    live = io.BytesIO()
    with av.open(io.BytesIO(content)) as reader, av.open(live, "w", format="mpegts") as writer:
        copy = writer.add_stream_from_template(reader.streams.video[0])
        for packet in reader.demux(video=0):
            if packet.size:
                packet.stream = copy
                writer.mux(packet)
    content = live.getvalue()
    receiving, sending = os.pipe()
    go_on = threading.Event()

    def send() -> None:
        with os.fdopen(sending, "wb", buffering=0) as pipe:
            half = len(content) * 3 // 4 // 188 * 188
            pipe.write(content[:half])
            go_on.wait(20)
            pipe.write(content[half:])

    sender = threading.Thread(target=send)
    sender.start()
    with os.fdopen(receiving, "rb") as pipe:
        stream = Video(pipe).stream(0.2)
        assert read_number(next(stream).image.numpy()) == 0  # the rest is not sent yet
        go_on.set()
        assert [read_number(f.image.numpy()) for f in stream] == list(range(5, 60, 5))
    sender.join()


def test_a_growing_file_is_followed_by_a_read_that_waits(clips, tmp_path, read_number):
    content = clips.path("h264.ts").read_bytes()
    path = tmp_path / "growing.ts"
    path.write_bytes(content[: len(content) // 2])
    grown = threading.Event()

    class Following(io.FileIO):
        def read(self, size: int = -1) -> bytes:  # type: ignore[override]
            data = super().read(size)
            if not data and not grown.is_set():
                with path.open("ab") as file:
                    file.write(content[len(content) // 2 :])
                grown.set()
                return super().read(size)
            return data

    with Following(path) as file:
        numbers = [read_number(f.image.numpy()) for f in Video(file).stream(0.4)]
    assert numbers == [0, 10, 20, 30, 40, 50] and grown.is_set()


def test_what_cannot_seek_has_no_index_and_says_so(clips):
    pipe: Any = Pipe(clips.path("h264.mp4").read_bytes())
    with pytest.raises(TypeError, match=r"cannot seek.*video\.stream\(\)"):
        len(Video(pipe))
    late: Any = Pipe(clips.path("h264.mp4").read_bytes())  # its header is at its end
    with pytest.raises(VideoError, match="truncated_header.*faststart"):
        list(Video(late).stream())


def test_a_source_that_returns_too_much_or_nothing_yet_is_refused(clips):
    content = clips.path("h264.ts").read_bytes() * 20

    class TooMuch(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(size) if size == 1024 else super().read()

    class NotYet(Pipe):
        def read(self, size: int) -> Any:
            return super().read(size) if self._file.tell() < 2000 else None

    with pytest.raises(TypeError, match="at most"):
        list(Video(TooMuch(content)).stream())
    not_yet: Any = NotYet(content)
    with pytest.raises(BlockingIOError, match="must wait"):
        list(Video(not_yet).stream())


def test_an_error_of_the_source_comes_through(clips):
    class Gone(Pipe):
        def read(self, size: int) -> bytes:
            if self._file.tell() > 10_000:
                raise ConnectionResetError("the camera is gone")
            return super().read(size)

    gone: Any = Gone(clips.path("h264.ts").read_bytes() * 4)
    with pytest.raises(ConnectionResetError, match="camera"):
        list(Video(gone).stream())


# Timestamps that go back or are missing


def test_restarting_timestamps_go_on_evenly(clips, tmp_path, read_number):
    path = tmp_path / "joined.ts"
    path.write_bytes(clips.path("h264.ts").read_bytes() * 3)
    frames = list(Video(path).stream(0.0))
    assert [read_number(f.image.numpy()) for f in frames] == [*range(60)] * 3
    times = np.array([f.timestamp_seconds for f in frames])
    assert np.diff(times) == pytest.approx(0.04, abs=0.09)  # a delay of B-frames at each join
    assert (np.diff(times) > 0).all()
    assert [frames[i].clock_breaks for i in (0, 59, 60, 119, 120, 179)] == [0, 0, 1, 1, 2, 2]
    # Were the restarted clock waited for, nothing would be due after the first third.
    sparse = list(Video(path).stream(1.0))
    assert np.diff([f.timestamp_seconds for f in sparse]) == pytest.approx(1.0, abs=0.09)
    assert len(sparse) == 8


def rewrite(source: Path, target: Path, change: Callable[[int, Any], None]) -> Path:
    """Copy packets after changing them; `change` gets (number, packet)."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        copy = writer.add_stream_from_template(reader.streams.video[0])
        number = 0
        for packet in reader.demux(video=0):
            if packet.size:
                change(number, packet)
                packet.stream = copy
                writer.mux(packet)
                number += 1
    return target


def test_a_jump_forward_is_a_gap_and_stays_one(clips, tmp_path, read_number):
    def jump(number: int, packet: Any) -> None:
        if number >= 36:
            packet.pts += round(3600 / packet.time_base)
            packet.dts += round(3600 / packet.time_base)

    path = rewrite(clips.path("h264_no_b.mp4"), tmp_path / "gap.mp4", jump)
    video = Video(path)
    frames = list(video.stream(1.0))
    # The gap makes no burst: after it, frames are a second apart again.
    assert [read_number(f.image.numpy()) for f in frames] == [0, 25, 36, 50]
    assert frames[2].timestamp_seconds == pytest.approx(3600 + 36 / 25)
    assert frames[3].timestamp_seconds == pytest.approx(3600 + 50 / 25)
    assert frames[3].clock_breaks == 0


def test_missing_and_retreating_frame_times_are_carried_on():
    clock = StreamClock(Fraction(1, 100), Fraction(1, 25))
    assert [clock.ticks_of_frame(t) for t in (10, 14, None, None, 26)] == [10, 14, 18, 22, 26]
    assert clock.breaks == 1  # one place, two frames
    assert [clock.ticks_of_frame(t) for t in (30, 2, 6, 10)] == [30, 34, 38, 42]
    assert clock.breaks == 2
    assert StreamClock(Fraction(1, 100), Fraction(1, 25)).ticks_of_frame(None) == 0


@pytest.mark.parametrize("has_dts", [True, False])
def test_packets_that_go_back_begin_a_segment_that_follows(has_dts):
    clock = StreamClock(Fraction(1, 100), Fraction(1, 25))
    written, due = [], []
    for pts, dts, is_key in [(0, -4, True), (12, 0, False), (4, 4, False)] * 3:
        packet = av.Packet()
        packet.pts, packet.is_keyframe = pts, is_key
        packet.dts = dts if has_dts else None
        clock.follow(packet)
        written.append(packet.pts)
        due.append(clock.ticks_of_packet(packet))
    segment = 12 if has_dts else 16
    assert written == due == [t + s * segment for s in range(3) for t in (0, 12, 4)]
    for time in sorted(written):
        assert clock.ticks_of_frame(time) == time
    assert clock.breaks == 2


# Damage


def test_a_damaged_gop_is_left_out_and_told(clips, tmp_path, read_number):
    content = bytearray(clips.path("h264_no_b.mp4").read_bytes())
    with av.open(str(clips.path("h264_no_b.mp4"))) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    start, size = places[15]
    content[start : start + size] = bytes(size)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(bytes(content))
    frames = list(Video(path).stream(0.0))
    numbers = [read_number(f.image.numpy()) for f in frames]
    assert numbers == [*range(15), *range(24, 60)]
    assert [f.packets_lost for f in frames] == [0] * 15 + [1] * 36
    assert [round(f.timestamp_seconds * 25) for f in frames] == numbers


def test_a_cut_file_gives_what_is_there_and_then_an_error(clips, tmp_path):
    images, times = clips.truth("fragmented.mp4")
    content = clips.path("fragmented.mp4").read_bytes()
    fourth = [place.start() for place in re.finditer(b"mdat", content)][3]
    path = tmp_path / "cut.mp4"
    path.write_bytes(content[: fourth + 150])
    frames = []
    with pytest.raises(VideoError) as caught:
        for frame in Video(path).stream(0.0):
            frames.append(frame)
    assert caught.value.reason == "truncated"
    assert caught.value.frames_read == len(frames) >= 36
    for frame in frames:  # one that comes later in the file may be shown before the last of them
        number = np.argmin(np.abs(np.array(times) - frame.timestamp_seconds))
        assert np.array_equal(frame.image.numpy(), images[number])


@pytest.mark.usefixtures("no_index")
def test_sources_are_checked_as_for_reading(clips, tmp_path):
    os.mkfifo(tmp_path / "fifo.ts")
    (tmp_path / "list.mp4").write_text("#EXTM3U\n/etc/hostname\n")
    (tmp_path / "in").mkdir()
    path = clips.path("h264.mp4")
    pipe: Any = Pipe(b"#EXTM3U\n/etc/hostname\n")
    for video, reason in (
        (Video(tmp_path / "missing.mp4"), "not_found"),
        (Video(tmp_path / "fifo.ts"), "not_regular_file"),
        (Video(tmp_path / "list.mp4"), "not_media"),
        (Video("http://127.0.0.1/clip.mp4"), "path_not_allowed"),
        (Video(path, root=tmp_path / "in"), "path_not_allowed"),
        (Video(path, max_pixels=1000), "too_large"),
        (Video(pipe), "not_media"),
        (Video(path.read_bytes()[:100]), "truncated_header"),
    ):
        with pytest.raises(VideoError) as caught:
            next(video.stream())
        assert (caught.value.reason, caught.value.frames_read) == (reason, 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_forked_child_must_begin_its_own(clips):
    video = Video(clips.path("h264.mp4"))
    stream = video.stream(0.0)
    next(stream)
    child = os.fork()
    if child == 0:
        try:
            next(stream)
        except RuntimeError:
            os._exit(0 if len(list(video.stream(0.0))) == 60 else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(list(stream)) == 59


class Loop:
    """A camera that never stops: one recording over and over, as one who cannot seek sees it."""

    def __init__(self, content: bytes, rounds: int) -> None:
        self._content, self._rounds, self._place = content, rounds, 0

    def read(self, size: int) -> bytes:
        if self._place == len(self._content):
            self._place, self._rounds = 0, self._rounds - 1
        if not self._rounds:
            return b""
        data = self._content[self._place : self._place + size]
        self._place += len(data)
        return data


@pytest.mark.slow
@pytest.mark.parametrize("every_seconds", [0.0, 1.0])
def test_100_000_frames_take_no_more_memory_than_a_few(clips, every_seconds):
    camera: Any = Loop(clips.path("h264.ts").read_bytes(), 1700)  # 102,000 frames
    process = psutil.Process()
    video = Video(camera)
    warm, last = 0, 0.0
    for frame in video.stream(every_seconds, size=(24, 32)):
        last = frame.timestamp_seconds
        if last > 200 and not warm:
            warm = process.memory_info().rss
    assert last > 1700 * 2.3
    assert process.memory_info().rss - warm < 20 * 2**20
