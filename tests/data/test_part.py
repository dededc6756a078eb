"""`VideoPart`: the frames between two times, as they are in the whole video, and no others."""

from __future__ import annotations

import pickle
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from temporal.data import DecodePool, Video, VideoError, VideoPart, evidence
from temporal.data.decode.packets import index_cache
from temporal.data.decode.packets.part import frames_between
from temporal.data.frames import Frames
from temporal.source import FrameSource

from .conftest import barcode, number_of
from .decode.sounding import sine, write_sounding

# Frame times are multiples of 0.04 s: between frames, on frames, inside of one GOP (of 12), over
# the border of one, a single frame, to the end, from the start.
SPANS = ((0.5, 1.1), (0.48, 0.96), (0.54, 0.7), (0.9, 0.93), (2.0, None), (None, 0.3))


def write_vfr(path: Path) -> Path:
    """Frame k is shown at k * k / 100 seconds: 0, 0.01, 0.04, 0.09 ... 3.61."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=100)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 100)
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = 8, 2
        stream.codec_context.thread_count = 1
        for k in range(20):
            image = av.VideoFrame.from_ndarray(barcode(k), format="rgb24")
            image.pts, image.time_base = k * k, Fraction(1, 100)
            container.mux(stream.encode(image))
        container.mux(stream.encode(None))
    return path


def expected(video: Video, start: float | None, end: float | None) -> list[int]:
    """Numbers of the frames whose times are in [start, end)."""
    low, high = -np.inf if start is None else start, np.inf if end is None else end
    times = video.index.timestamps_seconds
    return [k for k, time in enumerate(times) if low - 1e-7 <= time < high - 1e-7]


def test_its_frames_are_those_of_the_video_and_no_others_are_decoded(clips, clip_name) -> None:
    path = clips.path(clip_name)
    shift = max(Video(path).index.start_seconds, 0.0)  # of late ones, and of transport streams
    for start, end in SPANS:
        start = None if start is None else start + shift
        end = None if end is None else end + shift
        video, part = Video(path), VideoPart(path, start, end)
        there = expected(video, start, end)
        assert len(part) == len(there) > 0
        times = video.index.timestamps_seconds[there] - (start or 0.0)
        np.testing.assert_allclose(part.index.timestamps_seconds, times, atol=1e-9)
        assert part.index.duration_seconds > 0
        frames = part.read(range(len(part)))
        assert torch.equal(frames, video.read(there))
        spent = part.spent.frames_decoded
        assert spent == video.spent.frames_decoded  # what these frames cost there
        assert part.cost(range(len(part))) == video.cost(there)
        entry, last = part.index.frame_entries[0], part.index.frame_packets.max()
        assert spent <= last - entry + 1  # nothing before its GOP, and nothing after the last
        some = [len(part) - 1, 0, 0]
        assert torch.equal(
            VideoPart(path, start, end).read(some, size=(20, 30)),
            video.read([there[k] for k in some], size=(20, 30)),
        )


@pytest.mark.parametrize("name", ["h264.mp4", "h264_no_b.mp4", "mpeg4.avi", "vp9.webm"])
def test_from_a_keyframe_on_it_is_as_a_file_that_was_cut_there(clips, name, tmp_path: Path) -> None:
    path = clips.path(name)
    start = float(Video(path).index.timestamps_seconds[24])
    with av.open(str(path)) as source, av.open(str(tmp_path / name), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        packets = [packet for packet in source.demux(stream) if packet.size]
        keys = [k for k, packet in enumerate(packets) if packet.is_keyframe]
        for packet in packets[keys[2] if len(keys) == 5 else 24 :]:
            packet.stream = copy
            packet.pts -= round(start / packet.time_base)
            packet.dts -= round(start / packet.time_base)
            target.mux(packet)
    cut, part = Video(tmp_path / name), VideoPart(path, start)
    assert len(cut) == len(part) == 36
    assert torch.equal(cut.read(range(36)), part.read(range(36)))
    np.testing.assert_allclose(cut.motion(), part.motion(), rtol=1e-6)
    own, there = cut.index, part.index
    times = own.timestamps_seconds - own.start_seconds
    np.testing.assert_allclose(there.timestamps_seconds, times, atol=2e-3)
    for what in ("keyframes", "packet_bytes", "frame_costs"):
        np.testing.assert_array_equal(getattr(own, what), getattr(there, what))
    assert own.duration_seconds == pytest.approx(there.duration_seconds, abs=5e-3)
    for frames in ([3], [30, 2], range(0, 36, 5)):
        decoded = [video.cost(frames).frames_decoded for video in (cut, part)]
        assert decoded[0] == decoded[1]


def test_of_a_variable_rate(tmp_path: Path) -> None:
    path = write_vfr(tmp_path / "v.mp4")
    part = VideoPart(path, 0.25, 1.0)  # frames 5 (0.25 s) to 9 (0.81 s); 10 is at 1.0
    assert [number_of(image) for image in part.read(range(len(part))).numpy()] == [5, 6, 7, 8, 9]
    times = [0.0, 0.11, 0.24, 0.39, 0.56]
    np.testing.assert_allclose(part.index.timestamps_seconds, times, atol=1e-6)
    assert part.index.duration_seconds == pytest.approx(0.75)
    assert part.plan([0.4]) == [3]
    assert part.plan([0.3], tolerance_seconds=0.2) == [3]  # frame 8 is a keyframe
    assert part.index.keyframes.tolist() == [3] and part.index.frame_costs.tolist()[3] == 1
    assert VideoPart(path, 0.3, 0.75).index.duration_seconds == pytest.approx(0.39)  # to its end


def test_frames_between_by_hand() -> None:
    times = np.array([0.0, 1.0, 2.0, 3.0])
    assert frames_between(times, None, None) == (0, 4)
    assert frames_between(times, 1.0, 3.0) == (1, 3)
    assert frames_between(times, 1.5, 2.5) == (2, 3)
    assert frames_between(times, 3.5, None) == (4, 4)
    assert frames_between(times, None, 0.0) == (0, 0)
    assert frames_between(times + 10, 1.0, 12.0) == (0, 2)
    # A third, as tables have it: on the frame, at both sides.
    thirds = np.arange(7) / 3
    assert frames_between(thirds, 0.333333, 0.666667) == (1, 2)
    cuts = [frames_between(thirds, a, b) for a, b in ((0, 0.4), (0.4, 1.3), (1.3, None))]
    assert [first for first, _ in cuts[1:]] == [stop for _, stop in cuts[:-1]]


def test_all_ways_of_looking_are_those_of_the_video(clips) -> None:
    path = clips.path("h264.mp4")
    video, part = Video(path), VideoPart(path, 0.6, 1.8)  # frames 15 to 44
    assert isinstance(part, FrameSource) and len(part) == 30 and not part.in_memory
    assert part.backend == video.backend
    assert torch.equal(part.glance([2, 0], size=(16, 16)), video.glance([17, 15], size=(16, 16)))
    region = (7, 11, 25, 31)
    assert torch.equal(part.read([4], region=region), video.read([19], region=region))
    assert np.array_equal(part.read_array([4]), video.read_array([19]))
    own, whole = part.vectors([5, 6]), video.vectors([20, 21])
    assert own.frames.tolist() == [5, 6]
    np.testing.assert_array_equal(own.magnitudes, whole.magnitudes)
    small = evidence.keyframe_thumbnails(VideoPart(path, 0.6, 1.8))
    assert small.frames.tolist() == [9, 21]  # 24 and 36
    assert torch.equal(small.images, evidence.keyframe_thumbnails(video).images[2:4])
    assert part.snap([10], 3) == [9]
    streamed = list(part.stream(0.4, size=(48, 64)))
    assert [round(one.timestamp_seconds, 6) for one in streamed] == [0.0, 0.4, 0.8]
    assert torch.equal(streamed[1].image, video.read([25])[0])
    for wrong in ([30], [-1]):
        with pytest.raises(IndexError, match=r"must be in 0..29: .*h264.mp4#t=0.6,1.8 has 30"):
            part.read(wrong)
    assert VideoPart(path, 0.9, 0.93).index.keyframes.tolist() == [0]  # for readers count on one


def test_what_was_expected_is_kept_on_the_way(clips) -> None:
    part = VideoPart(clips.path("h264_one_key.mp4"), 0.4, 1.6)  # frames 10 to 39
    part.expect([29, 3, 17, 400, -2], size=(24, 32))
    last = part.read([29], size=(24, 32))
    spent = part.spent.frames_decoded
    others = part.read([3, 17], size=(24, 32))
    assert part.spent.frames_decoded == spent  # they were on the way
    with Video(clips.path("h264_one_key.mp4")) as video:
        assert torch.equal(torch.cat([last, others]), video.read([39, 13, 27], size=(24, 32)))


def test_motion_is_beside_the_others_of_the_part(clips) -> None:
    path = clips.path("h264.mp4")
    np.testing.assert_array_equal(VideoPart(path, None, 2.4).motion(), Video(path).motion())
    part, video = VideoPart(path, 0.2, 0.44), Video(path)  # frames 5 to 10, of one GOP
    whole, own = video.motion()[5:11], part.motion()
    assert own.dtype == np.float32 and own.shape == (6,)
    # The kinds are those of the whole: within one, the proportions stay, and their mean is 1.
    ratios = own / whole
    kinds = {round(float(ratio), 4) for ratio in ratios}
    assert 1 <= len(kinds) <= 2
    for kind in kinds:
        is_kind = np.abs(ratios - kind) < 1e-3
        assert own[is_kind].mean() == pytest.approx(1.0, abs=1e-5)


def test_its_name_and_that_it_can_be_sent(clips) -> None:
    path = clips.path("h264.mp4")
    part = VideoPart(path, 0.5, 1)
    assert part.id == str(part) == f"{path}#t=0.5,1"
    assert repr(part) == f"VideoPart('{path}#t=0.5,1')"
    assert VideoPart(path, 1234.5678).id.endswith("#t=1234.5678,")
    frames = part.read([0, 3])
    for one in (part, VideoPart(path.read_bytes(), 0.5, 1), VideoPart(Video(path), 0.5, 1)):
        sent = pickle.loads(pickle.dumps(one))
        assert sent.id == one.id and torch.equal(sent.read([0, 3]), frames)
    with open(path, "rb") as file:
        assert torch.equal(pickle.loads(pickle.dumps(VideoPart(file, 0.5, 1))).read([0, 3]), frames)


def test_who_opened_a_video_closes_it(clips, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []
    monkeypatch.setattr(Video, "close", lambda video: closed.append(video.id))
    path = clips.path("h264.mp4")
    video = Video(path, id="given")
    with VideoPart(video, 0.4, 2.0) as outer, VideoPart(outer, 0.4, 0.8) as inner:
        assert inner.index.first_frame == 10 and outer.index.first_frame == 10
        assert torch.equal(inner.read([0, 9]), video.read([20, 29]))
        assert inner.id == "given#t=0.4,2#t=0.4,0.8"
    assert closed == []
    with VideoPart(path, 0.4, 2.0, id="own") as part:
        part.read([0])
    assert closed == ["own"]
    again = VideoPart(VideoPart(path, 0.4, 2.0), 0.4, 0.8).opened_by(Video, id="c", num_threads=1)
    assert again.id == "c" and torch.equal(again.read([0]), video.read([20]))
    again.close()
    assert closed == ["own", "c"]
    with pytest.raises(TypeError, match="num_threads cannot be set"):
        VideoPart(video, 1, 2, num_threads=1)


def test_in_a_worker_and_in_memory(clips) -> None:
    path = clips.path("h264.mp4")
    want = Video(path).read([15, 20], size=(24, 32))
    with DecodePool(1, 60.0) as pool:
        part = VideoPart(path, 0.6, 1.8).opened_by(pool.open, id="there")
        assert torch.equal(part.read([0, 5], size=(24, 32)), want)
        assert part.vectors([5]).frames.tolist() == [5] and part.audio() is None
        assert evidence.keyframe_thumbnails(part).frames.tolist() == [9, 21]
        assert part.spent.frames_decoded > 0
    held = Frames(Video(path).read(range(60)).numpy(), frames_per_second=25)
    part = VideoPart(held, 0.6, 1.8)
    assert part.in_memory and len(part) == 30 and torch.equal(part.read([5]), held.read([20]))
    assert part.cost([0]).frames_decoded == 0 and part.audio() is None
    assert (part.motion() == 1).all()


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        (2, 1, r"start_seconds \(2\) must be < end_seconds \(1\)"),
        (1, 1, r"start_seconds \(1\) must be < end_seconds \(1\)"),
        (-1, None, r"start_seconds \(-1\) must be a number of seconds >= 0"),
        (None, float("nan"), r"end_seconds \(nan\) must be a number"),
        (float("inf"), None, r"start_seconds \(inf\) must be a number"),
        ("soon", None, r"start_seconds \('soon'\) must be a number"),
    ],
)
def test_times_that_are_none(start, end, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        VideoPart("a.mp4", start, end)


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        (2.5, None, r"start_seconds \(2.5\) must have a frame at or after it, .* from 0 to 2.4 s"),
        (9, 12, r"start_seconds \(9\) and end_seconds \(12\) must have a frame"),
        (0.41, 0.43, "must have a frame between them"),
        (1, 3.5, r"start_seconds \(1\) and end_seconds \(3.5\) must lie in the video"),
    ],
)
def test_what_a_video_does_not_have(clips, start, end, said: str) -> None:
    with pytest.raises(VideoError, match=said) as failure:
        len(VideoPart(clips.path("h264.mp4"), start, end))
    assert failure.value.reason == "not_found"
    # An end that is rounded up is no other video's.
    assert len(VideoPart(clips.path("h264.mp4"), 1, 3)) == 35


def test_a_broken_file_is_said_by_the_name_of_the_part(tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"rubbish" * 99)
    with pytest.raises(VideoError) as failure:
        len(VideoPart(tmp_path / "bad.mp4", 1, 2))
    assert failure.value.reason == "not_media"


@pytest.mark.parametrize("kind", ["mov", "mkv", "mp4"])
def test_its_sound_is_decoded_and_no_more(tmp_path: Path, kind: str) -> None:
    codec = {"mov": "pcm_s16le", "mkv": "aac", "mp4": "aac"}[kind]
    rate = 16_000 if kind == "mov" else 44_100

    def rising(times: np.ndarray) -> np.ndarray:  # 200 Hz, and 100 more each second
        return 0.5 * np.sin(2 * np.pi * (200 * times + 50 * times * times))

    path = write_sounding(tmp_path / f"a.{kind}", rising, codec=codec, rate=rate, seconds=10.0)
    video, part = Video(path), VideoPart(path, 6.0, 8.0)
    whole, own = video.audio(), part.audio()
    assert whole is not None and own is not None and own.rate == whole.rate
    assert own.start_seconds == pytest.approx(0.0, abs=0.001) and len(own.samples) == 32_000
    first = round((6.0 - whole.start_seconds) * whole.rate)
    near = [  # Matroska tells times to a millisecond: 16 samples
        np.abs(own.samples - whole.samples[first + k : first + k + 32_000]).max()
        for k in (range(-16, 17) if kind == "mkv" else (0,))
    ]
    assert min(near) < 0.12  # half a sample of 16 kHz, at 1,000 Hz
    assert 2.0 <= part.spent.audio_seconds <= 3.2 < video.spent.audio_seconds
    assert VideoPart(part, 0.5, 1.0).audio().start_seconds == pytest.approx(0.0, abs=0.001)
    assert VideoPart(write_sounding(tmp_path / f"b.{kind}", None), 0.5).audio() is None
    short = write_sounding(tmp_path / f"c.{kind}", sine(300), codec=codec, rate=rate, seconds=3.0)
    sound = VideoPart(short, 2.5).audio()
    assert sound is not None and 7_000 < len(sound.samples) <= 9_000


def test_the_packets_of_a_file_are_walked_once_for_its_parts(
    clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walked: list[str] = []
    build = index_cache.build_index

    def counted(opened):
        walked.append(opened.checked.name)
        return build(opened)

    monkeypatch.setattr(index_cache, "build_index", counted)
    path = tmp_path / "a.mp4"
    path.write_bytes(clips.path("h264.mp4").read_bytes())
    want = Video(path).read([15, 40])
    assert len(walked) == 1
    for start in (0.6, 0.4, 0.2):
        part = VideoPart(path, start)
        frames = part.plan([0.6 - start, 1.6 - start])
        assert torch.equal(part.read(frames), want)
    assert len(walked) == 2
    with pytest.raises(VideoError, match="max_pixels") as failure:
        len(VideoPart(path, 0.2, max_pixels=100))
    assert failure.value.reason == "too_large"
    path.write_bytes(clips.path("h264_no_b.mp4").read_bytes())  # another file of that name
    assert torch.equal(VideoPart(path, 0.6).read([0]), Video(path).read([15]))
    assert len(walked) == 4
    # So many packets are at hand, and no more.
    monkeypatch.setattr(index_cache, "_MOST_PACKETS", 100)
    for _ in range(2):
        for name in ("h264.mp4", "vp9.webm"):
            copy = tmp_path / name
            if not copy.exists():
                copy.write_bytes(clips.path(name).read_bytes())
            len(VideoPart(copy, 0.2))
    assert len(walked) == 8
    assert len(VideoPart(path.read_bytes(), 0.6)) == len(VideoPart(path.read_bytes(), 0.6)) == 45
    assert len(walked) == 10
