"""Every decoder returns the frame that was asked for, or does not read the file; colors agree."""

from __future__ import annotations

import numpy as np
import pytest

from temporal.data import Video
from temporal.data.decode.decoders import torchcodec as torchcodec_reader
from temporal.data.decode.headers.times import timed_frames
from temporal.data.decode.packets.rules import why_not

from ..zoo.kind import Kind
from ..zoo.laws import number_is
from ..zoo.oracle import decode_forward
from ..zoo.unusual import UNUSUAL

PLAIN = {"h264.mp4", "h264_no_b.mp4", "h264_one_key.mp4", "h264_intra.mp4", "h264.mkv"} | {
    "vp9.webm",
    "vp8.webm",
}
"""Clips that every decoder reads right."""

WHY_NOT = {
    "h264_open_gop.mp4": "open GOPs",
    "h264.ts": "container mpegts",
    "h264.avi": "container avi",
    "h264.flv": "container flv",
    "late.mp4": "not at time 0",
    "late.mkv": "not at time 0",
    "cut.mp4": "edit list",
    "mpeg2.mpg": "container mpeg",
}
"""Clips that only PyAV may read, and what the rules say of them."""


def _torchcodec_works() -> bool:
    try:
        import torchcodec.decoders  # noqa: F401
    except (ImportError, OSError, RuntimeError):
        return False
    return True


OTHERS = [
    "decord",
    pytest.param(
        "torchcodec",
        marks=pytest.mark.skipif(not _torchcodec_works(), reason="torchcodec is not installed"),
    ),
]


@pytest.mark.parametrize("backend", ["decord", "torchcodec"])
def test_the_rules_say_which_files_the_others_read(clips, clip_name, backend):
    reason = why_not(backend, Video(clips.path(clip_name)).index)
    if clip_name in PLAIN:
        assert reason is None
    if clip_name in WHY_NOT:
        assert reason is not None and WHY_NOT[clip_name] in reason


@pytest.mark.parametrize("backend", OTHERS)
def test_frames_are_the_oracles_within_two_levels(clips, clip_name, backend):
    images, _ = clips.truth(clip_name)
    with Video(clips.path(clip_name), backend=backend) as video:
        assert video.backend == (backend if clip_name in PLAIN else video.backend)
        assert video.backend == (backend if why_not(backend, video.index) is None else "pyav")
        order = np.random.default_rng(0).permutation(len(images)).tolist()
        for frames in ([order[0]], order[:7], sorted(order)):
            away = np.abs(video.read(frames).numpy().astype(int) - images[frames])
            assert away.max() <= 2


@pytest.mark.parametrize("backend", OTHERS)
@pytest.mark.parametrize("kind", UNUSUAL, ids=[kind.name for kind in UNUSUAL])
def test_unusual_files_are_read_right_or_not_at_all(tmp_path, kind: Kind, backend):
    path = tmp_path / kind.name
    kind.make(path)
    with Video(path, backend=backend) as video:
        if video.backend == "pyav":
            return  # the others must not: what PyAV gives is tested elsewhere
        count = len(video)
        wishes = (count - 1, 0, count // 2, count // 3, count // 3 + 1)
        frames = list(dict.fromkeys(frame for frame in wishes if frame < count))
        images = video.read(frames).numpy()
    oracle = decode_forward(path.read_bytes())
    for frame, image in zip(frames, images, strict=True):
        assert np.abs(image.astype(int) - oracle[frame].image).max() <= 2, frame
        if kind.first >= 0:
            assert number_is(image, kind.first + frame), frame


@pytest.mark.parametrize("backend", OTHERS)
def test_others_scale_keep_the_order_and_count(clips, backend, read_number):
    path = clips.path("h264.mp4")
    with Video(path, backend=backend) as video:
        images = video.read([40, 3, 40], size=(24, 32))
        assert images.shape == (3, 3, 24, 32)
        assert [read_number(image.numpy()) for image in images] == [40, 3, 40]
        assert video.spent.frames_decoded == video.cost([40, 3]).frames_decoded
        assert video.cost([40]).frames_decoded >= Video(path).cost([40]).frames_decoded
    mine = Video(path).read([40, 3], size=(24, 32)).numpy()
    away = images[:2].numpy().mean(axis=(2, 3)) - mine.mean(axis=(2, 3))
    assert np.abs(away).max() <= 2  # their filters differ, their colors do not


@pytest.mark.parametrize("backend", OTHERS)
def test_others_read_bytes(clips, backend):
    path = clips.path("h264.mp4")
    with Video(path.read_bytes(), backend=backend) as video:
        assert video.backend == backend
        assert np.array_equal(video.read([7]).numpy(), Video(path).read([7]).numpy())


def test_auto_is_right_for_every_file_and_says_which_it_took(clips, clip_name):
    images, _ = clips.truth(clip_name)
    with Video(clips.path(clip_name)) as video:
        assert why_not(video.backend, video.index) is None
        assert np.array_equal(video.read([5, 2]).numpy(), images[[5, 2]])


def test_unknown_backends_name_the_choices(clips):
    with pytest.raises(ValueError, match="'auto', 'pyav', 'decord', 'torchcodec'"):
        Video(clips.path("h264.mp4"), backend="opencv")  # type: ignore[arg-type]


def test_a_missing_backend_says_how_to_get_it(clips, monkeypatch):
    monkeypatch.setattr(torchcodec_reader.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'temporal-nn\[torchcodec\]'"):
        Video(clips.path("h264.mp4"), backend="torchcodec")


def test_times_for_frames_that_are_not_there_are_no_reason_to_make_room(tmp_path, clips):
    """decord's demuxer takes gigabytes for them."""
    (kind,) = [kind for kind in UNUSUAL if kind.name == "times_lie.mp4"]
    kind.make(tmp_path / "a.mp4")
    with open(tmp_path / "a.mp4", "rb") as file:
        assert timed_frames(file) == 0x0FFFFFFF
    assert Video(tmp_path / "a.mp4", backend="decord").backend == "pyav"
    with open(clips.path("h264.mp4"), "rb") as file:
        assert timed_frames(file) == 60
    assert Video(clips.path("h264.mp4"), backend="decord").backend == "decord"
