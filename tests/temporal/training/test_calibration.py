"""Calibration: bounds by hand and by simulation, frontiers on hand-made logits."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from temporal.policies.halt import CRITERIA
from temporal.training.calibration import (
    OperatingPoint,
    certified,
    exit_frontier,
    exits_taken,
    hoeffding_bentkus,
    risk_bound,
    within_drop,
)


def logits(rows: list[list[tuple[float, int]]], num_classes: int = 2) -> Tensor:
    """`[N, E, K]` logits from each exit's (probability, class)."""
    out = torch.empty(len(rows), len(rows[0]), num_classes)
    for n, row in enumerate(rows):
        for e, (probability, answer) in enumerate(row):
            out[n, e] = math.log((1 - probability) / (num_classes - 1))
            out[n, e, answer] = math.log(probability)
    return out


# Four sources, three exits; exit 0 is wrong about the third, right answers are 0, 1, 0, 1.
LOGITS = logits(
    [
        [(0.9, 0), (0.95, 0), (0.99, 0)],
        [(0.6, 1), (0.9, 1), (0.99, 1)],
        [(0.7, 1), (0.6, 0), (0.99, 0)],
        [(0.55, 1), (0.6, 1), (0.7, 1)],
    ]
)
LABELS = torch.tensor([0, 1, 0, 1])
COSTS = [0.25, 0.5, 1.0]


def test_exits_taken_by_hand() -> None:
    assert exits_taken(LOGITS, "confidence", [0.8, 0.8]).tolist() == [0, 1, 2, 2]
    assert exits_taken(LOGITS, "confidence", [0.65, 0.95]).tolist() == [0, 2, 0, 2]
    assert exits_taken(LOGITS, "confidence", [math.inf, math.inf]).tolist() == [2] * 4
    assert exits_taken(LOGITS, "confidence", [0.0, 0.0]).tolist() == [0] * 4
    # Two answers in a row agree at exit 1, but for the third source, which changes its mind.
    assert exits_taken(LOGITS, "patience", [2, 2]).tolist() == [1, 1, 2, 1]
    with pytest.raises(ValueError, match=r"thresholds \(1\) must be as many as exits - 1"):
        exits_taken(LOGITS, "confidence", [0.5])


@pytest.mark.parametrize("name", sorted(CRITERIA))
def test_exits_taken_is_what_a_reader_does_step_by_step(name) -> None:
    logits_NEK = 2 * torch.randn(40, 4, 3)
    thresholds = [0.8, 0.6, 0.5] if name != "patience" else [2, 2, 3]
    want = []
    for n in range(40):
        step = 0
        while step < 3:
            if CRITERIA[name](logits_NEK[n, : step + 1, None])[0] >= thresholds[step]:
                break
            step += 1
        want.append(step)
    assert len(set(want)) > 1
    assert exits_taken(logits_NEK, name, thresholds).tolist() == want


def test_a_frontier_point_by_hand() -> None:
    points = exit_frontier(LOGITS, LABELS, COSTS, "confidence", grid_size=200)
    safest, cheapest = points[0], points[-1]
    assert (safest.cost_share, safest.accuracy, safest.drop) == (1.0, 1.0, 0.0)
    # At the lowest threshold every source leaves at the first exit; the third gets lost.
    assert cheapest.policy["thresholds"] == pytest.approx([0.55, 0.55])
    assert cheapest.cost_share == pytest.approx(0.25)
    assert (cheapest.accuracy, cheapest.drop) == (0.75, 0.25)
    assert cheapest.drop_bound == pytest.approx(risk_bound(1, 4, 0.05))
    assert all(a.cost_share >= b.cost_share - 1e-12 for a, b in pairwise(points))


def test_a_frontier_is_what_exits_taken_says_at_its_thresholds() -> None:
    logits_NEK, labels_N = 2 * torch.randn(60, 3, 3), torch.randint(0, 3, (60,))
    weights_N = torch.rand(60) + 0.5
    points = exit_frontier(logits_NEK, labels_N, COSTS, "margin", weights_N=weights_N, grid_size=9)
    for point in points:
        taken = exits_taken(logits_NEK, "margin", point.policy["thresholds"])
        right = logits_NEK[torch.arange(60), taken].argmax(-1) == labels_N
        share = (torch.tensor(COSTS)[taken] * weights_N).sum() / weights_N.sum()
        assert point.accuracy == pytest.approx(right.float().mean().item())
        assert point.cost_share == pytest.approx(share.item(), abs=1e-6)
        assert point.num_calibration == 60


def test_without_labels_the_full_reading_is_the_truth() -> None:
    points = exit_frontier(LOGITS, None, COSTS, "confidence")
    assert points[0].accuracy == 1.0
    assert points[-1].accuracy == 0.75


def test_exits_before_min_exit_never_answer() -> None:
    for point in exit_frontier(LOGITS, LABELS, COSTS, "confidence", min_exit=1):
        assert min(exits_taken(LOGITS, "confidence", point.policy["thresholds"])) >= 1


def test_an_exit_must_be_left_to_halt_at() -> None:
    with pytest.raises(ValueError, match=r"min_exit \(2\) must be >= 0 and < exits - 1 \(2\)"):
        exit_frontier(LOGITS, LABELS, COSTS, "confidence", min_exit=2)


def test_class_balanced_accuracy_counts_rare_classes_as_much() -> None:
    # Ninety sources of class 0 are always right, ten of class 1 are wrong at the first exit.
    rows = [[(0.9, 0), (0.9, 0)]] * 90 + [[(0.8, 0), (0.9, 1)]] * 10
    labels = torch.tensor([0] * 90 + [1] * 10)
    plain = exit_frontier(logits(rows), labels, [0.5, 1.0], "confidence")[-1]
    balanced = exit_frontier(logits(rows), labels, [0.5, 1.0], "confidence", class_balanced=True)
    assert plain.accuracy == pytest.approx(0.9)
    assert balanced[-1].accuracy == pytest.approx(0.5)
    assert balanced[0].accuracy == pytest.approx(1.0)


def test_points_are_json() -> None:
    for point in exit_frontier(LOGITS, LABELS, COSTS, "confidence"):
        text = json.dumps(point.to_dict(), allow_nan=False)
        assert OperatingPoint(**json.loads(text)) == point


@pytest.mark.parametrize(("logits_NEK", "costs"), [(LOGITS, [0.5, 1.0]), (LOGITS[:0], COSTS)])
def test_shapes_that_do_not_fit_are_refused(logits_NEK, costs) -> None:
    with pytest.raises(ValueError, match="at least one source and as many exits as"):
        exit_frontier(logits_NEK, LABELS[: len(logits_NEK)], costs, "confidence")


def point(cost_share: float, drop: float, drop_bound: float) -> OperatingPoint:
    return OperatingPoint(
        policy={},
        cost_share=cost_share,
        accuracy=0.9 - drop,
        drop=drop,
        drop_bound=drop_bound,
        confidence=0.95,
        num_calibration=100,
    )


POINTS = [
    point(1.0, 0.0, 0.03),
    point(0.8, 0.001, 0.04),
    point(0.6, 0.02, 0.08),
    point(0.4, 0.004, 0.045),  # cheaper and by luck better than the one before
]


def test_within_drop_takes_the_cheapest_that_was_measured_so_good() -> None:
    assert within_drop(POINTS, 0.005) is POINTS[3]
    assert within_drop(POINTS, 0.002) is POINTS[1]
    assert within_drop(POINTS, 0.0) is POINTS[0]


def test_certified_stops_at_the_first_point_that_fails() -> None:
    assert certified(POINTS, 0.05) is POINTS[1]  # the last passes alone, but comes after a failure
    assert certified(POINTS, 0.1) is POINTS[3]
    assert certified(POINTS, 0.01) is POINTS[0]
    assert certified([POINTS[0], replace(POINTS[1], drop_bound=0.05)], 0.05).cost_share == 0.8


def test_p_value_by_hand() -> None:
    # No losses among 10 at risk 0.3: Hoeffding gives 0.7 ** 10, Bentkus e times as much.
    assert hoeffding_bentkus(0, 10, 0.3) == pytest.approx(0.7**10)
    # 1 of 4 at 0.5: Hoeffding exp(-4 KL(1/4, 1/2)) = 16 / 27; Bentkus e * 5 / 16 is larger.
    assert hoeffding_bentkus(1, 4, 0.5) == pytest.approx(16 / 27)
    # 40 of 1000 at 0.06 is where Bentkus wins.
    hoeffding = math.exp(-1000 * (0.04 * math.log(0.04 / 0.06) + 0.96 * math.log(0.96 / 0.94)))
    terms = (math.comb(1000, k) * 0.06**k * 0.94 ** (1000 - k) for k in range(41))
    bentkus = math.e * math.fsum(terms)
    assert bentkus < hoeffding
    assert hoeffding_bentkus(40, 1000, 0.06) == pytest.approx(bentkus, rel=1e-6)
    assert hoeffding_bentkus(5, 10, 0.5) == hoeffding_bentkus(5, 10, 0.2) == 1.0


def test_the_bound_inverts_the_p_value() -> None:
    for losses, sources in ((0, 20), (3, 100), (40, 1000)):
        bound = risk_bound(losses, sources, 0.05)
        assert hoeffding_bentkus(losses, sources, bound) <= 0.05 + 1e-9
        assert hoeffding_bentkus(losses, sources, bound - 1e-6) > 0.05
    assert risk_bound(0, 20, 0.05) == pytest.approx(1 - 0.05 ** (1 / 20))
    assert risk_bound(10, 10, 0.05) == 1.0


def test_the_bound_is_monotone() -> None:
    by_losses = [risk_bound(losses, 50, 0.05) for losses in range(0, 51, 5)]
    by_sources = [risk_bound(n // 10, n, 0.05) for n in (10, 50, 200, 1000)]
    by_delta = [risk_bound(5, 50, delta) for delta in (0.5, 0.1, 0.05, 0.001)]
    assert by_losses == sorted(by_losses) and by_delta == sorted(by_delta)
    assert by_sources == sorted(by_sources, reverse=True)
    assert all(bound >= losses / 50 for bound, losses in zip(by_losses, range(0, 51, 5)))  # noqa: B905


@pytest.mark.parametrize(("risk", "num_sources"), [(0.02, 200), (0.3, 60)])
def test_the_bound_covers_the_true_risk_as_often_as_it_says(risk, num_sources) -> None:
    losses = (torch.rand(300, num_sources) < risk).sum(1).tolist()
    bounds = {count: risk_bound(count, num_sources, 0.1) for count in set(losses)}
    covered = sum(bounds[count] >= risk for count in losses) / len(losses)
    # 0.9 is promised; three standard errors of 300 draws below it would be 0.85.
    assert covered >= 0.85


def test_certified_points_lose_more_than_allowed_no_more_often_than_it_says() -> None:
    """Sources leave at the first exit where u < t; of those, a share of t errs."""
    failures = 0
    for _ in range(300):
        certain, errs = torch.rand(200), torch.rand(200)
        points = []
        for step in range(11):
            leave = certain > 1 - step / 10
            lost = leave & (errs < 0.02 * step)
            points.append(point(1 - step / 20, 0.0, risk_bound(int(lost.sum()), 200, 0.1)))
        chosen = round(20 * (1 - certified(points, 0.06).cost_share))
        true_risk = chosen / 10 * 0.02 * chosen
        failures += true_risk > 0.06
    assert failures / 300 <= 0.15
