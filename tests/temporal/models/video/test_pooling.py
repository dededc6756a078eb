"""Poolings by hand, and that the reading order does not matter to them."""

from __future__ import annotations

import pytest
import torch

from temporal.models.video.pooling import POOLINGS, change_pool, max_pool, mean_pool, pooled_size


def test_max_and_mean_by_hand() -> None:
    features, times = torch.tensor([[[1.0, -4.0], [3.0, -2.0]]]), torch.tensor([[0.5, 0.0]])
    assert max_pool(features, times).tolist() == [[3.0, -2.0]]
    assert mean_pool(features, times).tolist() == [[2.0, -3.0]]


def test_change_by_hand() -> None:
    # Read middle, first, last. In time: 0, 3, 4, so 1 per 0.2 at first and then slower.
    features = torch.tensor([[[3.0], [0.0], [4.0]]])
    times = torch.tensor([[0.5, 0.0, 1.0]])
    mean, slope, change = change_pool(features, times)[0].tolist()
    assert mean == pytest.approx(7 / 3)
    assert slope == pytest.approx((0 * -0.5 + 3 * 0 + 4 * 0.5) / 0.5)
    assert change == pytest.approx((3 + 1) / 2)


def test_change_tells_an_event_from_its_reverse_and_a_mean_does_not() -> None:
    forward, times = torch.randn(1, 4, 3), torch.tensor([[0.0, 0.25, 0.5, 0.75]])
    reverse = forward.flip(1)
    torch.testing.assert_close(mean_pool(forward, times), mean_pool(reverse, times))
    a, b = change_pool(forward, times), change_pool(reverse, times)
    torch.testing.assert_close(a[:, 3:6], -b[:, 3:6])
    assert a[:, 3:6].abs().min() > 0


def test_one_frame_has_no_change_and_equal_times_no_infinite_slope() -> None:
    one = change_pool(torch.ones(1, 1, 2), torch.zeros(1, 1))
    assert one.tolist() == [[1.0, 1.0, 0.0, 0.0, 0.0, 0.0]]
    assert change_pool(torch.randn(1, 3, 2), torch.full((1, 3), 0.5)).isfinite().all()


@pytest.mark.parametrize("name", sorted(POOLINGS))
def test_the_order_of_reading_does_not_matter(name) -> None:
    features, times = torch.randn(3, 6, 5), torch.rand(3, 6)
    order = torch.randperm(6)
    pooled = POOLINGS[name](features, times)
    assert pooled.shape == (3, pooled_size(name, 5))
    again = POOLINGS[name](features[:, order], times[:, order])
    torch.testing.assert_close(pooled, again, atol=1e-5, rtol=1e-4)
