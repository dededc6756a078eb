"""From losses and costs to operating points: by hand, and what is promised by simulation."""

from __future__ import annotations

import functools
import json
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from temporal.models.operating_points import point_for_drop
from temporal.training.calibration import (
    OperatingPoint,
    PolicyGrid,
    cautious_losses,
    certify,
    frontier,
    measure,
    operating_points,
    split_rows,
    within_drop,
    worth_having,
)
from temporal.training.risk import RISKS, Change, upper_bound


def grid(losses: list[list[int]], costs: list[float]) -> PolicyGrid:
    losses_PN = torch.tensor(losses).bool()
    return PolicyGrid(
        policies=[{"read_threshold": float(k)} for k in range(len(losses))],
        losses_PN=losses_PN,
        costs_PN=torch.tensor(costs)[:, None].expand(losses_PN.shape),
        cost_unit="macs",
    )


# The full reading is wrong about one of five; so are the others, about more.
SMALL = grid(
    [[0, 0, 0, 0, 1], [0, 0, 0, 1, 0], [1, 0, 0, 0, 1], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0]],
    [100.0, 80.0, 90.0, 20.0, 40.0],
)


def test_points_by_hand() -> None:
    points = measure(SMALL)
    assert [point.accuracy for point in points] == pytest.approx([0.8, 0.8, 0.6, 0.4, 0.2])
    assert [point.drop for point in points] == pytest.approx([0.0, 0.0, 0.2, 0.4, 0.6])
    assert [point.cost_share for point in points] == pytest.approx([1, 0.8, 0.9, 0.2, 0.4])
    assert points[3].cost == 20 and points[3].num_calibration == 5
    assert points[3].risk is None and points[3].drop_bound is None


def test_sources_can_count_unequally() -> None:
    # Classes of four and one: balanced, the one counts as much as the four.
    shares = torch.tensor([1 / 8] * 4 + [1 / 2])
    accuracies = [point.accuracy for point in measure(SMALL, shares)]
    assert accuracies == pytest.approx([0.5, 0.875, 0.375, 0.625, 0.5])


def test_an_accuracy_is_at_most_one_however_shares_are_rounded() -> None:
    grid = PolicyGrid(
        policies=[{}],
        losses_PN=torch.zeros(1, 48, dtype=torch.bool),
        costs_PN=torch.ones(1, 48, dtype=torch.float64),
        cost_unit="macs",
    )
    shares_N = torch.full((48,), 1 / 48, dtype=torch.float64) + 1e-16
    assert measure(grid, shares_N)[0].accuracy == 1.0


def test_the_frontier_leaves_out_what_another_beats() -> None:
    assert frontier(SMALL, 10) == [0, 1, 3]  # 2 costs more than 1, 4 than 3, and both lose more


def test_a_path_keeps_what_changes_little_beside_what_was_lucky() -> None:
    # Policy 1 changes 2 answers of 100 and policy 2 changes 17, of which it gains 9 by luck.
    full = [1] * 10 + [0] * 90
    careful = [0] + [1] * 9 + [1] + [0] * 89
    lucky = [0] * 9 + [1] + [1] * 8 + [0] * 82
    policies = grid([full, careful, lucky], [1.0, 0.5, 0.1])
    assert cautious_losses(policies) == pytest.approx(
        [0.01645, 0.01645 * 3**0.5, -0.01 + 0.01645 * 18**0.5], abs=1e-12
    )
    assert frontier(policies, 10) == [0, 2]
    every = torch.arange(100)
    points = operating_points(policies, every, every)
    assert [point.policy["read_threshold"] for point in points] == [0.0, 1.0, 2.0]


def test_a_long_frontier_is_thinned_evenly_and_keeps_its_ends() -> None:
    # Policy k costs 1 / (k + 1), and loses k sources.
    losses = [[int(n < k) for n in range(30)] for k in range(20)]
    many = grid(losses, [1 / (k + 1) for k in range(20)])
    path = frontier(many, 5)
    assert path[0] == 0 and path[-1] == 19 and len(path) <= 5
    assert path == sorted(path)
    shares = [1 / (k + 1) for k in path[1:]]
    assert max(a - b for a, b in pairwise(shares)) < 0.35


def test_bounds_rise_along_the_path_and_hold_for_all_at_a_higher_price() -> None:
    losses = torch.rand(6, 400, generator=torch.Generator().manual_seed(0))
    levels = torch.tensor([0.1, 0.12, 0.11, 0.2, 0.15, 0.3])[:, None]
    path = grid((losses < levels).int().tolist(), [1.0, 0.8, 0.7, 0.5, 0.4, 0.2])
    for risk in ("accuracy_drop", "lost_answers"):
        points = certify(path, risk=risk, confidence=0.9)
        changes = [Change.between(path.losses_PN[0], row) for row in path.losses_PN]
        alone = [upper_bound(risk, change, 0.1) for change in changes]
        for k in range(1, 6):
            assert points[k].drop_bound == max(alone[1 : k + 1])
            assert points[k].drop_bound_all == upper_bound(risk, changes[k], 0.1 / 5)
        assert (points[0].drop_bound, points[0].drop_bound_all) == (0.0, 0.0)
        assert {(p.risk, p.confidence, p.num_calibration) for p in points} == {(risk, 0.9, 400)}


def test_bounds_are_from_the_rows_that_did_not_choose() -> None:
    # What chooses finds that policy 1 loses nothing; what tests, that it loses everything.
    losses = [[0] * 40, [0] * 20 + [1] * 20, [1] * 40]
    policies = grid(losses, [1.0, 0.5, 0.8])
    first, rest = torch.arange(20), torch.arange(20, 40)
    points = operating_points(policies, first, rest)
    assert [point.policy["read_threshold"] for point in points] == [0.0, 1.0]
    assert points[1].drop_bound == 1.0 and points[1].num_calibration == 20
    # A path whose order was fixed in advance is tested as it is.
    kept = operating_points(policies, first[:0], torch.arange(40))
    assert kept == certify(policies)[:2]  # the last costs more than a safer one


def test_points_that_cost_no_less_than_a_safer_one_are_not_worth_having() -> None:
    points = measure(grid([[0]] * 6, [1.0, 1.1, 1.0, 0.5, 0.6, 0.4]))
    kept = [point.cost_share for point in worth_having(points)]
    assert kept == pytest.approx([1.0, 0.5, 0.4])


def test_a_split_is_a_partition_by_seed() -> None:
    first, rest = split_rows(100, 0.33, 5)
    assert len(first) == 33 and sorted(torch.cat([first, rest]).tolist()) == list(range(100))
    assert torch.equal(first, split_rows(100, 0.33, 5)[0])
    assert not torch.equal(first, split_rows(100, 0.33, 6)[0])


def test_points_are_json() -> None:
    for point in certify(SMALL):
        text = json.dumps(point.to_dict(), allow_nan=False)
        assert OperatingPoint(**json.loads(text)) == point


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"risk": "loss"}, r"risk \('loss'\) must be one of \['accuracy_drop'"),
        ({"confidence": 1.0}, r"confidence \(1.0\) must be > 0 and < 1"),
        ({"risk": "disagreement"}, "needs losses against the full reading itself"),
    ],
)
def test_what_cannot_be_certified_is_refused(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        certify(SMALL, **options)


@pytest.mark.parametrize(
    "changed",
    [
        {"policies": []},
        {"losses_PN": SMALL.losses_PN.int()},
        {"costs_PN": SMALL.costs_PN[:, :3]},
        {"losses_PN": SMALL.losses_PN[:, :0], "costs_PN": SMALL.costs_PN[:, :0]},
    ],
)
def test_arrays_that_do_not_fit_are_refused(changed) -> None:
    parts = {name: getattr(SMALL, name) for name in ("policies", "losses_PN", "costs_PN")}
    with pytest.raises(ValueError, match="losses .* must be"):
        PolicyGrid(cost_unit="macs", **{**parts, **changed})


# What is promised, by simulation ----------------------------------------------------------------

NUM_SOURCES, NUM_POLICIES, TRIALS = 200, 25, 1000
LIMIT, DELTA = 0.05, 0.05


def draw(drops: Tensor, gained: Tensor, trials: int, seed: int) -> tuple[Tensor, Tensor]:
    """Counts `[trials, P]` of lost and gained sources of nested policies of known risk.

    A source is lost from the policy on at which u < drops + gained, and gained likewise by v.
    """
    generator = torch.Generator().manual_seed(seed)
    shape = (trials, NUM_SOURCES, 1)
    u = torch.rand(shape, generator=generator)
    lost = u < drops + gained
    won = (u > 1 - gained) & ~lost
    return lost.sum(1), won.sum(1)


@functools.cache
def accepts(risk: str, lost: int, gained: int, limit: float) -> bool:
    changed = Change(num_lost=lost, num_gained=gained, num_sources=NUM_SOURCES)
    return RISKS[risk](changed, limit) <= DELTA


def chosen_in_sequence(risk: str, lost_P: Tensor, gained_P: Tensor) -> int:
    """The last policy that fixed-sequence testing accepts; 0 is the full reading."""
    chosen = 0
    for k, (lost, gained) in enumerate(
        zip(lost_P.tolist(), gained_P.tolist(), strict=True), start=1
    ):
        if not accepts(risk, lost, gained, LIMIT):
            break
        chosen = k
    return chosen


TRUTHS = {
    # The best point loses just more than the limit, and all before it just less: the hardest case.
    "edge": torch.tensor([0.01] * 4 + [LIMIT + 1e-6] * (NUM_POLICIES - 4)),
    "rising": torch.linspace(0, 0.12, NUM_POLICIES),
    # Many tests, each of a policy that is a little too bad.
    "all_bad": torch.full((NUM_POLICIES,), LIMIT + 0.002),
}


@pytest.mark.parametrize("truth", sorted(TRUTHS))
@pytest.mark.parametrize("risk", ["accuracy_drop", "lost_answers"])
def test_a_certified_drop_is_exceeded_in_at_most_one_of_twenty_calibrations(risk, truth) -> None:
    drops = TRUTHS[truth]
    gained = torch.full_like(drops, 0.02 if risk == "accuracy_drop" else 0.0)
    lost_TP, gained_TP = draw(drops, gained, TRIALS, seed=1)
    risks = [0.0, *drops.tolist()]
    picks = [chosen_in_sequence(risk, *both) for both in zip(lost_TP, gained_TP, strict=True)]
    failures = sum(risks[pick] > LIMIT for pick in picks) / TRIALS
    assert failures <= DELTA + 0.015  # two standard errors of 1,000 trials
    if truth == "edge":
        assert failures >= 0.01  # the case is hard, and the test not idle


def test_the_measured_choice_exceeds_it_nearly_always() -> None:
    """Of many policies that are a little too bad, some look good enough, and those are picked."""
    # Independent policies: the counts of each come from draws of their own.
    drops = TRUTHS["all_bad"]
    generator = torch.Generator().manual_seed(2)
    draws = torch.rand(200, NUM_POLICIES, NUM_SOURCES, generator=generator)
    costs = [1.0, *(0.9 - 0.01 * k for k in range(NUM_POLICIES))]
    measured = certified = 0
    for losses_PN in draws < drops[:, None]:
        full = torch.zeros(1, NUM_SOURCES, dtype=torch.bool)
        run = grid(torch.cat([full, losses_PN]).int().tolist(), costs)
        measured += within_drop(measure(run), LIMIT).cost_share < 1
        lost = losses_PN.sum(1)
        certified += chosen_in_sequence("lost_answers", lost, torch.zeros_like(lost)) > 0
    assert measured / 200 >= 0.9
    assert certified / 200 <= DELTA + 0.035  # two standard errors of 200 trials


def test_bounds_for_all_points_hold_for_all_at_once() -> None:
    """Whichever point is picked after looking: here the one whose bound is most below its risk."""
    drops = TRUTHS["rising"][4:]
    lost_TP, _ = draw(drops, torch.zeros_like(drops), 300, seed=3)

    @functools.cache
    def bound(lost: int, delta: float) -> float:
        changed = Change(num_lost=lost, num_gained=0, num_sources=NUM_SOURCES)
        return upper_bound("lost_answers", changed, delta)

    def broken(delta: float) -> float:
        bounds = torch.tensor([[bound(lost, delta) for lost in row] for row in lost_TP.tolist()])
        return (drops > bounds).any(1).double().mean().item()

    assert broken(DELTA / len(drops)) <= DELTA
    assert broken(DELTA) > DELTA + 0.02  # each alone holds; all together do not


def test_points_and_their_choice_are_that_testing_in_sequence() -> None:
    lost_TP, _ = draw(TRUTHS["rising"], torch.zeros(NUM_POLICIES), 20, seed=4)
    picks = []
    for lost_P in lost_TP:
        # Losses of nested policies: the first sources are lost first.
        losses = torch.arange(NUM_SOURCES) < lost_P[:, None]
        full = torch.zeros(1, NUM_SOURCES, dtype=torch.bool)
        costs = [1.0, *(0.99 - 0.03 * k for k in range(NUM_POLICIES))]
        points = certify(grid(torch.cat([full, losses]).int().tolist(), costs), risk="lost_answers")
        chosen = point_for_drop([point.to_dict() for point in points], LIMIT)
        want = chosen_in_sequence("lost_answers", lost_P, torch.zeros_like(lost_P))
        assert chosen["policy"]["read_threshold"] == want
        picks.append(want)
    assert len(set(picks)) > 1
