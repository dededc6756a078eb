"""The dense model on a part of each input: which part, and what a reader is offered of a video."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from temporal.data.frames import Frames
from temporal.pipelines.benchmark.thinned import Thinned
from temporal.pipelines.benchmark.truncated import nearest_cut
from temporal.source import FrameSource


@pytest.mark.parametrize(
    ("time_of", "wanted", "first", "cut"),
    [
        (lambda k: 2.0 * k, 20.0, 40, 10),  # in proportion: the second try
        (lambda k: 10.0 + k, 40.0, 90, 30),  # a part that does not shrink with it
        (lambda k: 4.0 * min(k, 4), 8.0, 13, 2),  # clips: a fifth frame adds none
        (lambda k: 1.0 * k, 0.2, 9, 1),  # no cut is so short
        (lambda k: 1.0 * k, 500.0, 9, 100),  # none is so long
        (lambda k: 10.0 * k, 14.0, 3, 1),  # 1 takes 10, 2 take 20
    ],
)
def test_the_cut_is_the_one_whose_time_is_nearest(
    time_of: Callable[[int], float], wanted: float, first: int, cut: int
) -> None:
    found = nearest_cut(time_of, wanted, first=first, most=100, tries=8)
    assert abs(time_of(found) / wanted - 1) <= max(0.05, abs(time_of(cut) / wanted - 1))


def test_no_number_is_measured_twice_and_never_more_than_the_tries() -> None:
    asked: list[int] = []

    def time_of(count: int) -> float:
        asked.append(count)
        return 5.0 + 0.01 * count

    nearest_cut(time_of, 6.0, first=1000, most=5000, tries=4)
    assert len(asked) == len(set(asked)) == 4


def test_a_reader_reaches_no_frame_but_those_that_are_offered() -> None:
    images = np.stack([np.full((8, 6, 3), 10 * k, np.uint8) for k in range(12)])
    whole = Frames(images)
    video = Thinned(whole, 4)
    assert isinstance(video, FrameSource)
    assert len(video) == len(video.index) == 4
    assert video.frames == [1, 4, 7, 10]  # the middles of four quarters
    assert video.read([3, 0])[:, 0, 0, 0].tolist() == [100, 10]
    assert torch.equal(video.glance([2], size=(4, 4)), whole.glance([7], size=(4, 4)))
    assert video.index.timestamps_seconds.tolist() == [
        whole.index.timestamps_seconds[k] for k in (1, 4, 7, 10)
    ]
    assert len(video.motion()) == 4
    assert len(Thinned(whole, 50)) == 12
    for outside in (4, -1):
        with pytest.raises(IndexError, match=r"must be in 0\.\.3"):
            video.read([outside])
