"""Clips cut into patches, and those that run-length tokenization keeps."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from temporal.backbones.video import grid_of, patches_of
from temporal.backbones.video.patches import kept_by_run_length


def test_patches_are_what_a_convolution_sees() -> None:
    clip = torch.randn(2, 7, 3, 19, 26)  # an odd frame, row and column are left over
    patch = (2, 6, 8)
    convolution = nn.Conv3d(3, 5, kernel_size=patch, stride=patch)
    want = convolution(clip.transpose(1, 2)).flatten(2).transpose(1, 2)
    assert grid_of(clip, patch) == (3, 3, 3)
    patches = patches_of(clip, patch).flatten(2)
    got = nn.functional.linear(patches, convolution.weight.flatten(1), convolution.bias)
    torch.testing.assert_close(got, want, atol=1e-5, rtol=0)


def test_a_patch_stays_where_the_end_of_its_tubelet_differs_from_the_start_before() -> None:
    """Three tubelets of two frames, one row of two patches of 2 x 2 pixels."""
    clip = torch.zeros(1, 6, 3, 2, 4)
    clip[0, 3, :, :, 2:] = 0.2  # tubelet 1 ends otherwise than tubelet 0 starts, right alone
    clip[0, 1] = 9.0  # the end of tubelet 0 and ...
    clip[0, 2, :, :, :2] = 0.3  # ... the start of tubelet 1 matter to nobody before tubelet 2
    want = [True, True, False, True, True, False]
    assert kept_by_run_length(clip, (2, 2, 2), 0.1).tolist() == [want]


@pytest.mark.parametrize(("change", "kept"), [(0.39, False), (0.41, True)])
def test_the_change_is_the_mean_over_pixels_and_channels(change, kept) -> None:
    clip = torch.zeros(1, 2, 2, 2, 2)
    clip[0, 1, 0, 0] = change  # 2 of 8 numbers
    assert kept_by_run_length(clip, (1, 2, 2), 0.1).tolist() == [[True, kept]]


def test_without_a_threshold_and_in_one_tubelet_all_patches_stay() -> None:
    still = torch.zeros(2, 4, 3, 4, 4)
    assert kept_by_run_length(still, (2, 2, 2), None).all()
    assert kept_by_run_length(still, (4, 2, 2), 0.1).all()
    assert kept_by_run_length(still, (2, 2, 2), 0.0).sum().item() == 2 * 4
