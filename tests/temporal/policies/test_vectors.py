"""What vectors of units tell, by cases worked out by hand."""

from __future__ import annotations

import pytest
import torch

from temporal.policies.vectors import farthest_first, mean_similarity


def test_the_most_typical_is_first_then_each_is_farthest_from_those_taken() -> None:
    angles = torch.tensor([0.0, 10.0, 80.0, 95.0, 20.0]).deg2rad()
    vectors = (
        torch.stack([angles.cos(), angles.sin()], 1) * torch.tensor([1.0, 5, 1, 9, 2])[:, None]
    )
    # The mean of directions lies at about 40 degrees: nearest is 20. From it 95 is farthest (75),
    # then 0 (20 from 20), then 80 (15 from 95), then 10 (10 from 0).
    assert farthest_first(vectors, 5) == [4, 3, 0, 2, 1]
    assert farthest_first(vectors, 2) == [4, 3]
    assert sorted(farthest_first(vectors, 9)) == [0, 1, 2, 3, 4]
    assert farthest_first(torch.ones(4, 3), 3) == [0, 1, 2]  # all alike
    with pytest.raises(ValueError, match=r"k \(0\)"):
        farthest_first(vectors, 0)


def test_the_mean_of_a_few_is_expected_to_be_near_that_of_all() -> None:
    vectors = torch.tensor([[2.0, 1.0], [2.0, -1.0]])
    # The variance is 2, of their mean 2 / 2 and of 4 units half are read: 0.5; the mean is 2 long.
    assert mean_similarity(vectors, 4) == pytest.approx(1 - 0.5 / 8)
    assert mean_similarity(vectors, 2) == 1
    assert mean_similarity(vectors[:1], 4) == -1
    assert mean_similarity(torch.ones(3, 2), 9) == 1


def test_the_expectation_is_what_happens_on_average() -> None:
    draws = torch.Generator().manual_seed(0)
    told, found = [], []
    for _ in range(400):
        units = torch.randn(16, 32, generator=draws) * 0.4 + torch.ones(32)
        told.append(mean_similarity(units[:5], 16))
        cosine = torch.cosine_similarity(units[:5].mean(0), units.mean(0), dim=0)
        found.append(float(cosine))
    missed, expected = 1 - sum(found) / 400, 1 - sum(told) / 400
    assert 0.9 < missed / expected < 1.05
