"""Selectors over scores of a question: worked examples, known traps, and what always holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from temporal.policies.read import uniform
from temporal.policies.select import top_k
from temporal.policies.spread import (
    adaptive_split,
    inverse_transform,
    peakedness,
    routed,
    runs_of,
)

SELECTORS: list[Callable[..., list[int]]] = [inverse_transform, adaptive_split, routed]
scores = st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=80)
counts = st.integers(1, 40)


def test_inverse_transform_by_hand() -> None:
    # From 0 to 1: 0 1 0 .5, shares up to 0 1 1 1.5: .375 lies in the second, 1.125 in the last.
    assert inverse_transform([-1, 1, -1, 0], 2, power=1.0) == [1, 3]
    # 0 .25 .5 1, cubed 0 1/64 8/64 1: of 73/64 the middles of thirds are 12.2, 36.5, 60.8 /64.
    assert inverse_transform([2, 3, 4, 6], 1) == [3]
    assert inverse_transform([2, 3, 4, 6], 2) == [2, 3]  # both fall upon the last: the next best
    assert inverse_transform([2, 3, 4, 6], 2, power=0.0) == uniform(4, 2)


def test_adaptive_split_by_hand() -> None:
    # One frame at 1, others at 0: its 1 best stand 7/8 above the mean, so nothing is halved.
    peak = [0, 0, 0, 0, 0, 1, 0, 0]
    assert adaptive_split(peak, 1) == [5]
    # Two best: (1 + 0) / 2 - 1/8 is not above .8. Halved once: one of each half, its best.
    assert adaptive_split(peak, 2, max_depth=1) == [0, 5]
    assert adaptive_split([0, 3, 0, 0, 0, 0, 9, 0], 2, max_depth=1) == [1, 6]
    # Kept whole at once, however the time line is: the best.
    assert adaptive_split([0, 3, 0, 0, 0, 8, 9, 0], 2, max_depth=0) == [5, 6]
    # Above .2 it is kept: the mean of 8/9 and 1, less 20/72, is .67.
    assert adaptive_split([0, 3, 0, 0, 0, 8, 9, 0], 2, threshold=0.2) == [5, 6]


def test_adaptive_split_gives_as_many_as_are_asked_for() -> None:
    noise = np.random.default_rng(0).random(640)
    for k in (1, 3, 16, 31, 33, 100):  # a fifth halving has 32 parts, with shares below 1 of 16
        chosen = adaptive_split(noise, k)
        assert len(chosen) == k
        assert np.diff(np.array([0, *chosen, 640])).max() <= 2 * 640 / min(k, 32) + 20
    # Three units for four quarters: those with the best unit have one.
    quarters = [1, 0, 0, 2, 0, 0, 3, 0, 0, 4, 0, 0]
    assert adaptive_split(quarters, 3, max_depth=2) == [3, 6, 9]
    assert adaptive_split([0, 1, 2], 2) == [0, 2]
    assert adaptive_split([0, 1, 2], 3) == [0, 1, 2]


def test_peakedness_by_hand() -> None:
    assert peakedness([0, 0, 0, 1], 1) == pytest.approx(0.75 / np.sqrt(3 / 16))
    assert peakedness([0, 0, 0, 1], 1) == pytest.approx(np.sqrt(4 / 1 - 1))  # the most there is
    assert peakedness([5.0] * 9, 3) == 0.0
    assert peakedness([-1, 1, -1, 1], 2) == pytest.approx(1.0)


def test_flat_scores_go_to_uniform_frames() -> None:
    peak = [0.0] * 30 + [9.0] * 3 + [0.0] * 30
    assert routed(peak, 6) == inverse_transform(peak, 6) != uniform(63, 6)
    assert routed(peak, 6, spread=5.0) == uniform(63, 6)  # best six 4.5 on average
    waves = [float(np.sin(at)) for at in range(63)]
    assert peakedness(waves, 30) < 1.0 < peakedness(peak, 6)
    assert routed(waves, 30, threshold=1.0) == uniform(63, 30)


@pytest.mark.parametrize("select", SELECTORS)
@pytest.mark.parametrize("level", [-3.0, 0.0, 1e-300, 0.2, 7e250])
def test_scores_that_do_not_differ_are_uniform(select: Any, level: float) -> None:
    for count, k in ((1, 4), (10, 3), (100, 16)):
        assert select([level] * count, k) == uniform(count, k)
    noise = level * (1 + 1e-8 * np.random.default_rng(0).random(100))  # rounding is no score
    assert select(noise, 16) == uniform(100, 16)


@pytest.mark.parametrize("select", SELECTORS)
@given(scores=scores, k=counts)
def test_every_selection_is_sorted_distinct_and_full(
    select: Any, scores: list[float], k: int
) -> None:
    chosen = select(scores, k)
    assert chosen == sorted(set(chosen)) and len(chosen) == min(k, len(scores))
    assert chosen[0] >= 0 and chosen[-1] < len(scores)


@pytest.mark.parametrize("select", SELECTORS)
def test_selections_are_of_no_scale(select: Any) -> None:
    cosines = np.random.default_rng(3).normal(0.2, 0.03, 200)
    assert select(cosines, 12) == select(100 * cosines - 7, 12)


@pytest.mark.parametrize("select", [*SELECTORS, peakedness])
@pytest.mark.parametrize(
    ("given_scores", "k", "says"),
    [([], 2, "N >= 1"), ([1.0], 0, "k"), ([1.0, float("nan")], 1, "finite")],
)
def test_what_is_no_score_is_refused(select: Any, given_scores: Any, k: int, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        select(given_scores, k)


def test_other_parameters_are_checked() -> None:
    with pytest.raises(ValueError, match="power"):
        inverse_transform([1.0, 2.0], 1, power=float("inf"))
    with pytest.raises(ValueError, match="max_depth"):
        adaptive_split([1.0, 2.0], 1, max_depth=-1)


def test_runs_by_hand() -> None:
    assert runs_of([5, 6], 2, 12) == [5, 6, 7, 8]
    assert runs_of([2, 9, 10], 2, 12) == [2, 3, 8, 9, 10, 11]
    assert runs_of([11], 2, 12) == [10, 11]
    assert runs_of([0, 4], 1, 12) == [0, 4]
    assert runs_of([0, 1, 2], 2, 5) == [0, 1, 2, 3, 4]


@given(starts=st.sets(st.integers(0, 59), min_size=1, max_size=20), length=st.integers(1, 4))
def test_runs_are_whole_and_do_not_meet(starts: set[int], length: int) -> None:
    frames = runs_of(sorted(starts), length, 60)
    assert frames == sorted(set(frames)) and frames[0] >= 0 and frames[-1] < 60
    if len(starts) * length < 60:
        assert len(frames) == len(starts) * length
        for begin in range(0, len(frames), length):
            run = frames[begin : begin + length]
            assert run == list(range(run[0], run[0] + length))


def test_the_best_are_taken_where_nothing_is_halved() -> None:
    noise = np.random.default_rng(1).random(50)
    assert adaptive_split(noise, 7, max_depth=0) == top_k(noise, 7)
