"""`FrameFeatures` keeps the contract of a source of frames, with rows of features for frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from temporal.data import FrameFeatures, VideoError
from temporal.source import FrameSource
from temporal.trace import Cost

ROWS = np.arange(10 * 6, dtype=np.float32).reshape(10, 6)


@pytest.mark.parametrize("given", [ROWS, torch.from_numpy(ROWS), ROWS.astype(np.float16)])
def test_rows_are_read_in_any_order_and_a_glance_sees_their_first_numbers(given):
    source = FrameFeatures(given, id="a", frames_per_second=10)
    assert isinstance(source, FrameSource) and len(source) == 10
    want = torch.from_numpy(ROWS)[[7, 0, 7]]
    assert torch.equal(source.read([7, 0, 7]).float(), want)
    assert torch.equal(source.read([7, 0, 7], size=(1, 6)).float(), want)
    assert torch.equal(source.glance([7, 0, 7], size=(1, 2)).float(), want[:, :2])
    assert source.cost([7, 0]) == source.spent == Cost()
    index = source.index
    assert (index.height, index.width, index.keyframes.tolist()) == (1, 6, list(range(10)))
    np.testing.assert_allclose(index.timestamps_seconds, np.arange(10) / 10)
    assert source.motion().tolist() == [1.0] * 10
    source.expect([3], size=(1, 6))
    with pytest.raises(IndexError, match="10"):
        source.read([10])
    with pytest.raises(VideoError, match="no motion vectors"):
        source.vectors([0])


def test_what_is_read_is_the_readers_own():
    rows = ROWS.copy()
    FrameFeatures(rows).read([1]).zero_()
    FrameFeatures(torch.from_numpy(rows)).read([1]).zero_()
    assert np.array_equal(rows, ROWS)


def test_a_file_that_is_mapped_is_read_without_being_loaded(tmp_path: Path):
    np.save(tmp_path / "a.npy", ROWS)
    source = FrameFeatures(np.load(tmp_path / "a.npy", mmap_mode="r"))
    assert torch.equal(source.read([9, 2]), torch.from_numpy(ROWS[[9, 2]]))


@pytest.mark.parametrize(
    "odd",
    [ROWS[0], ROWS[None], ROWS[:0], ROWS[:, :0], ROWS.astype(np.int64), "a.npy", [[1.0, 2.0]]],
)
def test_what_is_no_rows_of_floats_is_a_broken_video(odd):
    with pytest.raises(VideoError, match="must be floats"):
        len(FrameFeatures(odd))


def test_a_frame_that_is_no_number_costs_itself():
    rows = ROWS.copy()
    rows[3, 4] = np.nan
    source = FrameFeatures(rows, id="clip")
    assert len(source.read([2, 4])) == 2
    assert len(source.glance([3], size=(1, 4))) == 1  # what is wrong is not looked at
    with pytest.raises(VideoError, match="frame 3") as caught:
        source.read([2, 3])
    assert caught.value.reason == "corrupt"


@pytest.mark.parametrize("size", [(224, 224), (1, 5), (6, 1)])
def test_pixels_cannot_be_had(size):
    with pytest.raises(ValueError, match=r"GivenFeatures\(6\)"):
        FrameFeatures(ROWS).read([0], size=size)


def test_no_part_and_no_wider_glance_can_be_had():
    with pytest.raises(ValueError, match="region"):
        FrameFeatures(ROWS).read([0], region=(0, 0, 1, 2))
    for size in ((64, 64), (1, 7), (1, 0)):
        with pytest.raises(ValueError, match="size"):
            FrameFeatures(ROWS).glance([0], size=size)
    with pytest.raises(ValueError, match="frames_per_second"):
        FrameFeatures(ROWS, frames_per_second=0)
