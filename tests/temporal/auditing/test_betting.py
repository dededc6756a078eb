"""Bounds by betting: by hand, in simulation at every moment, and whatever the order."""

from __future__ import annotations

import math

import numpy as np
import pytest

from temporal.auditing.betting import _STAKES, log_capital, lower_bound, passes, upper_bound


def test_capital_is_what_the_bets_make_one_after_another() -> None:
    # Bet by bet, with the outcomes in an order: a fair game of mean `share` each.
    share, outcomes = 0.2, [1, 0, 0, 1, 0]
    capitals = np.ones(len(_STAKES))
    for outcome in outcomes:
        capitals *= 1 + _STAKES / share * (outcome - share)
    assert log_capital(2, 5, share) == pytest.approx(math.log(capitals.mean()), rel=1e-12)


def test_capital_after_one_outcome_by_hand() -> None:
    # The stakes are symmetric about a half, so their mean is 1/2: 1 + (1 - m) / (2 m), or 1 - 1/2.
    assert log_capital(1, 1, 0.25) == pytest.approx(math.log(2.5))
    assert log_capital(0, 1, 0.25) == pytest.approx(math.log(0.5))
    assert log_capital(0, 0, 0.25) == 0


def test_the_game_is_fair() -> None:
    # The mean of the capital after n outcomes of chance m is 1, whatever n.
    for n, share in ((1, 0.1), (7, 0.3), (40, 0.05)):
        mean = sum(
            math.comb(n, s) * share**s * (1 - share) ** (n - s) * math.exp(log_capital(s, n, share))
            for s in range(n + 1)
        )
        assert mean == pytest.approx(1, abs=1e-9)


def test_bounds_enclose_what_was_seen_and_reach_it() -> None:
    for seen, total in ((0, 10), (3, 10), (10, 10), (30, 1000)):
        low, high = lower_bound(seen, total), upper_bound(seen, total)
        assert 0 <= low <= seen / total <= high <= 1
    assert upper_bound(30, 1000) - lower_bound(30, 1000) < 0.04
    assert (lower_bound(0, 0), upper_bound(0, 0)) == (0, 1)
    assert lower_bound(0, 10**6) == 0 and upper_bound(0, 10**6) < 2e-5
    # Not far from the exact bound for one look (Clopper & Pearson: 1 - 0.05 ** (1 / 100)).
    assert 0.0295 < upper_bound(0, 100) < 0.05


def test_a_share_is_passed_where_the_lower_bound_has_reached_it() -> None:
    low = lower_bound(12, 40, 0.9)
    assert passes(12, 40, low - 1e-5, 0.9) and not passes(12, 40, low + 1e-5, 0.9)
    assert passes(1, 5, 0.0) and not passes(0, 5, 0.0)  # one disagreement is more than none


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3])
def test_the_truth_is_never_passed_in_95_of_100_runs(share: float) -> None:
    runs, length = 2000, 1000
    outcomes = np.random.default_rng(7).random((runs, length)) < share
    seen = outcomes.cumsum(1)
    counts = range(length + 1)
    needed = np.full(length, length + 1)  # disagreements by which the truth is passed, by time
    least = 0
    for n in counts[1:]:
        while least <= n and not passes(least, n, share):
            least += 1
        needed[n - 1] = least
    assert (seen >= needed).any(1).mean() <= 0.05


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"seen \(3\) must be >= 0 and <= total \(2\)"):
        lower_bound(3, 2)
    with pytest.raises(ValueError, match=r"confidence \(1\)"):
        upper_bound(0, 2, 1)
    with pytest.raises(ValueError, match=r"share \(1.5\)"):
        log_capital(0, 2, 1.5)
