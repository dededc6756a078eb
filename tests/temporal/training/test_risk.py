"""Exact tests and bounds: by hand, against other implementations, and at every truth."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from mapie.risk_control._base_controller import ltt_procedure
from mapie.risk_control.methods import compute_hoeffding_bentkus_p_value

from temporal.training.risk import (
    RISKS,
    Change,
    drop_p_value,
    share_p_value,
    upper_bound,
)


def change(lost: int, gained: int, n: int) -> Change:
    return Change(num_lost=lost, num_gained=gained, num_sources=n)


def log_ways(n: int, *counts: int) -> float:
    rest = n - sum(counts)
    return math.lgamma(n + 1) - sum(math.lgamma(count + 1) for count in (*counts, rest))


def test_a_share_by_hand() -> None:
    # One of four lost: P(X <= 1) for Binomial(4, 1/2) is 5/16.
    assert share_p_value(change(1, 0, 4), 0.5) == pytest.approx(5 / 16)
    # No loss among 20: the bound u has (1 - u) ** 20 = 0.05, rounded up by at most 1e-4.
    exact = 1 - 0.05 ** (1 / 20)
    assert exact <= upper_bound("lost_answers", change(0, 0, 20), 0.05) <= exact + 1e-4
    assert upper_bound("disagreement", change(10, 0, 10), 0.05) == 1.0


def test_gains_do_not_count_for_lost_answers_and_do_for_the_drop() -> None:
    few, many = change(12, 0, 500), change(12, 9, 500)
    assert share_p_value(few, 0.04) == share_p_value(many, 0.04)
    assert drop_p_value(many, 0.04) < drop_p_value(few, 0.04)


@pytest.mark.parametrize("limit", [0.02, 0.05])
def test_a_drop_by_hand(limit: float) -> None:
    """Nothing changed among n: only that outcome is so extreme, and it is likeliest where as few
    answers change as the drop allows, all of them lost. 1e-4 is the price of the search."""
    n = 40
    assert drop_p_value(change(0, 0, n), limit) == pytest.approx((1 - limit) ** n, abs=2e-4)
    assert drop_p_value(change(3, 0, 20), 0.1) == 1.0  # measured 0.15: nothing against 0.1


@pytest.mark.parametrize("limit", [0.0, 0.04, 0.15])
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_a_false_drop_is_rejected_no_more_often_than_alpha_whatever_the_truth(limit, alpha) -> None:
    """The size of the test, computed exactly for every share of changed answers."""
    n = 24
    p_value = functools.cache(lambda lost, gained: drop_p_value(change(lost, gained, n), limit))
    rejected = [
        (lost, gained)
        for lost in range(n + 1)
        for gained in range(n + 1 - lost)
        if p_value(lost, gained) <= alpha
    ]
    sizes = []
    for step in range(1, 40):
        changed = limit + (0.98 - limit) * step / 40
        logs = math.log((changed + limit) / 2), math.log((changed - limit) / 2)
        size = math.fsum(
            math.exp(
                log_ways(n, lost, gained)
                + lost * logs[0]
                + gained * logs[1]
                + (n - lost - gained) * math.log1p(-changed)
            )
            for lost, gained in rejected
        )
        sizes.append(size)
    assert max(sizes) <= alpha + 1e-3  # its maximum over 32 shares; no bound on what lies between
    assert max(sizes) >= 0.6 * alpha  # and no weaker than it must be


@pytest.mark.parametrize("risk", sorted(RISKS))
def test_the_bound_inverts_the_p_value(risk: str) -> None:
    for lost, gained, n in ((0, 0, 20), (3, 1, 100), (40, 25, 1000)):
        bound = upper_bound(risk, change(lost, gained, n), 0.05)
        assert RISKS[risk](change(lost, gained, n), bound) <= 0.05
        assert RISKS[risk](change(lost, gained, n), bound - 2e-4) > 0.05


@pytest.mark.parametrize("risk", sorted(RISKS))
def test_the_bound_is_monotone(risk: str) -> None:
    by_losses = [upper_bound(risk, change(lost, 2, 80), 0.05) for lost in range(0, 40, 4)]
    by_sources = [upper_bound(risk, change(n // 10, 0, n), 0.05) for n in (10, 50, 200, 1000)]
    by_delta = [upper_bound(risk, change(5, 1, 50), delta) for delta in (0.5, 0.1, 0.05, 0.004)]
    assert by_losses == sorted(by_losses) and by_delta == sorted(by_delta)
    assert by_sources == sorted(by_sources, reverse=True)


def test_a_bound_below_zero_says_that_reading_less_is_better() -> None:
    assert -0.5 < upper_bound("accuracy_drop", change(0, 40, 100), 0.05) < -0.25


def test_the_drop_is_bounded_tighter_than_by_its_parts() -> None:
    """The bound on losses less the bound on gains, each at half the error, is what is simple."""
    counted = change(30, 20, 1400)
    gains = change(1400 - 20, 0, 1400)
    apart = upper_bound("lost_answers", change(30, 0, 1400), 0.025)
    apart -= 1 - upper_bound("lost_answers", gains, 0.025)
    together = upper_bound("accuracy_drop", counted, 0.05)
    assert counted.drop < together < 0.75 * apart


def test_p_values_and_testing_agree_with_mapie() -> None:
    """Its Hoeffding-Bentkus p-value of binary losses is the binomial tail; of others it is larger.

    And testing in a fixed sequence stops where the running maximum of our bounds passes the limit.
    """
    for lost, n, limit in ((0, 20, 0.1), (3, 100, 0.05), (40, 1000, 0.06), (7, 64, 0.2)):
        given = np.array([lost / n]), n, limit
        ours = share_p_value(change(lost, 0, n), limit)
        theirs = compute_hoeffding_bentkus_p_value(*given, binary=True)
        assert ours == pytest.approx(float(theirs[0, 0]), rel=1e-6)
        assert ours <= compute_hoeffding_bentkus_p_value(*given)[0, 0] + 1e-12
    random = np.random.default_rng(0)
    accepted = []
    for _ in range(20):
        losses = (random.random(128)[None] < np.linspace(0, 0.3, 12)[:, None]).sum(1)
        kept, _ = ltt_procedure(
            (losses / 128)[None],
            np.array([[0.2]]),
            0.05,
            np.full((1, 12), 128),
            True,
            fwer_method="fixed_sequence",
        )
        bounds = [upper_bound("lost_answers", change(int(k), 0, 128), 0.05) for k in losses]
        largest = [max(bounds[: k + 1]) for k in range(12)]
        accepted.append(len(kept[0]))
        assert list(kept[0]) == [k for k in range(12) if largest[k] <= 0.2]
    assert len(set(accepted)) > 1
