"""Sources of frames are alike: regions, glances and motion of files, of workers, of memory."""

from __future__ import annotations

import pickle
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import Interpolation

from temporal.data import DecodePool, Video, VideoError, evidence
from temporal.data.decode.pictures.shelf import WholeFrames
from temporal.data.frames import Frames
from temporal.source import FrameSource
from temporal.trace import Cost

NAMES = ("h264.mp4", "h264_open_gop.ts", "mpeg4_b.avi", "vp9.webm", "rotated.mp4")
REGION = (7, 11, 25, 31)  # top, left, height, width: odd, as colours are stored for 2 x 2 pixels
ORDER = [40, 3, 3, 21]


@pytest.fixture(scope="module")
def pool():
    with DecodePool(1, 60.0) as pool:
        yield pool


def cut(images: torch.Tensor, region: tuple[int, int, int, int]) -> torch.Tensor:
    top, left, height, width = region
    return images[..., top : top + height, left : left + width]


def scaled(image: torch.Tensor, height: int, width: int) -> np.ndarray:
    """FFmpeg's own scaling of an RGB picture."""
    frame = av.VideoFrame.from_ndarray(image.permute(1, 2, 0).contiguous().numpy(), format="rgb24")
    shrinks = height < image.shape[1] or width < image.shape[2]
    kind = Interpolation.AREA if shrinks else Interpolation.BILINEAR
    return frame.reformat(width=width, height=height, interpolation=kind).to_ndarray()


def decoded_for(video, frames, **view) -> int:
    """Read frames and return how many that decoded."""
    before = video.spent
    video.read(frames, **view)
    return (video.spent - before).frames_decoded


def test_all_are_sources_of_frames(clips, pool):
    path = clips.path("h264.mp4")
    for source in (Video(path), pool.open(path), Frames(np.zeros((4, 8, 8, 3), np.uint8))):
        assert isinstance(source, FrameSource)
        assert source.glance([2, 0]).shape == (2, 3, 64, 64)
        assert source.motion().shape == (len(source),) and source.motion().dtype == np.float32
        source.expect([1], size=(4, 4), region=(0, 0, 8, 8))


# Regions


def test_a_region_is_cut_out_of_the_upright_frame(clips, clip_name):
    with Video(clips.path(clip_name)) as video:
        whole = video.read(ORDER)
        assert torch.equal(video.read(ORDER, region=REGION), cut(whole, REGION))
        corner = (video.index.height - 1, video.index.width - 1, 1, 1)
        assert torch.equal(video.read([3], region=corner), cut(whole[1:2], corner))


@pytest.mark.parametrize("size", [(10, 12), (25, 31), (60, 90), (1, 1)])
def test_a_region_is_cut_before_it_is_scaled(clips, pool, size):
    for name in ("h264.mp4", "rotated.mp4"):
        path = clips.path(name)
        video = Video(path)
        parts = cut(video.read(ORDER), REGION)
        want = np.stack([scaled(part, *size).transpose(2, 0, 1) for part in parts])
        memory = Frames(video.read(range(60)).numpy())
        for source in (video, pool.open(path), memory):
            assert np.array_equal(source.read(ORDER, size=size, region=REGION).numpy(), want)


@pytest.mark.parametrize("backend", ["decord", "torchcodec"])
def test_other_decoders_cut_the_same(clips, backend):
    pytest.importorskip(backend)
    path = clips.path("h264.mp4")
    try:
        with Video(path, backend=backend) as video:
            found = video.read(ORDER, size=(10, 12), region=REGION)
    except ImportError:
        pytest.skip("it does not load here")
    assert torch.equal(found, Video(path).read(ORDER, size=(10, 12), region=REGION))


def test_the_whole_frame_as_a_region_is_no_region(clips):
    video = Video(clips.path("h264.mp4"))
    whole = (0, 0, video.index.height, video.index.width)
    for size in (None, (20, 30)):
        want = video.read([5], size=size)
        assert torch.equal(video.read([5], size=size, region=whole), want)


@pytest.mark.parametrize(
    "region", [(0, 0, 0, 5), (-1, 0, 5, 5), (0, 40, 5, 25), (44, 0, 5, 5), (0, 0, 4.5, 5), (1, 2)]
)
def test_a_region_that_is_none_is_named(clips, pool, region):
    path = clips.path("h264.mp4")  # 48 x 64
    for source in (Video(path), pool.open(path), Frames(np.zeros((4, 48, 64, 3), np.uint8))):
        with pytest.raises(ValueError, match=r"region \(.*\) must .*frame"):
            source.read([0], region=region)
        assert len(source.read([0])) == 1


def test_frames_are_expected_with_their_region(clips, pool):
    path = clips.path("h264_no_b.mp4")
    for video in (Video(path), pool.open(path)):
        plain = Video(path)
        view = {"size": (20, 20), "region": REGION}
        video.expect([11, 4, 7], **view)
        video.read([11], **view)
        # Of the same size, and another part.
        others = [{"size": (20, 20)}, {"size": (20, 20), "region": (0, 0, 25, 31)}]
        for other in others:
            assert torch.equal(video.read([4], **other), plain.read([4], **other))
        assert decoded_for(video, [7], **view) == 0
        assert torch.equal(video.read([4], **view), plain.read([4], **view))
        video.expect([4, 9], size=(20, 20), region=(0, 0, 400, 400))  # cannot come true
        assert torch.equal(video.read([9], **view), plain.read([9], **view))


# Glances


@pytest.mark.parametrize("name", NAMES)
def test_a_frame_that_was_glanced_at_is_not_decoded_again(clips, pool, name):
    path = clips.path(name)
    plain = Video(path)
    for video in (Video(path), pool.open(path)):
        glance = video.spent, video.glance(ORDER, size=(12, 16)), video.spent
        decoded = glance[2].frames_decoded
        assert decoded == glance[2].frames_glanced == plain.cost(ORDER).frames_decoded > 0
        for view in ({}, {"size": (20, 30)}, {"size": (9, 9), "region": REGION}):
            assert torch.equal(video.read(ORDER, **view), plain.read(ORDER, **view)), view
        assert video.spent.frames_decoded == decoded
        video.glance([21], size=(8, 8))
        assert video.spent.frames_decoded == decoded
        # Others still cost what they cost, and count as read.
        video.read([50])
        spent = video.spent
        assert spent.frames_decoded > decoded and spent.frames_glanced == decoded
        video.close()


def test_glances_look_like_the_frames(clips, clip_name, read_number):
    images, _ = clips.truth(clip_name)
    with Video(clips.path(clip_name)) as video:
        small = video.glance([30, 7], size=(24, 32))
        assert [read_number(i.numpy()) for i in small] == [read_number(images[k]) for k in (30, 7)]
        assert np.array_equal(video.read([7, 30, 8]).numpy(), images[[7, 30, 8]])


def test_glances_that_are_decoded_side_by_side_are_kept(clips, monkeypatch):
    from temporal.data.decode.decoders import side_by_side

    monkeypatch.setattr(side_by_side, "_MIN_PIXELS", 0)
    path = clips.path("h264_no_b.mp4")
    video, plain = Video(path, num_threads=3), Video(path, num_threads=1)
    video.glance([50, 3, 27])
    decoded = video.spent.frames_decoded
    assert torch.equal(video.read([3, 27, 50]), plain.read([3, 27, 50]))
    assert video.spent.frames_decoded == decoded


def test_frames_leave_the_shelf(clips):
    path = clips.path("h264_no_b.mp4")
    for leave in (
        lambda video: video.close(),
        lambda video: video.expect([]),
    ):
        video = Video(path)
        video.glance([5])
        assert decoded_for(video, [5]) == 0
        leave(video)
        assert decoded_for(video, [5]) == 6
    video = Video(path)
    video.glance([5])
    copy = pickle.loads(pickle.dumps(video))
    assert copy.spent == Cost()
    assert decoded_for(copy, [5]) == 6
    video.expect([8, 30])  # names others, and frees nothing
    assert decoded_for(video, [5]) == 0


def test_the_shelf_holds_the_latest_frames_up_to_its_bytes():
    def frame() -> av.VideoFrame:
        made = av.VideoFrame(64, 48, "yuv420p")
        made.pts, made.time_base = 0, Fraction(1, 25)
        return made

    one = sum(plane.buffer_size for plane in frame().planes)
    shelf = WholeFrames(max_bytes=3 * one)
    for number in range(4):
        shelf.keep(number, frame())
    assert list(shelf) == [1, 2, 3]
    assert shelf.get(0) is None and shelf.get(1) is not None
    shelf.keep(7, frame())
    shelf.keep(7, frame())
    assert list(shelf) == [3, 1, 7]
    shelf.drop([1, 99])
    shelf.keep(8, frame())
    assert list(shelf) == [3, 7, 8]
    tiny = WholeFrames(max_bytes=1)
    for number in range(3):
        tiny.keep(number, frame())
        assert list(tiny) == [number]


def test_what_expects_and_what_glances_share_a_decode(clips):
    video = Video(clips.path("h264_no_b.mp4"))  # a keyframe each 12
    video.expect([26, 28], size=(8, 8))
    video.glance([30])
    assert decoded_for(video, [28], size=(8, 8)) == decoded_for(video, [30]) == 0
    assert video.spent.frames_glanced == video.spent.frames_decoded == 7


def test_a_damaged_frame_is_an_error_of_glances_and_not_kept(clips):
    content = bytearray(clips.path("h264_no_b.mp4").read_bytes())
    with av.open(str(clips.path("h264_no_b.mp4"))) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    start, size = places[15]
    content[start : start + size] = bytes(size)
    video = Video(bytes(content))
    with pytest.raises(VideoError) as caught:
        video.glance([3, 20])
    assert (caught.value.reason, caught.value.frames_read) == ("corrupt", 1)
    assert video.spent.frames_decoded == video.spent.frames_glanced > 0
    assert decoded_for(video, [3]) == 0
    with pytest.raises(VideoError, match="corrupt"):
        video.read([20])


def test_frames_in_memory_cost_nothing_and_tell_no_vectors():
    source = Frames(np.random.default_rng(0).integers(0, 256, (6, 20, 30, 3), np.uint8))
    assert torch.equal(source.glance([4, 1], size=(5, 6)), source.read([4, 1], size=(5, 6)))
    assert source.motion().tolist() == [1.0] * 6
    with pytest.raises(VideoError, match="unsupported_codec"):
        source.vectors([0])
    with pytest.raises(IndexError):
        source.vectors([6])
    found = evidence.keyframe_thumbnails(source, size=(5, 6), max_frames=2)
    assert found.frames.tolist() == [1, 4]
    assert torch.equal(found.images, source.read([1, 4], size=(5, 6)))
    assert found.cost == source.spent == Cost()


def test_vectors_and_motion_are_those_of_the_evidence(clips, pool):
    path = clips.path("h264.mp4")
    for video in (Video(path), pool.open(path)):
        assert np.array_equal(video.motion(), evidence.packet_motion(video).values)
        assert video.spent == Cost()
        found = video.vectors([30, 7])
        assert found.frames.tolist() == [30, 7]
        assert found.cost.frames_decoded == found.cost.frames_glanced == video.spent.frames_glanced
        again = evidence.motion_vectors(video, [30, 7])
        assert np.array_equal(found.magnitudes, again.magnitudes, equal_nan=True)
