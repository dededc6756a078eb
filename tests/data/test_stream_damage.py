"""Streams of damaged and hostile files: nothing that refers to damage, and no bomb is opened."""

from __future__ import annotations

import pytest

from temporal.data import Video, VideoError

from .zoo.broken import FRAGMENTS, _big_fragment, changed
from .zoo.corruption import GOOD, corrupt, make_good
from .zoo.oracle import decode_forward


@pytest.mark.parametrize("name", GOOD)
def test_what_a_damaged_stream_gives_is_whole(tmp_path, name):
    good = make_good(name, tmp_path)
    truth = decode_forward(good)
    num_given = 0
    for seed in range(10):
        content = corrupt(good, seed)
        given = []
        try:
            for frame in Video(content).stream(0):
                given.append(frame.image.numpy())
        except VideoError as error:
            assert error.reason not in ("timeout", "worker_crashed", "oom"), seed
        num_given += len(given)
        others = [image for image in given if not any(one.equals(image) for one in truth)]
        if others:
            whole = [one for one in decode_forward(content) if not one.is_corrupt]
            assert all(any(one.equals(image) for one in whole) for image in others), seed
    assert num_given > len(truth)


def test_a_bomb_is_refused_before_it_is_streamed(tmp_path):
    path = tmp_path / "bomb.mp4"
    changed(_big_fragment, **FRAGMENTS)(path)
    with pytest.raises(VideoError, match="fragment announces") as caught:
        next(Video(path).stream(0))
    assert caught.value.reason == "too_large"
