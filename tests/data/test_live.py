"""Streams that never end: every frame told once and right, and what is left out counted."""

from __future__ import annotations

import array
import fcntl
import io
import os
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from temporal.data import LiveVideo, VideoError
from temporal.engine import Engine

IN_ORDER = ["h264.mkv", "h264.ts", "h264_open_gop.ts", "h264.flv", "vp9.webm", "mpeg2.mpg"]
SEEKABLE = ["h264_open_gop.mp4", "h264_one_key.mp4", "cut.mp4", "rotated.mp4", "h264_intra.mp4"]


Piped = Callable[..., Any]


@pytest.fixture
def piped() -> Iterator[Piped]:
    """Open a pipe into which a thread writes bytes, with pauses of so many seconds in between."""
    readers = []

    def write(end: int, parts: tuple[bytes | float, ...]) -> None:
        with os.fdopen(end, "wb", buffering=0) as file:
            for part in parts:
                if isinstance(part, float):
                    time.sleep(part)
                    continue
                try:
                    for start in range(0, len(part), 777):
                        file.write(part[start : start + 777])
                except BrokenPipeError:
                    return

    def pipe(*parts: bytes | float) -> Any:
        read, end = os.pipe()
        readers.append(os.fdopen(read, "rb"))
        threading.Thread(target=write, args=(end, parts), daemon=True).start()
        return readers[-1]

    yield pipe
    for reader in readers:
        reader.close()


def frames_of(live: LiveVideo) -> tuple[np.ndarray, list[float]]:
    """All frames of all windows, and their times."""
    images, times = [], []
    for window in live:
        images.append(window.read(range(len(window))).numpy())
        times += window.index.timestamps_seconds.tolist()
    return np.concatenate(images), times


@pytest.mark.parametrize("name", IN_ORDER)
def test_a_pipe_gives_every_frame_once_and_right(piped: Piped, clips: Any, name: str) -> None:
    truth, times = clips.truth(name)
    pipe = piped(clips.path(name).read_bytes())
    live = LiveVideo(pipe, window_seconds=0.5)
    found, found_times = frames_of(live)
    assert np.array_equal(found, truth)
    assert found_times == pytest.approx(times)
    counts = live.counts
    assert (counts.frames, counts.frames_given, counts.windows) == (60, 60, 3)
    assert (counts.frames_late, counts.frames_undecodable, counts.clock_breaks) == (0, 0, 0)
    assert live.state == "ended"


@pytest.mark.parametrize("name", SEEKABLE)
def test_a_file_may_be_read_as_a_stream(clips: Any, name: str) -> None:
    truth, times = clips.truth(name)
    found, found_times = frames_of(LiveVideo(clips.path(name), window_seconds=0.4))
    assert np.array_equal(found, truth)
    assert found_times == pytest.approx(times)


def test_only_what_is_read_is_decoded(piped: Piped, clips: Any) -> None:
    pipe = piped(clips.path("h264.ts").read_bytes())
    with LiveVideo(pipe, window_seconds=0.9) as live:
        decoded, keys = [], 0
        for window in live:
            small = window.glance(window.index.keyframes, size=(24, 32))
            assert small.shape == (len(window.index.keyframes), 3, 24, 32)
            keys += len(small)
            decoded.append(window.spent.frames_decoded)
        assert sum(decoded) == keys == 5
        # And the first, once more, which told the size of the frames and how they are turned.
        assert live.spent.frames_decoded == 6


def test_a_window_is_a_source_for_readers(clips: Any) -> None:
    truth, _ = clips.truth("h264.ts")

    async def read(video: Any) -> Any:
        last = await video.open() - 1
        await video.glance([0])
        assert (await video.motion()).shape == (last + 1,)
        return await video.read([last, 0])

    live = LiveVideo(io.BytesIO(clips.path("h264.ts").read_bytes()), window_seconds=0.9)
    outcomes = list(Engine().run(read, live))
    assert [outcome.error for outcome in outcomes] == [None] * 3
    assert np.array_equal(outcomes[0].value.numpy(), truth[[23, 0]])
    assert np.array_equal(outcomes[1].value.numpy(), truth[[47, 24]])
    trace = outcomes[1].trace
    assert trace is not None
    assert (trace.units_total, trace.read, trace.skimmed) == (24, (23, 0), ())


def test_motion_vectors_and_regions_of_a_window(clips: Any) -> None:
    truth, _ = clips.truth("h264.ts")
    window = next(iter(LiveVideo(clips.path("h264.ts"), window_seconds=0.5)))
    assert window.vectors([1, 2]).frames.tolist() == [1, 2]
    part = window.read([5], region=(8, 16, 20, 24))
    assert np.array_equal(part[0].numpy(), truth[5][:, 8:28, 16:40])


def test_a_gop_that_is_longer_than_a_window_is_cut_and_decoded_from_its_keyframe(
    clips: Any,
) -> None:
    truth, _ = clips.truth("h264_one_key.mp4")
    live = LiveVideo(clips.path("h264_one_key.mp4"), window_seconds=0.4)
    windows = list(live)
    assert [window.why for window in windows] == ["full", "full", "ended"]
    last = windows[-1]
    assert len(last.index.keyframes) == 0
    assert np.array_equal(last.read([len(last) - 1]).numpy()[0], truth[-1])
    assert last.spent.frames_decoded < 60  # frames that no other refers to are passed over


def test_windows_of_one_stream_can_be_read_in_turns(clips: Any) -> None:
    truth, _ = clips.truth("h264.ts")
    first, second, _ = LiveVideo(clips.path("h264.ts"), window_seconds=0.5)
    for k in range(0, 20, 3):
        assert np.array_equal(first.read([k])[0].numpy(), truth[k])
        assert np.array_equal(second.read([k])[0].numpy(), truth[len(first) + k])


def test_a_stream_that_falls_silent_is_told_so_and_gives_what_has_come(
    piped: Piped, clips: Any
) -> None:
    data = clips.path("h264_no_b.ts").read_bytes()
    middle = len(data) // 2 // 188 * 188
    pipe = piped(data[:middle], 0.9, data[middle:])
    live = LiveVideo(pipe, window_seconds=60, stall_seconds=0.3)
    told = [(window.why, len(window), live.state) for window in live]
    # On a machine with much to do, there may be more pauses.
    assert {why for why, _, _ in told[:-1]} == {"stalled"} and told[-1][0] == "ended"
    assert told[0][2] == "stalled"
    assert sum(frames for _, frames, _ in told) == 60
    assert live.counts.stalls >= 1
    assert live.counts.stalled_seconds >= 0.3


def test_a_stream_that_stays_silent_is_given_up_where_that_is_asked_for(
    piped: Piped, clips: Any
) -> None:
    pipe = piped(clips.path("h264_no_b.ts").read_bytes(), 30.0)
    live = LiveVideo(pipe, stall_seconds=0.2, give_up_seconds=0.5)
    assert sum(map(len, live)) == 60
    assert live.state == "ended"
    assert live.counts.fault is not None
    assert live.counts.fault.reason == "timeout"


def test_nothing_is_lost_when_it_is_stopped(piped: Piped, clips: Any) -> None:
    data = clips.path("h264.ts").read_bytes()
    pipe = piped(data, 30.0)  # all has come, and the pipe stays open
    live = LiveVideo(pipe, window_seconds=60, stall_seconds=50)
    lying = array.array("i", [0])
    while lying[0] < len(data):  # until the pipe has all
        time.sleep(0.01)
        fcntl.ioctl(pipe, termios.FIONREAD, lying)
    live.stop()  # before anything is taken
    begun = time.monotonic()
    windows = list(live)
    assert time.monotonic() - begun < 10
    assert [len(window) for window in windows] == [60]
    assert (windows[0].why, live.state) == ("ended", "stopped")


def test_reading_that_falls_behind_lets_the_writer_wait(piped: Piped, clips: Any) -> None:
    pipe = piped(clips.path("h264.ts").read_bytes())
    live = LiveVideo(pipe, window_seconds=0.4, max_behind_bytes=4096)
    frames = 0
    for window in live:
        time.sleep(0.05)
        frames += len(window)
    assert frames + live.counts.frames_undecodable == 60
    assert live.counts.frames_skipped == 0


def test_what_is_skipped_when_reading_falls_behind_is_counted(clips: Any) -> None:
    truth, times = clips.truth("h264_no_b.ts")
    data = clips.path("h264_no_b.ts").read_bytes()
    live = LiveVideo(io.BytesIO(data), window_seconds=0.4, when_behind="skip")
    live._max_packets_waiting = 30
    windows = iter(live)
    first = next(windows)  # the thread goes on, and all that comes is more than may wait
    time.sleep(0.5)
    rest = list(windows)
    counts = live.counts
    given = sum(map(len, [first, *rest]))
    assert counts.frames_skipped > 0
    assert given + counts.frames_skipped + counts.frames_undecodable == 60
    assert counts.skipped_seconds == pytest.approx(counts.frames_skipped / 25)
    for window in rest:  # what was not skipped is right
        place = round((window.start_seconds - times[0]) * 25)
        assert np.array_equal(window.read([0])[0].numpy(), truth[place])


def test_damaged_packets_are_counted_and_the_stream_goes_on(clips: Any) -> None:
    truth, times = clips.truth("h264_no_b.ts")
    data = bytearray(clips.path("h264_no_b.ts").read_bytes())
    packets = [data[k : k + 188] for k in range(0, len(data), 188)]
    of_video = [k for k, p in enumerate(packets) if (p[1] & 31) << 8 | p[2] == 256]
    starts = [k for k in of_video if packets[k][1] & 64]
    del packets[starts[20] : starts[21]]  # one frame is gone
    live = LiveVideo(io.BytesIO(b"".join(packets)), window_seconds=0.4)
    right = wrong = lost = 0
    for window in live:
        for frame, seconds in enumerate(window.index.timestamps_seconds):
            place = round((seconds - times[0]) * 25)
            try:
                same = np.array_equal(window.read([frame])[0].numpy(), truth[place])
                right, wrong = right + same, wrong + (not same)
            except VideoError as error:
                assert error.reason in ("truncated", "corrupt")
                lost += 1
    assert live.counts.packets_lost >= 1
    assert wrong == 0
    assert lost >= 1
    assert right >= 60 - 12  # the others of the GOP at most


def test_joined_streams_go_on_with_one_clock(piped: Piped, clips: Any) -> None:
    truth, times = clips.truth("h264.ts")
    data = clips.path("h264.ts").read_bytes()
    live = LiveVideo(piped(data, data, data), window_seconds=0.5)
    found, found_times = frames_of(live)
    assert np.array_equal(found, np.concatenate([truth] * 3))
    assert np.all(np.diff(found_times) > 0)
    assert live.counts.clock_breaks == 2
    assert found_times[-1] - found_times[0] == pytest.approx(179 / 25, abs=0.2)


def test_a_gap_in_the_recording_ends_a_window(tmp_path: Path, encode_video: Any) -> None:
    early, late = encode_video(tmp_path / "a.mp4", frames=24), tmp_path / "gap.ts"
    with av.open(str(early)) as reader, av.open(str(late), "w") as writer:
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream)
        hour = round(3600 / stream.time_base)
        packets = [packet for packet in reader.demux(stream) if packet.size]
        for number, packet in enumerate(packets):
            packet.stream = copy
            if number >= 12:
                packet.pts += hour
                packet.dts += hour
            writer.mux(packet)
    live = LiveVideo(late, window_seconds=30)
    windows = list(live)
    assert [(window.why, len(window)) for window in windows] == [("jump", 12), ("ended", 12)]
    assert windows[1].start_seconds - windows[0].start_seconds == pytest.approx(3600.48)
    assert live.counts.jumps == 1
    assert live.counts.jumped_seconds == pytest.approx(3600, abs=1)


def test_frames_may_change_their_size(piped: Piped, tmp_path: Path, encode_video: Any) -> None:
    parts = []
    for number, size in enumerate([(48, 64), (96, 128)]):
        made = encode_video(tmp_path / f"{number}.mp4", size=size, frames=24, b_frames=0)
        with av.open(str(made)) as reader, av.open(str(tmp_path / "x.ts"), "w") as writer:
            copy = writer.add_stream_from_template(reader.streams.video[0])
            for packet in reader.demux(reader.streams.video[0]):
                if packet.size:
                    packet.stream = copy
                    writer.mux(packet)
        parts.append((tmp_path / "x.ts").read_bytes())
    live = LiveVideo(piped(*parts), window_seconds=0.4)
    sizes, frames = [], 0
    for window in live:
        for frame in range(len(window)):
            try:
                assert window.read([frame], size=(48, 64)).shape == (1, 3, 48, 64)
            except VideoError:  # whether bytes are missing where streams are joined, none can tell
                assert frames + frame in (22, 23)
        frames += len(window)
        sizes.append((window.index.height, window.index.width))
    assert frames == 48
    assert sizes[0] == (48, 64)
    assert sizes[-1] == (96, 128)


def test_memory_is_bounded_by_windows(piped: Piped, clips: Any) -> None:
    data = clips.path("h264.ts").read_bytes()
    live = LiveVideo(piped(*[data] * 20), window_seconds=0.5, max_behind_bytes=20_000)
    held = [window.packet_bytes_held for window in live]
    assert live.counts.frames == 1200
    assert live.counts.frames_given == 1200
    assert max(held) < len(data)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not_media"),
        (b"a text, and no video\n" * 99, "not_media"),
        (b"\x00" * 99, "not_media"),
    ],
)
def test_what_is_no_video_is_an_error(piped: Piped, content: bytes, reason: str) -> None:
    with pytest.raises(VideoError) as caught:
        list(LiveVideo(piped(content)))
    assert caught.value.reason == reason


def test_an_mp4_whose_header_comes_late_is_an_error_in_a_pipe(piped: Piped, clips: Any) -> None:
    with pytest.raises(VideoError, match="faststart") as caught:
        list(LiveVideo(piped(clips.path("h264.mp4").read_bytes())))
    assert caught.value.reason == "truncated_header"


def test_urls_are_read_of_listed_origins_alone() -> None:
    with pytest.raises(VideoError, match=r"allow_remote=\['rtsp://camera:554'\]") as caught:
        list(LiveVideo("rtsp://user:secret@camera:554/1?key=secret", allow_remote=["rtsp://other"]))
    assert caught.value.reason == "path_not_allowed"
    assert "secret" not in str(caught.value)
    with pytest.raises(TypeError, match="list of origins"):
        LiveVideo("rtsp://camera/1", allow_remote=True)  # type: ignore[arg-type]


def test_a_stream_is_read_once(clips: Any) -> None:
    live = LiveVideo(clips.path("h264.ts"))
    list(live)
    with pytest.raises(RuntimeError, match="read once"):
        iter(live)


@pytest.mark.parametrize(
    "option",
    [
        {"window_seconds": 0},
        {"stall_seconds": -1},
        {"give_up_seconds": float("nan")},
        {"when_behind": "drop"},
        {"max_behind_bytes": 0},
    ],
)
def test_options_out_of_range(option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(option))):
        LiveVideo(io.BytesIO(), **option)


def test_a_fifo_is_read_as_it_is_written(clips: Any, tmp_path: Path) -> None:
    path = tmp_path / "camera.ts"
    os.mkfifo(path)
    data = clips.path("h264.ts").read_bytes()
    writer = threading.Thread(target=path.write_bytes, args=(data,), daemon=True)
    writer.start()
    assert sum(map(len, LiveVideo(path, window_seconds=0.5))) == 60


def test_a_source_that_gives_a_few_bytes_at_a_time(clips: Any) -> None:
    class Slow:
        def __init__(self, data: bytes) -> None:
            self.parts: Iterator[bytes] = (data[k : k + 100] for k in range(0, len(data), 100))

        def read(self, size: int) -> bytes:
            return next(self.parts, b"")

    read: Callable[..., Any] = Slow(clips.path("h264.ts").read_bytes()).read
    source = type("Source", (), {"read": staticmethod(read)})()
    assert sum(map(len, LiveVideo(source, window_seconds=0.5))) == 60


def test_motion_is_compared_with_all_that_came_before(tmp_path: Path, encode_video: Any) -> None:
    calm = encode_video(tmp_path / "calm.mp4", frames=100, b_frames=0, gop=25, options={"bf": "0"})
    with av.open(str(calm)) as reader:
        packets = [(p.is_keyframe, p.size) for p in reader.demux(reader.streams.video[0]) if p.size]
    live = LiveVideo(calm, window_seconds=0.9)
    before: list[float] = []
    seen: list[int] = []
    for window in live:
        sizes = packets[window.number * 25 : window.number * 25 + 25]
        seen += [size for is_key, size in sizes if not is_key]
        wanted = [size / np.mean(seen) for is_key, size in sizes if not is_key]
        motion = window.motion()
        assert motion[1:].tolist() == pytest.approx(wanted, rel=1e-5)
        assert window.motion_before.tolist() == pytest.approx(before, rel=1e-5)
        before += motion.tolist()
    assert len(before) == 100


def test_windows_that_overlap_have_no_gap_between(clips: Any) -> None:
    truth, _ = clips.truth("h264_open_gop.ts")
    live = LiveVideo(clips.path("h264_open_gop.ts"), window_seconds=0.5, overlap=True)
    windows = list(live)
    for one, other in zip(windows, windows[1:], strict=False):
        assert one.index.timestamps_seconds[-1] == other.index.timestamps_seconds[0]
    assert sum(map(len, windows)) == 60 + len(windows) - 1
    assert live.counts.frames_given == 60
    last = windows[0].read([len(windows[0]) - 1])[0].numpy()
    assert np.array_equal(last, truth[len(windows[0]) - 1])


def test_counters_that_overflow_do_not_end_it(clips: Any, tmp_path: Path) -> None:
    truth, _ = clips.truth("h264_no_b.ts")
    path = tmp_path / "late.ts"
    with av.open(str(clips.path("h264_no_b.ts"))) as reader, av.open(str(path), "w") as writer:
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream)
        for packet in reader.demux(stream):
            if packet.size:
                packet.stream = copy
                packet.pts += 2**33 - 90_000 - 126_000  # a transport stream has 33 bits
                packet.dts += 2**33 - 90_000 - 126_000
                writer.mux(packet)
    live = LiveVideo(io.BytesIO(path.read_bytes()), window_seconds=0.5)
    found, times = frames_of(live)
    assert np.array_equal(found, truth)
    assert np.all(np.diff(times) > 0)
    assert times[-1] - times[0] == pytest.approx(59 / 25, abs=0.1)


def test_a_connection_that_breaks_gives_what_has_come(clips: Any) -> None:
    content = io.BytesIO(clips.path("h264_no_b.ts").read_bytes()[: 188 * 60])

    class Broken:
        def read(self, size: int) -> bytes:
            data = content.read(size)
            if not data:
                raise ConnectionResetError("the other side has gone")
            return data

    live = LiveVideo(Broken(), window_seconds=0.5)
    frames = sum(map(len, live))
    assert frames > 10
    assert frames == live.counts.frames_given
    assert live.counts.fault is not None
    assert "has gone" in str(live.counts.fault)
