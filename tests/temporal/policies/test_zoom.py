"""Which part of a time line to look at next: the bounds by hand, and what is closed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from temporal.policies.zoom import bounds, open_arms


def test_bounds_by_hand() -> None:
    low, high = bounds([0.5, 0.2, 0.0], [0.04, 0.0, 0.0], [4, 2, 0], 1.0)
    log = math.log(6)
    width = math.sqrt(2 * log * 0.04 / 4) + 3 * log / 4
    assert low[0] == pytest.approx(0.5 - width) and high[0] == pytest.approx(0.5 + width)
    width = math.sqrt(2 * log * 1e-6 / 2) + 3 * log / 2
    assert low[1] == pytest.approx(0.2 - width) and high[1] == pytest.approx(0.2 + width)
    assert low[2] == -math.inf and high[2] == math.inf
    half = bounds([0.5, 0.2, 0.0], [0.04, 0.0, 0.0], [4, 2, 0], 0.5)
    assert half[1][0] - 0.5 == pytest.approx((high[0] - 0.5) / 2)


def test_arms_that_are_known_are_not_looked_at() -> None:
    looks = [100] * 4  # of 400: widths of .05 * 3 ln 400 / 100 = .009, and next to no variance
    means, variances = [0.2, 0.75, 0.745, 0.45], [0.0] * 4
    assert open_arms(means, variances, looks, 1) == [1, 2]
    assert open_arms(means, variances, looks, 2) == []  # both are above all others
    assert open_arms(means, variances, looks, 3) == []
    assert open_arms(means, variances, looks, 1, scale=10.0) == [1, 2, 3, 0]  # nothing is certain
    assert open_arms(means, variances, looks, 9) == []  # all are wanted
    means = [0.2, 0.9, 0.445, 0.45]  # the second is in for certain, the first is out
    assert open_arms(means, variances, looks, 2) == [3, 2]


def test_what_was_not_looked_at_comes_first() -> None:
    assert open_arms([0.9, 0.0, 0.1], [0.0] * 3, [5, 0, 5], 1)[0] == 1
    assert open_arms([0.0] * 3, [0.0] * 3, [0, 0, 0], 1) == [0, 1, 2]
    with pytest.raises(ValueError, match="num_best"):
        open_arms([0.0], [0.0], [1], 0)


def test_looks_go_where_scores_are_high_and_end() -> None:
    random = np.random.default_rng(0)
    truth = np.array([0.1, 0.2, 0.8, 0.15, 0.75, 0.1, 0.2, 0.3])
    scores: list[list[float]] = [[] for _ in truth]
    for _ in range(400):
        means = [float(np.mean(one)) if one else 0.0 for one in scores]
        variances = [float(np.var(one)) if one else 0.0 for one in scores]
        left = open_arms(means, variances, list(map(len, scores)), 2)
        if not left:
            break
        scores[left[0]].append(float(np.clip(truth[left[0]] + random.normal(0, 0.05), 0, 1)))
    looks = np.array(list(map(len, scores)))
    assert not left and looks.sum() <= 40
    assert set(np.argsort(-np.array(means))[:2]) == {2, 4}
    assert looks[[2, 4, 7]].min() >= looks[[0, 1, 3, 5, 6]].max()  # the doubtful ones
