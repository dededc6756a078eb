"""`Frames` keeps the contract of `Video`; `file:` URLs name files of this machine."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from temporal.data import Video, VideoError
from temporal.data.frames import Frames
from temporal.source import Source
from temporal.trace import Cost

from .zoo.making import encode

FRAMES = np.arange(10 * 4 * 6 * 3, dtype=np.uint8).reshape(10, 4, 6, 3)


def test_frames_are_read_in_any_order_and_cost_nothing():
    source = Frames(FRAMES, id="a", frames_per_second=10)
    assert isinstance(source, Source) and len(source) == 10
    got = source.read([7, 0, 7])
    assert torch.equal(got, torch.from_numpy(FRAMES[[7, 0, 7]]).permute(0, 3, 1, 2))
    assert source.cost([7, 0]) == source.spent == Cost()
    assert source.index.keyframes.tolist() == list(range(10))
    assert source.plan([0.0, 0.31, 5.0], 0.2) == [0, 3, 9]
    assert [round(f.timestamp_seconds, 3) for f in source.stream(0.3)] == [0.0, 0.3, 0.6, 0.9]
    with pytest.raises(IndexError):
        source.read([10])


def test_frames_are_scaled_as_those_of_a_file_are(tmp_path):
    path = encode(tmp_path / "a.mkv", codec="ffv1", pix_fmt="bgr0", frames=3, gop=1)
    with Video(path) as video:
        memory = Frames(video.read([0, 1, 2]))
        assert torch.equal(memory.read([2, 0], size=(20, 31)), video.read([2, 0], size=(20, 31)))


def test_a_file_url_is_its_path(tmp_path):
    folder = tmp_path / "a b#ü"
    folder.mkdir()
    path = encode(folder / "100%?.mp4", frames=3)
    url = path.as_uri()
    for one in (url, url.replace("file://", "file://localhost"), url.replace("file:", "FILE:")):
        assert len(Video(one, root=tmp_path)) == 3
    with pytest.raises(VideoError, match="path_not_allowed"):
        len(Video(url, root=tmp_path / "elsewhere"))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("file://example.org/a.mp4", "path_not_allowed"),
        ("file://127.0.0.1/a.mp4", "path_not_allowed"),
        ("file:a.mp4", "path_not_allowed"),
        ("file:///a.mp4?x=1", "path_not_allowed"),
        ("file:///a.mp4#t=1", "path_not_allowed"),
        ("file:///no/such%20file.mp4", "not_found"),
        ("file:///etc%00.mp4", "not_found"),
        ("file:///dev/zero", "not_regular_file"),
    ],
)
def test_other_file_urls_are_refused(url, reason):
    with pytest.raises(VideoError) as caught:
        len(Video(url))
    assert caught.value.reason == reason
