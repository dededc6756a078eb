"""Policies of readers with exits: from all exits' answers to a `PolicyGrid`.

One dense run over the held-out sources tells what any thresholds would do. N sources, E exits,
K classes, P policies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..models.every_exit import certainties as certainties
from ..models.every_exit import exits_taken as exits_taken
from ..models.every_exit import shared_thresholds as shared_thresholds
from ..models.stored_points import NEVER as NEVER
from .calibration import PolicyGrid

_MAX_SWEEPS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class ExitAnswers:
    """What every exit says of some held-out sources."""

    certainties: Tensor
    """How certain each exit but the last is, given those before it: `[N, E - 1]`."""
    losses_NE: Tensor
    """Bool, true where an exit's answer is wrong (or differs from the last exit's)."""
    costs_NE: Tensor
    """Cost of reading until an exit answers."""
    cost_unit: str
    """See `temporal.training.calibration.OperatingPoint.cost_unit`."""

    def __post_init__(self) -> None:
        num_sources, num_exits = self.losses_NE.shape
        sizes = (tuple(self.certainties.shape), tuple(self.costs_NE.shape))
        if not num_sources or sizes != ((num_sources, num_exits - 1), (num_sources, num_exits)):
            raise ValueError(
                f"certainties and costs {sizes} must hold [N, exits - 1] and [N, exits] for the "
                f"losses {(num_sources, num_exits)} of at least one source"
            )

    def take(self, rows: Tensor) -> ExitAnswers:
        """Some of the sources."""
        return ExitAnswers(
            certainties=self.certainties[rows],
            losses_NE=self.losses_NE[rows],
            costs_NE=self.costs_NE[rows],
            cost_unit=self.cost_unit,
        )

    def grid(self, criterion: str, thresholds: Sequence[Sequence[float]]) -> PolicyGrid:
        """What halting at these thresholds does, `[E - 1]` each, after never halting."""
        never = [NEVER] * self.certainties.shape[1]
        policies = [never, *([float(value) for value in row] for row in thresholds)]
        taken_PN1 = torch.stack([exits_taken(self.certainties, row) for row in policies])[..., None]
        shape = (len(policies), -1, -1)
        return PolicyGrid(
            policies=[{"criterion": criterion, "thresholds": row} for row in policies],
            losses_PN=self.losses_NE.expand(shape).gather(2, taken_PN1).squeeze(2),
            costs_PN=self.costs_NE.expand(shape).gather(2, taken_PN1).squeeze(2),
            cost_unit=self.cost_unit,
        )


def searched_thresholds(
    answers: ExitAnswers, *, count: int = 40, min_exit: int = 0
) -> list[list[float]]:
    """A threshold of its own for each exit, for one price of a unit of cost after the other.

    Minimises losses + price * cost, the price rising from where nothing halts. At each price the
    thresholds of the one before are the start, and one exit's threshold after the other is set to
    its best value, which one pass over the sources in the order of their certainty finds, until no
    exit's changes (coordinate descent).

    Args:
        answers: of sources that nothing else is tested on: the search fits their noise too.
        count: prices.
        min_exit: exits before this one never answer.
    """
    shares_NE = answers.costs_NE.double() / answers.costs_NE[:, -1].double().mean()
    losses_NE = answers.losses_NE.double()
    found: list[list[float]] = []
    thresholds = [NEVER] * answers.certainties.shape[1]
    for price in torch.logspace(-3, 1, count, dtype=torch.float64).tolist():
        prices_NE = losses_NE + price * shares_NE
        for _ in range(_MAX_SWEEPS):
            before = list(thresholds)
            for k in reversed(range(min_exit, len(thresholds))):
                thresholds[k] = _best_threshold(answers.certainties, prices_NE, thresholds, k)
            if thresholds == before:
                break
        if thresholds not in found:
            found.append(list(thresholds))
    return found


def _best_threshold(
    certainties: Tensor, prices_NE: Tensor, thresholds: Sequence[float], k: int
) -> float:
    """The threshold of exit k that costs least while the other exits keep theirs."""
    others = [math.inf if j == k else value for j, value in enumerate(thresholds)]
    later_N = exits_taken(certainties, others)
    reached_N = later_N > k
    if not bool(reached_N.any()):
        return thresholds[k]
    rows = reached_N.nonzero().squeeze(1)
    rows = rows[certainties[rows, k].argsort(descending=True)]
    levels_R = certainties[rows, k].double()
    gains_R = prices_NE[rows, k] - prices_NE[rows, later_N[rows]]
    totals_R = gains_R.cumsum(0)
    totals_R[:-1][levels_R[:-1] == levels_R[1:]] = math.inf  # equals cannot be told apart
    best = int(totals_R.argmin())
    return float(levels_R[best]) if totals_R[best] < 0 else NEVER
