"""Like calibration or not: exact p-values, cells, and alarms in simulation."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from temporal.auditing.likeness import Likeness, differing
from temporal.auditing.signals import NUM_CELLS, add, cells, counted, counts_of, stored
from temporal.auditing.two_sample import chance_of_gap, largest_gap, p_value, thinned


def chance_by_counting(n: int, m: int, gap: int) -> float:
    """All orders of n values of one sample and m of the other."""
    orders = list(combinations(range(n + m), n))
    hits = 0
    for places in orders:
        i = j = largest = 0
        for place in range(n + m):
            i, j = (i + 1, j) if place in places else (i, j + 1)
            largest = max(largest, abs(i * m - j * n))
        hits += largest >= gap
    return hits / len(orders)


@pytest.mark.parametrize(("n", "m"), [(1, 3), (2, 2), (3, 5), (4, 4), (6, 3)])
def test_chance_of_a_gap_is_that_of_all_orders(n: int, m: int) -> None:
    for gap in range(n * m + 1):
        assert chance_of_gap(n, m, gap) == pytest.approx(chance_by_counting(n, m, gap), abs=1e-12)


def test_chance_of_a_gap_for_large_samples() -> None:
    # Smirnov's limit for gaps of 1.3581 over the root of nm / (n + m): 0.05.
    n = m = 2000
    assert chance_of_gap(n, m, int(1.3581 * (2 / n) ** 0.5 * n * m)) == pytest.approx(0.05, 0.06)
    assert chance_of_gap(2500, 20_000, 2500 * 20_000 // 2) == 1e-12
    # Smaller for a larger gap, also where counting gives way to a bound.
    gaps = [chance_of_gap(300, 5000, k * 15_000) for k in range(1, 50)]
    assert gaps == sorted(gaps, reverse=True) and gaps[-1] == 1e-12 < gaps[15]


def test_gap_by_hand() -> None:
    # Shares up to each cell: 1/4, 1/2, 1 and 1/2, 1, 1: the largest gap is 1/2 of 4 * 2.
    assert largest_gap([1, 1, 2], [1, 1, 0]) == 4
    assert p_value([2, 0], [0, 2]) == pytest.approx(1 / 3)  # two of the six orders
    assert p_value([5, 5], [5, 5]) == 1
    assert p_value([2, 0], [0, 2], up_to=0.3) is None
    with pytest.raises(ValueError, match="at least one value"):
        largest_gap([0], [1])


def test_a_very_large_sample_is_thinned() -> None:
    many = [10**7, 3 * 10**7]
    few = thinned(many, 1000)
    assert sum(few) == 1000 and 200 < few[0] < 300
    assert thinned([1, 2], 1000) == [1, 2]
    assert p_value([500, 500], many) == 1e-12
    assert p_value([250, 750], many, up_to=0.01) is None


def test_cells_are_in_the_order_of_values() -> None:
    certain = [cells(score=p)["certainty"] for p in (0.0, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0)]
    assert certain == sorted(set(certain)) and certain[0] == 0 and certain[-1] == NUM_CELLS - 1
    read = [cells(score=None, units_read=n)["units_read"] for n in (0, 1, 2, 3, 5, 100, 10**9)]
    assert read == sorted(set(read)) and read[-1] == NUM_CELLS - 1
    told = cells(score=0.5, confidences=(0.9, 0.5), exit=1, units_read=2)
    assert set(told) == {"certainty", "first_certainty", "exit", "units_read"}
    assert cells(score=float("nan")) == {} == cells(score=7.5)  # no probability


def test_counts_are_stored_as_words_and_come_back() -> None:
    counts = counted([cells(score=0.9, exit=1), cells(score=0.9, exit=1), cells(score=0.1)])
    words = stored(counts)
    assert words["exit"] == "1:2" and counts_of(words) == counts
    assert counts_of({"certainty": "", "of_later_versions": "1:1"}) == {}
    for bad in ({"exit": "64:1"}, {"exit": "1:0"}, {"exit": "x"}, {"exit": 3}):
        with pytest.raises(ValueError, match="run it again"):
            counts_of(bad)  # type: ignore[arg-type]


def _run(rng: np.random.Generator, shift: float, length: int) -> list[dict[str, int]]:
    certain = 1 / (1 + np.exp(-rng.normal(2 + shift, 1.5, length)))
    read = rng.geometric(0.3 - 0.1 * (shift < 0), length)
    return [cells(score=p, units_read=int(n)) for p, n in zip(certain, read, strict=True)]


def _alarm(calibration: list[dict[str, int]], run: list[dict[str, int]]) -> int | None:
    watch = Likeness(counted(calibration))
    for count, reading in enumerate(run, start=1):
        if watch.add(reading):
            return count
    return None


def test_no_false_alarm_in_95_of_100_runs_and_a_change_is_seen() -> None:
    rng = np.random.default_rng(3)
    same = [_alarm(_run(rng, 0, 256), _run(rng, 0, 300)) for _ in range(60)]
    assert np.mean([alarm is not None for alarm in same]) <= 0.05
    moved = [_alarm(_run(rng, 0, 256), _run(rng, -1.0, 200)) for _ in range(20)]
    assert np.mean([alarm is not None and alarm <= 200 for alarm in moved]) > 0.85


def test_a_change_late_in_a_long_run_is_seen_soon() -> None:
    rng = np.random.default_rng(5)
    watch = Likeness(counted(_run(rng, 0, 1000)))
    for reading in _run(rng, 0, 5000):
        assert watch.add(reading) is None
    found = next(found for reading in _run(rng, -1.5, 200) if (found := watch.add(reading)))
    assert watch.unlike is found
    assert found.signal in ("certainty", "units_read") and "differs (p = " in found.told
    assert watch.add({"units_read": 3}) is None  # told once


def test_one_look_at_a_whole_run() -> None:
    rng = np.random.default_rng(9)
    calibration, like, unlike = (counted(_run(rng, shift, 500)) for shift in (0, 0, -1.0))
    assert differing(calibration, like) is None
    found = differing(calibration, unlike)
    assert found is not None and found.inputs == 500 and found.p_value < 0.0125
    add(like, {"exit": 3})  # which calibration knew nothing of
    assert differing(calibration, like) is None
    assert differing({}, like) is None and differing(calibration, {}) is None
