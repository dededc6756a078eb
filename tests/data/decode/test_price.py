"""What a read costs, before it."""

from __future__ import annotations

from pathlib import Path

import pytest

from temporal.data import Video

EXAMPLES = Path(__file__).parents[3] / "data" / "examples" / "clips"


def test_seconds_grow_with_what_is_decoded_and_converted(clips):
    video = Video(clips.path("h264_no_b.mp4"))  # a keyframe each 12
    nothing, key, late, all_of_it = (
        video.cost(frames).decode_seconds for frames in ([], [0], [11], range(60))
    )
    assert nothing == 0 < key < late < all_of_it
    once, twice = video.cost([3]), video.cost([3, 3])
    assert once == twice
    near, far = video.cost([15]), video.cost([15, 27])
    assert far.decode_seconds == pytest.approx(2 * near.decode_seconds, rel=0.3)


def test_an_estimate_is_of_the_order_of_what_is_spent():
    path = EXAMPLES / "big_buck_bunny.mp4"
    with Video(path, num_threads=1) as video:
        named = video.cost(range(0, len(video), 10))
        video.read(range(0, len(video), 10), size=(224, 224))
        assert video.spent.frames_decoded == named.frames_decoded
        # Machines differ, and this one may be busy: this finds wrong units, not wrong constants.
        assert 0.01 < video.spent.decode_seconds / named.decode_seconds < 100
