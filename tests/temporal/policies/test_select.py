"""Selecting units from scores: worked examples, and what holds for all scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from temporal.policies.read import uniform
from temporal.policies.select import near_cheap, quantile_frames, segments, to_cheap, top_k

lengths = st.integers(1, 300)
counts = st.integers(1, 40)
scores = st.lists(st.floats(0, 1e300) | st.just(0.0), min_size=1, max_size=80)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_top_k_takes_the_highest_in_the_order_of_time() -> None:
    assert top_k([1.0, 5.0, 3.0, 5.0, 0.0], 2) == [1, 3]
    assert top_k(torch.tensor([3, 1, 2]), 2) == [0, 2]
    assert top_k(np.array([-3.0, -1.0, -2.0]), 1) == [1]
    assert top_k([2.0, 7.0, 7.0, 7.0], 2) == [1, 2]  # the earlier ones of equals
    assert top_k([4.0, 6.0], 5) == [0, 1]


def test_quantiles_by_hand() -> None:
    assert quantile_frames([0, 0, 4, 0, 0, 4], 2) == [2, 5]
    # Roots 1 2 3 4, shares up to .1 .3 .6 1: the quantiles .25 and .75 lie in the second and last.
    assert quantile_frames([1, 4, 9, 16], 2) == [1, 3]
    # As they are, shares up to 1/30 5/30 14/30 1: .25 lies in the third.
    assert quantile_frames([1, 4, 9, 16], 2, power=1.0) == [2, 3]
    assert quantile_frames([1, 4, 9, 16], 2, power=0.0) == uniform(4, 2)


def test_where_several_quantiles_ask_for_one_frame_others_take_their_place() -> None:
    peaked = [1.0] * 9 + [1e6] + [2.0] + [1.0] * 9
    assert quantile_frames(peaked, 2, power=1.0) == [9, 10]
    alone = [0.0] * 50 + [1.0] + [0.0] * 49
    assert quantile_frames(alone, 3) == [0, 50, 99]


@given(count=lengths, k=counts, level=st.sampled_from([0.0, 1e-300, 0.1, 1.0, 3e9]))
def test_equal_scores_are_uniform(count: int, k: int, level: float) -> None:
    assert quantile_frames([level] * count, k) == uniform(count, k)


@given(scores=scores, k=counts, power=st.sampled_from([0.0, 0.5, 1.0, 3.0, 50.0]))
def test_every_selection_is_sorted_distinct_and_full(
    scores: list[float], k: int, power: float
) -> None:
    chosen: list[Callable[[], list[int]]] = [
        lambda: top_k(scores, k),
        lambda: quantile_frames(scores, k, power=power),
        lambda: quantile_frames(scores, k, power=power, generator=seeded(k)),
        lambda: segments(len(scores), k, seeded(k)),
        lambda: near_cheap(len(scores), k, range(0, len(scores), 4), [1, 2, 3, 4] * 20),
    ]
    for choose in chosen:
        units = choose()
        assert units == sorted(set(units)) and len(units) == min(k, len(scores))
        assert all(type(unit) is int and 0 <= unit < len(scores) for unit in units)
        assert units == choose()


@given(scores=scores, k=counts)
def test_what_has_no_share_is_taken_last(scores: list[float], k: int) -> None:
    peak = max(scores) or 1.0
    positive = [unit for unit, score in enumerate(scores) if score / peak > 0]
    units = quantile_frames(scores, k)
    assert len(set(units) & set(positive)) == min(len(units), len(positive))


def test_drawn_quantiles_lie_in_their_parts() -> None:
    scores = torch.tensor([1.0] * 10 + [0.0] * 10 + [4.0] * 5)  # roots: 10, nothing, 10
    drawn = [quantile_frames(scores, 2, generator=seeded(s)) for s in range(200)]
    assert {units[0] for units in drawn} == set(range(10))
    assert {units[1] for units in drawn} == set(range(20, 25))


def test_segments_by_hand() -> None:
    assert segments(10, 4) == uniform(10, 4)
    drawn = [segments(10, 4, seeded(s)) for s in range(200)]
    parts = [{units[i] for units in drawn} for i in range(4)]
    assert parts == [{0, 1}, {2, 3, 4}, {5, 6}, {7, 8, 9}]
    assert segments(3, 5, seeded(0)) == [0, 1, 2]


def test_near_cheap_by_hand() -> None:
    # Middles 3 and 9 of 12; the cheap ones nearest to them.
    assert near_cheap(12, 2, [0, 4, 8], [1, 2, 3, 4] * 3) == [4, 8]
    # One cheap one is nearest to both: the second takes the next.
    assert near_cheap(100, 2, [40, 99], [9] * 100) == [40, 99]
    assert near_cheap(100, 3, [0, 1, 2, 98], [9] * 100) == [1, 2, 98]
    # Too few: the cheapest of each segment.
    assert near_cheap(12, 3, [0, 6], [*range(1, 7), *range(1, 7)]) == [0, 6, 8]


@pytest.mark.parametrize("choose", [top_k, quantile_frames])
@pytest.mark.parametrize(
    ("scores", "says"),
    [
        ([], "N >= 1"),
        ([[1.0, 2.0]], r"shape \(1, 2\)"),
        ([1.0, float("nan"), 2.0], "nan at 1"),
        (torch.tensor([1.0, float("inf")]), "inf at 1"),
    ],
)
def test_scores_that_are_none_are_refused(choose: Any, scores: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        choose(scores, 2)


def test_other_values_that_are_refused() -> None:
    with pytest.raises(ValueError, match=r"k \(0\)"):
        top_k([1.0], 0)
    with pytest.raises(ValueError, match="softmax"):
        quantile_frames([1.0, -0.5], 1)
    for power in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="power"):
            quantile_frames([1.0], 1, power=power)
    with pytest.raises(ValueError, match="num_reads"):
        segments(5, 0)


def test_scores_of_a_network_may_be_of_any_type_and_have_a_gradient() -> None:
    scores = torch.tensor([0.1, 0.9, 0.5], requires_grad=True)
    assert top_k(scores, 1) == [1]
    assert top_k(scores.half(), 2) == quantile_frames(scores.bfloat16(), 2) == [1, 2]


def test_to_cheap_by_hand() -> None:
    places = list(range(12))
    assert to_cheap([3, 5, 9], [0, 4, 8], places, 2) == [4, 5, 8]  # 4 is taken when 5 asks
    assert to_cheap([3, 4, 9], [0, 4, 8], places, 2) == [3, 4, 8]  # what is there stays
    assert to_cheap([3, 5, 9], [], places, 2) == [3, 5, 9]
    assert to_cheap([3, 5], [0, 11], places, 2.9) == [3, 5]
    assert to_cheap([1, 2], [0, 3], [0.0, 0.1, 0.2, 9.0], 0.5) == [0, 2]  # 3 is far in time


@given(
    units=st.sets(st.integers(0, 99), min_size=1, max_size=20),
    cheap=st.sets(st.integers(0, 99), max_size=20),
    reach=st.integers(0, 30),
)
def test_to_cheap_loses_none(units: set[int], cheap: set[int], reach: int) -> None:
    moved = to_cheap(sorted(units), sorted(cheap), range(100), reach)
    assert moved == sorted(set(moved)) and len(moved) == len(units)
    assert set(moved) <= units | cheap and len(units & cheap) <= len(set(moved) & cheap)
