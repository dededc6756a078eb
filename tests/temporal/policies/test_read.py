"""Reading orders: worked examples, and what holds for every length."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from temporal.policies import read
from temporal.policies.read import (
    ORDERS,
    coarse_to_fine,
    end_first,
    order,
    sequential,
    snap,
    uniform,
)

lengths = st.integers(1, 300)
reads = st.integers(1, 40)


def test_uniform_takes_the_middles_of_equal_segments() -> None:
    assert uniform(10, 4) == [1, 3, 6, 8]  # . x . x . . x . x .
    assert uniform(9, 1) == [4]
    assert uniform(3, 5) == [0, 1, 2]


def test_end_first_takes_the_end_and_then_halves() -> None:
    assert end_first(9, 5) == [8, 3, 5, 1, 6]  # . 4 . 2 . 3 5 . 1
    assert end_first(100, 4) == [99, 49, 24, 74]
    assert end_first(100, 1) == [99]
    assert end_first(1, 3) == [0]


def test_coarse_to_fine_is_middle_first_last_and_then_halves() -> None:
    assert coarse_to_fine(9, 5) == [4, 0, 8, 2, 6]
    # The quarters, then the eighths, from the earliest on.
    assert coarse_to_fine(17, 9) == [8, 0, 16, 4, 12, 2, 6, 10, 14]
    assert coarse_to_fine(2, 5) == [1, 0]
    assert coarse_to_fine(1, 5) == [0]
    assert coarse_to_fine(100, 2) == [50, 0]


def test_sequential_is_truncation() -> None:
    assert sequential(9, 3) == [0, 1, 2]
    assert sequential(2, 3) == [0, 1]


@pytest.mark.parametrize("name", sorted(ORDERS))
@given(num_units=lengths, num_reads=reads)
def test_every_order_reads_distinct_units_of_the_source(
    name: str, num_units: int, num_reads: int
) -> None:
    units = order(name)(num_units, num_reads)
    assert len(units) == len(set(units)) == min(num_units, num_reads)
    assert all(0 <= unit < num_units for unit in units)


@pytest.mark.parametrize("name", ["coarse_to_fine", "end_first", "sequential"])
@given(num_units=lengths, num_reads=reads)
def test_reading_less_reads_the_beginning_of_the_same_order(
    name: str, num_units: int, num_reads: int
) -> None:
    """So a reader that halts has read what a smaller budget would have."""
    whole = order(name)(num_units, num_reads + 1)
    assert order(name)(num_units, num_reads) == whole[:num_reads]


@given(num_units=st.integers(3, 300), num_reads=st.integers(3, 40))
def test_coarse_to_fine_always_halves_a_widest_gap(num_units: int, num_reads: int) -> None:
    units = coarse_to_fine(num_units, num_reads)
    for k in range(3, len(units)):
        taken = sorted(units[:k])
        gaps = list(zip(taken, taken[1:], strict=False))
        widest = max(right - left for left, right in gaps)
        left, right = next(gap for gap in gaps if gap[0] < units[k] < gap[1])
        assert right - left == widest
        assert abs((units[k] - left) - (right - units[k])) <= 1


@given(num_units=lengths, num_reads=reads)
def test_uniform_reads_in_the_order_of_time_and_evenly(num_units: int, num_reads: int) -> None:
    units = uniform(num_units, num_reads)
    assert units == sorted(units)
    gaps = {b - a for a, b in zip(units, units[1:], strict=False)}
    assert not gaps or max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize("name", sorted(ORDERS))
@pytest.mark.parametrize(("num_units", "num_reads"), [(0, 3), (3, 0)])
def test_orders_need_a_unit_and_a_read(name: str, num_units: int, num_reads: int) -> None:
    with pytest.raises(ValueError, match=rf"num_units \({num_units}\) and num_reads \({num_reads}"):
        order(name)(num_units, num_reads)


def test_an_unknown_order_is_named_beside_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"order \('random'\) must be one of \['coarse_to_fine'"):
        order("random")


def test_snapping_moves_to_the_nearest_cheap_unit_within_reach() -> None:
    assert snap([50, 0, 99], [0, 48, 96], 3) == [48, 0, 96]
    assert snap([50, 0, 99], [0, 48, 96], 1) == [50, 0, 99]
    assert snap([50, 0, 99], [], 100) == [50, 0, 99]
    assert snap([5], [3, 7], 2) == [3]  # of two as near, the earlier
    # A keyframe that is taken stays with its first taker; the second keeps its own place.
    assert snap([10, 11], [10], 2) == [10, 11]
    # Unit 12 went to 11; when 11 is wanted itself, it was read already.
    assert snap([12, 11], [11], 1) == [11]


@given(
    units=st.lists(st.integers(0, 99), min_size=1, max_size=10, unique=True),
    cheap=st.lists(st.integers(0, 99), max_size=10, unique=True).map(sorted),
    reach=st.integers(0, 100),
)
def test_snapping_stays_within_reach_and_keeps_the_order(
    units: list[int], cheap: list[int], reach: int
) -> None:
    snapped = snap(units, cheap, reach)
    assert len(snapped) == len(set(snapped)) <= len(units)
    assert set(snapped) <= set(cheap) | set(units)
    rest = iter(units)  # each comes from a unit after the one before it
    assert all(any(abs(unit - moved) <= reach for unit in rest) for moved in snapped)
    if reach == 0:
        assert snapped == units


@pytest.mark.parametrize(
    ("length", "size", "lengths"),
    [(10, 4, [3, 3, 4]), (8, 4, [4, 4]), (3, 4, [3]), (1, 1, [1]), (9, 8, [4, 5])],
)
def test_even_pieces_are_few_and_alike(length, size, lengths) -> None:
    pieces = read.even_pieces(length, size)
    assert [len(piece) for piece in pieces] == lengths
    assert [unit for piece in pieces for unit in piece] == list(range(length))


def test_parts_are_joined_as_long_as_they_fit() -> None:
    parts = [range(0, 2), range(2, 5), range(5, 6), range(6, 6), range(6, 15), range(15, 17)]
    pieces = read.grouped(parts, 5)
    assert pieces == [range(0, 5), range(5, 6), range(6, 10), range(10, 15), range(15, 17)]
    assert read.grouped(parts, 100) == [range(17)]


@pytest.mark.parametrize(
    ("total", "share", "allowed"), [(10, 1.0, 10), (10, 0.3, 3), (10, 0.0, 1), (3, 0.5, 1)]
)
def test_a_share_allows_whole_units_and_at_least_one(total, share, allowed) -> None:
    assert read.num_allowed(total, share) == allowed
