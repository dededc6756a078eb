"""What vectors of units tell, by cases worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from temporal.policies.vectors import farthest_first, greedy_log_det, mean_similarity

# Directions of 0, 10, 90, 100 and 180 degrees.
FAN = [[np.cos(a), np.sin(a)] for a in np.deg2rad([0, 10, 90, 100, 180])]


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


def test_log_det_by_hand() -> None:
    # The first is the earliest; then what is least spanned by it: 90 degrees.
    assert greedy_log_det(FAN, 2) == [0, 2]
    assert greedy_log_det(FAN, 2, scores_N=[0, 0, 0, 9, 0]) == [1, 3]  # 10 is 90 from 100
    assert greedy_log_det(FAN, 2, scores_N=[3, 1, 0, 0, 2], weight=0.0) == [0, 4]
    # 10 scores so well that it is taken although it is little different.
    assert greedy_log_det(FAN, 2, scores_N=[9, 8, 0, 0, 0], weight=0.5) == [0, 1]
    assert greedy_log_det(FAN, 2, scores_N=[9, 8, 0, 0, 0], weight=50.0) == [0, 2]


def test_log_det_is_greedy_on_the_determinant() -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(14, 6))
    scores = random.normal(size=14)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    kernel = unit @ unit.T + 1e-6 * np.eye(14)

    def total(units: list[int]) -> float:
        return float(scores[units].sum() + 0.7 * np.linalg.slogdet(kernel[np.ix_(units, units)])[1])

    taken: list[int] = []
    for _ in range(5):
        left = [unit for unit in range(14) if unit not in taken]
        taken.append(max(left, key=lambda one: total([*taken, one])))
    assert greedy_log_det(vectors, 5, scores_N=scores, weight=0.7) == sorted(taken)


def test_more_units_than_the_vectors_are_wide() -> None:
    for k in (1, 5, 30):
        for count in (1, 4, 20):
            chosen = greedy_log_det(np.random.default_rng(k).normal(size=(count, 3)), k)
            assert chosen == sorted(set(chosen)) and len(chosen) == min(k, count)
            assert len(greedy_log_det(torch.ones(count, 3), k)) == min(k, count)
    assert greedy_log_det(np.full((3, 2), 1e300), 2) == [0, 1]


@pytest.mark.parametrize(
    ("vectors", "options", "says"),
    [
        ([], {}, r"\[N, D\]"),
        ([1.0, 2.0], {}, r"\[N, D\]"),
        ([[float("nan"), 1.0]], {}, "finite"),
        (FAN, {"k": 0}, "k"),
        (FAN, {"scores_N": [1.0]}, "as many"),
        (FAN, {"weight": -1.0}, "weight"),
    ],
)
def test_what_has_no_determinant_is_refused(vectors: Any, options: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        greedy_log_det(vectors, **{"k": 2, **options})
