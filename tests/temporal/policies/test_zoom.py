"""Which frames to score next: likeness and bounds by hand, and what is closed."""

from __future__ import annotations

import numpy as np
import pytest

from temporal.policies.zoom import likeness, next_looks, posterior, representatives, still_open


def test_likeness_by_hand() -> None:
    # Of 0 and 2 the deviation is 1, their distance 2.
    assert np.allclose(likeness([[0.0], [2.0]]), [[1, np.exp(-2)], [np.exp(-2), 1]])
    brighter = likeness(np.array([[0.0], [2.0]]) * 7 + 100)
    assert np.allclose(brighter, likeness([[0.0], [2.0]]))
    assert (likeness(np.full((3, 5), 80.0)) == 1).all()  # nothing differs


def test_representatives_are_the_middles_of_groups() -> None:
    alike = likeness([[0.0], [0.5], [1.0], [50.0], [50.5]])
    assert representatives(alike, 2)[0] in (0, 1, 2)  # the larger group comes first
    assert representatives(alike, 2)[1] in (3, 4)
    assert representatives(likeness([[0.0], [3.0], [6.0]]), 1) == [1]  # the middle
    assert sorted(representatives(alike, 9)) == [0, 1, 2, 3, 4]
    assert representatives(np.ones((9, 9)), 3) == [0, 8, 4]  # one picture: spread over time


def test_representatives_are_greedy_on_their_sum() -> None:
    alike = likeness(np.random.default_rng(0).normal(size=(20, 3)))
    taken: list[int] = []
    for _ in range(6):
        sums = [alike[[*taken, unit]].max(axis=0).sum() for unit in range(20)]
        taken.append(int(np.argmax(sums)))
    assert representatives(alike, 6) == taken


def test_posterior_by_hand() -> None:
    alike = np.array([[1, 0.5, 0], [0.5, 1, 0.5], [0, 0.5, 1]])
    # Scores 1 and 3 about 2 with a deviation of 1; the middle is half like both.
    means, deviations = posterior(alike, [0, 2], [1.0, 3.0])
    assert np.allclose(means, [1, 2, 3])
    assert deviations[0] == deviations[2] == 0.0
    assert deviations[1] == pytest.approx(np.sqrt(1 - 2 * 0.25 / 1.001))
    means, deviations = posterior(alike, [0], [4.0])  # one score: no deviation is known
    assert np.allclose(means, 4.0) and np.allclose(deviations, 0.0)
    means, _ = posterior(np.eye(3), [0, 1], [0.0, 8.0])
    assert np.allclose(means, [0, 8, 4])  # unlike all that was scored: their mean


def test_what_is_known_is_not_open() -> None:
    low, high = [0.1, 0.6, 0.2, 0.4], [0.3, 0.9, 0.7, 0.5]
    assert still_open(low, high, 1) == [1, 2]
    assert still_open(low, high, 2) == [2, 3]
    assert still_open(low, high, 4) == []  # all are wanted
    assert still_open([0.1, 0.8], [0.2, 0.9], 1) == []
    assert still_open([-np.inf] * 3, [np.inf] * 3, 1) == [0, 1, 2]
    with pytest.raises(ValueError, match="num_best"):
        still_open(low, high, 0)


def test_looks_go_to_what_may_be_best_and_end() -> None:
    # Three groups of like frames, of which the second scores best.
    groups = np.repeat([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]], 10, axis=0)
    groups += np.random.default_rng(0).normal(0, 0.3, groups.shape)
    alike = likeness(groups)
    at, scores = [5, 15, 25], [0.1, 0.9, 0.2]
    looks = next_looks(alike, at, scores, 5, 4)
    assert looks and all(10 <= unit < 20 for unit in looks)
    assert len(set(looks) | set(at)) == len(looks) + 3
    # Where every frame of the best group was scored and five stand out, nothing is left to do.
    at = [5, 25, *range(10, 20)]
    scores = [0.1, 0.2, *([0.9] * 5 + [0.5] * 5)]
    assert next_looks(alike, at, scores, 5, 4) == []
