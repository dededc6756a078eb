"""Operating points from held-out data, with what is certain about their accuracy.

Any family of policies is calibrated in the same way: it was run on held-out sources, and for each
policy and source it is known whether the answer was wrong and what it cost (`PolicyGrid`). One part
of the sources chooses a path through the policies, from the full reading to the cheapest; the other
part, which nothing was chosen on, tests it in that order (`operating_points`).

What is promised is Learn-then-Test with fixed-sequence testing (Angelopoulos et al., "Learn then
Test", arXiv 2110.01052, section 3 and appendix C), for sources that are drawn independently like
those that tested:

- A drop that is named before the results are seen. `drop_bound` is the largest of the bounds on the
  path up to a point, each at full confidence, so the cheapest point with `drop_bound <= max_drop`
  is where testing "the risk is at least max_drop" from the safest point on, until a test fails,
  would have stopped. With probability `confidence` its risk is at most `max_drop`: only the first
  point of the path whose risk is too large could be passed by mistake, and that is one test. This
  holds for every `max_drop`, but for one: of several that are tried, one may be wrong more often.
- Anything else, such as the point for a budget, or one that was picked because it looked good.
  `drop_bound_all` holds for all points at once with probability `confidence` (each point's bound
  at its part of the error, Bonferroni), so it may be looked at first and chosen by.

Rows that resemble each other (sentences of one review, clips of one session) count for less than
their number, and the bounds do not know that.

P policies, N sources.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..checks import check_in, check_range
from .risk import RISKS, Change, upper_bound


@dataclass(frozen=True, kw_only=True, slots=True)
class OperatingPoint:
    """One way to run a reader, with what it did on held-out data."""

    policy: dict[str, Any]
    """Configuration fields to set, e.g. `{"criterion": "confidence", "thresholds": [...]}`."""
    cost_share: float
    """Cost over the cost of reading everything, 0 to 1."""
    cost: float
    """Mean cost of a source, in `cost_unit`."""
    cost_unit: str
    """`"macs"`, `"ms"` (on the machine that calibrated, one thread or more as it was set), or
    another word for what was counted."""
    accuracy: float
    """Share of right answers; agreement with the full reading where there were no labels."""
    drop: float
    """Accuracy of the full reading minus this accuracy; may be negative."""
    num_calibration: int
    """N, held-out sources it was measured on."""
    risk: str | None = None
    """One of `temporal.training.risk.RISKS`; None: nothing was tested, and there are no bounds."""
    confidence: float | None = None
    """Of the bounds."""
    drop_bound: float | None = None
    """Upper bound on the risk of this point and all safer ones, for a drop named in advance."""
    drop_bound_all: float | None = None
    """Upper bound on the risk that holds for all stored points at once."""
    max_drop: float | None = None
    """The drop that was named in advance, of the point that was chosen for it."""
    read_like: dict[str, str] | None = None
    """How certain answers were and how much was read of some of the sources, as
    `temporal.auditing.signals.stored` writes it; None: that was not noted."""
    num_read: int | None = None
    """How many sources that is of."""
    num_differing: int | None = None
    """Of how many of them the answer was not the full reading's."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a configuration file."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyGrid:
    """What some policies did on the same held-out sources; the first reads everything."""

    policies: Sequence[dict[str, Any]]
    """P, configuration fields to set."""
    losses_PN: Tensor
    """Bool, true where the answer is wrong (or differs from the full reading's)."""
    costs_PN: Tensor
    """Cost of each reading, in `cost_unit`."""
    cost_unit: str
    """See `OperatingPoint.cost_unit`."""

    def __post_init__(self) -> None:
        shape = tuple(self.losses_PN.shape)
        if len(shape) != 2 or len(self.policies) != shape[0] or not min(shape):
            raise ValueError(
                f"losses {shape} must be [policies ({len(self.policies)}), sources], at least one "
                "of each"
            )
        if self.losses_PN.dtype != torch.bool or tuple(self.costs_PN.shape) != shape:
            raise ValueError(
                f"losses ({self.losses_PN.dtype}) must be bool, and costs "
                f"{tuple(self.costs_PN.shape)} of the same shape {shape}"
            )

    def take(self, policies: Sequence[int] | None = None, rows: Tensor | None = None) -> PolicyGrid:
        """Some of the policies, in that order, on some of the sources; default: all."""
        kept = list(range(len(self.policies)) if policies is None else policies)
        rows = torch.arange(self.losses_PN.shape[1]) if rows is None else rows
        return replace(
            self,
            policies=[self.policies[k] for k in kept],
            losses_PN=self.losses_PN[kept][:, rows],
            costs_PN=self.costs_PN[kept][:, rows],
        )


def operating_points(
    grid: PolicyGrid,
    choose_rows: Tensor,
    test_rows: Tensor,
    *,
    count: int = 20,
    risk: str = "accuracy_drop",
    confidence: float = 0.95,
) -> list[OperatingPoint]:
    """Choose a path through the policies on some sources and test it on others, safest first.

    Points that cost no less than a safer one are left out.

    Args:
        grid: of all sources.
        choose_rows: int64 source numbers that the path is chosen on. None of them: the grid is
            the path, its order having been fixed in advance.
        test_rows: int64 source numbers that nothing was chosen on.
        count: operating points at most, at least 2.
        risk: one of `temporal.training.risk.RISKS`.
        confidence: of the bounds, in (0, 1).

    Returns:
        The points, the full reading first, each cheaper than the one before.

    Raises:
        ValueError: as `certify` raises it.
    """
    path = None
    if len(choose_rows):
        chosen_on = grid.take(rows=choose_rows)
        path = frontier(chosen_on, count, cautious_losses(chosen_on))
    return worth_having(certify(grid.take(path, test_rows), risk=risk, confidence=confidence))


def worth_having(points: Sequence[OperatingPoint]) -> list[OperatingPoint]:
    """Those that cost less than all safer ones; the full reading, which comes first, is kept.

    Bounds stay what they are: they are of the whole path, and no loss has a say in this.
    """
    kept = [points[0]]
    for point in points[1:]:
        if point.cost < kept[-1].cost:
            kept.append(point)
    return kept


def split_rows(num_rows: int, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Row numbers of a random share, to choose on, and of the rest, to test on.

    Args:
        num_rows: rows, numbered from 0.
        share: in [0, 1], of the rows to choose on.
        seed: the same seed gives the same split.

    Returns:
        Both, int64, ascending.

    Raises:
        ValueError: the share is not in [0, 1].
    """
    check_range("share", share, 0.0, 1.0)
    order = torch.randperm(num_rows, generator=torch.Generator().manual_seed(seed))
    cut = round(share * num_rows)
    return order[:cut].sort().values, order[cut:].sort().values


def cautious_losses(grid: PolicyGrid) -> list[float]:
    """Roughly the upper bound (95 %) on what each policy loses against the first, as a share.

    Of thousands of policies a cheap one may seem to lose nothing by luck. By its mean losses alone
    it beats all that cost more, then fails its test, and nothing is left but the full reading. What
    changes few answers is safe however they fell out: with `lost` and `gained` sources, about
    normal with a variance of `lost + gained`, of which one more is assumed.
    """
    changes = [Change.between(grid.losses_PN[0], losses_N) for losses_N in grid.losses_PN]
    return [
        change.drop
        + 1.645 * math.sqrt(change.num_lost + change.num_gained + 1) / change.num_sources
        for change in changes
    ]


def frontier(grid: PolicyGrid, count: int, losses: Sequence[float] | None = None) -> list[int]:
    """Policies that no other beats in both cost and losses, evenly over the costs, safest first.

    Args:
        grid: the full reading first.
        count: policies at most.
        losses: of each policy, to compare them by; default: the share of its wrong answers.

    Returns:
        Policy numbers, the full reading first.
    """
    costs = grid.costs_PN.double().mean(1).tolist()
    if losses is None:
        losses = grid.losses_PN.double().mean(1).tolist()
    best: list[int] = []
    for k in sorted(range(1, len(costs)), key=lambda k: (costs[k], losses[k])):
        if costs[k] < costs[0] and (not best or losses[k] < losses[best[-1]]):
            best.append(k)
    if len(best) >= count:
        wanted = torch.linspace(costs[best[0]], costs[best[-1]], count - 1).tolist()
        nearest = {min(best, key=lambda k: abs(costs[k] - cost)) for cost in wanted}
        best = [k for k in best if k in nearest]
    return [0, *reversed(best)]


def measure(grid: PolicyGrid, shares_N: Tensor | None = None) -> list[OperatingPoint]:
    """Operating points with what was measured and no bounds.

    Args:
        grid: the full reading first.
        shares_N: each source's share of the accuracy, summing to 1; default: all alike.
    """
    num_sources = grid.losses_PN.shape[1]
    right_PN = (~grid.losses_PN).double()
    accuracies_P = right_PN.mean(1) if shares_N is None else right_PN @ shares_N.double()
    accuracies = accuracies_P.clamp(max=1.0).tolist()  # shares that are rounded add up to more
    costs = grid.costs_PN.double().mean(1).tolist()
    return [
        OperatingPoint(
            policy=policy,
            cost_share=cost / costs[0],
            cost=cost,
            cost_unit=grid.cost_unit,
            accuracy=accuracy,
            drop=accuracies[0] - accuracy,
            num_calibration=num_sources,
        )
        for policy, cost, accuracy in zip(grid.policies, costs, accuracies, strict=True)
    ]


def certify(
    grid: PolicyGrid, *, risk: str = "accuracy_drop", confidence: float = 0.95
) -> list[OperatingPoint]:
    """Operating points with bounds on their risk; see the module for what these promise.

    Args:
        grid: a path that was not chosen on these sources, safest first.
        risk: one of `temporal.training.risk.RISKS`; for `"disagreement"` and `"missed_events"` the
            full reading has no losses.
        confidence: of the bounds, in (0, 1).

    Returns:
        One point for each policy, in their order.

    Raises:
        ValueError: there is no such risk, the confidence is not in (0, 1), or the losses are not
            of disagreement.
    """
    check_in("risk", risk, RISKS)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence ({confidence}) must be > 0 and < 1, e.g. 0.95")
    if risk == "disagreement" and bool(grid.losses_PN[0].any()):
        raise ValueError("risk ('disagreement') needs losses against the full reading itself")
    delta = 1 - confidence
    bound = 0.0
    points: list[OperatingPoint] = []
    for point, losses_N in zip(measure(grid), grid.losses_PN, strict=True):
        change = Change.between(grid.losses_PN[0], losses_N)
        bound_all = 0.0  # the full reading loses nothing against itself
        if points:
            bound = max(bound, upper_bound(risk, change, delta))
            bound_all = max(0.0, upper_bound(risk, change, delta / (len(grid.policies) - 1)))
        points.append(
            replace(
                point,
                risk=risk,
                confidence=confidence,
                drop_bound=bound,
                drop_bound_all=bound_all,
            )
        )
    return points


def within_drop(points: Sequence[OperatingPoint], max_drop: float) -> OperatingPoint:
    """The cheapest point whose measured drop is within `max_drop`. That promises nothing.

    Of many points some look better than they are, and this picks among those:
    `temporal.models.operating_points.point_for_drop` does not.

    Args:
        points: the full reading, whose drop is 0, among them.
        max_drop: of accuracy, 0 to 1.

    Returns:
        One of the points.
    """
    safe = [point for point in points if point.drop <= max_drop + 1e-12]
    return min(safe, key=lambda point: point.cost_share)
