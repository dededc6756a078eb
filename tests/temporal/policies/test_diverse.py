"""Units that differ: worked examples, the determinant itself as an oracle, and odd vectors."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from temporal.policies.diverse import farthest_first, greedy_log_det

# Directions of 0, 10, 90, 100 and 180 degrees.
FAN = [[np.cos(a), np.sin(a)] for a in np.deg2rad([0, 10, 90, 100, 180])]


def test_farthest_first_by_hand() -> None:
    assert farthest_first(FAN, 2, first=0) == [0, 4]
    assert farthest_first(FAN, 3, first=0) == [0, 2, 4]  # 90 is 90 from both, 100 only 80
    # The mean lies nearest to 90; 0 and 180 are equally far: the one farther in time goes first.
    assert farthest_first(FAN, 1) == [2]
    assert farthest_first(FAN, 5) == [0, 1, 2, 3, 4]
    assert farthest_first(torch.tensor(FAN) * torch.arange(1, 6)[:, None], 2, first=0) == [0, 4]


def test_what_is_all_alike_is_spread_over_time() -> None:
    assert farthest_first(np.ones((9, 4)), 3, first=0) == [0, 4, 8]
    assert farthest_first(np.zeros((5, 2)), 2, first=0) == [0, 4]
    chosen = farthest_first([[1, 0]] * 50 + [[0, 1]] + [[1, 0]] * 49, 3)
    assert 50 in chosen and len(chosen) == 3


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
    for k, count in itertools.product((1, 5, 30), (1, 4, 20)):
        vectors = np.random.default_rng(k).normal(size=(count, 3))
        for select in (farthest_first, greedy_log_det):
            chosen = select(vectors, k)
            assert chosen == sorted(set(chosen)) and len(chosen) == min(k, count)
            assert len(select(np.ones((count, 3)), k)) == min(k, count)
    assert greedy_log_det(np.full((3, 2), 1e300), 2) == [0, 1]


@pytest.mark.parametrize("select", [farthest_first, greedy_log_det])
@pytest.mark.parametrize(
    ("vectors", "k", "says"),
    [
        ([], 1, r"\[N, D\]"),
        ([1.0, 2.0], 1, r"\[N, D\]"),
        ([[float("nan"), 1.0]], 1, "finite"),
        (FAN, 0, "k"),
    ],
)
def test_what_are_no_vectors_is_refused(select: Any, vectors: Any, k: int, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        select(vectors, k)


def test_other_parameters_are_checked() -> None:
    with pytest.raises(ValueError, match="first"):
        farthest_first(FAN, 2, first=5)
    with pytest.raises(ValueError, match="as many"):
        greedy_log_det(FAN, 2, scores_N=[1.0])
    with pytest.raises(ValueError, match="weight"):
        greedy_log_det(FAN, 2, weight=-1.0)
