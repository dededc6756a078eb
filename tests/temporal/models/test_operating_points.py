"""Choosing an operating point of a configuration, by budget and by drop."""

from __future__ import annotations

import pytest

from temporal.models import FrameExitConfig
from temporal.models.operating_points import apply_point, point_for_budget, point_for_drop

# As versions without bounds stored them.
OLD = [
    {"cost_share": 1.0, "accuracy": 0.90, "policy": {"thresholds": [9.0, 9.0]}},
    {"cost_share": 0.6, "accuracy": 0.91, "policy": {"thresholds": [0.9, 0.9]}},
    {"cost_share": 0.5, "accuracy": 0.89, "policy": {"thresholds": [0.8, 0.8]}},
    {"cost_share": 0.3, "accuracy": 0.89, "policy": {"thresholds": [0.7, 0.7]}},
]
BOUNDS = (0.0, 0.006, 0.02, 0.02)
POINTS = [
    {**point, "risk": "accuracy_drop", "drop_bound": bound, "drop_bound_all": 2 * bound}
    for point, bound in zip(OLD, BOUNDS, strict=True)
]


@pytest.mark.parametrize("points", [OLD, POINTS], ids=["old", "new"])
@pytest.mark.parametrize(("budget", "cost_share"), [(1, 1), (0.6, 0.6), (0.55, 0.5), (0.3, 0.3)])
def test_a_budget_is_there_to_be_spent(points, budget, cost_share) -> None:
    assert point_for_budget(points, budget)["cost_share"] == cost_share


def test_shares_were_measured_elsewhere_so_half_a_percent_over_is_granted() -> None:
    assert point_for_budget(POINTS, 0.296)["cost_share"] == 0.3
    with pytest.raises(ValueError, match=r"budget \(0.29\) must be at least 0.300"):
        point_for_budget(POINTS, 0.29)


@pytest.mark.parametrize(
    ("max_drop", "cost_share"), [(0.0, 1.0), (0.005, 1.0), (0.006, 0.6), (0.01, 0.6), (0.02, 0.3)]
)
def test_a_drop_takes_the_cheapest_point_that_is_certified_for_it(max_drop, cost_share) -> None:
    assert point_for_drop(POINTS, max_drop)["cost_share"] == cost_share


def test_points_without_bounds_certify_nothing() -> None:
    with pytest.raises(ValueError, match=r"max_drop \(0.5\) needs operating points with bounds"):
        point_for_drop(OLD, 0.5)


def test_a_drop_below_every_stored_bound_says_which_is_the_lowest() -> None:
    with pytest.raises(ValueError, match=r"max_drop \(0.005\) must be at least 0.0060"):
        point_for_drop(POINTS[1:], 0.005)


@pytest.mark.parametrize("choose", [point_for_budget, point_for_drop])
@pytest.mark.parametrize("share", [2, -0.1, float("nan")])
def test_both_are_shares(choose, share) -> None:
    with pytest.raises(ValueError, match="must be between 0"):
        choose(POINTS, share)


@pytest.mark.parametrize("choose", [point_for_budget, point_for_drop])
@pytest.mark.parametrize("points", [None, []])
def test_without_calibration_it_says_what_to_run(choose, points) -> None:
    with pytest.raises(ValueError, match="temporal calibrate"):
        choose(points, 0.5)


def test_a_points_policy_is_set() -> None:
    config = FrameExitConfig(num_frames=3, operating_points=OLD)
    apply_point(config, OLD[3])
    assert config.thresholds == [0.7, 0.7]
