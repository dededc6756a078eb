"""What policies do on held-out sources: the arrays that calibration works on.

Readers that tell from one reading what any policy would do are asked (`replayed_grid`). Others are
read once under each policy of their space (`read_grid`), by whatever way of reading there is.
N sources, E exits, P policies.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..models.every_exit import EveryExit
from ..models.policy_space import Answers, Policy
from .calibration import OperatingPoint, PolicyGrid, worth_having
from .exit_policies import ExitAnswers, searched_thresholds
from .temperature import fit_temperatures

Read = Callable[[Policy], tuple[Sequence[int | None], Sequence[float]]]
"""Reads N sources under a policy: the answer to each (None: it cannot be read), and its cost."""


def read_grid(
    read: Read, policies: Sequence[Policy], labels_N: Tensor | None, cost_unit: str
) -> PolicyGrid:
    """Read the sources under each policy; the first is the full reading.

    Without labels its answers stand in for them. Sources that cannot be read are left out.

    Raises:
        ValueError: none can be read.
    """
    runs = [read(policy) for policy in policies]
    good = [k for k, answers in enumerate(zip(*(run[0] for run in runs))) if None not in answers]  # noqa: B905
    if not good:
        raise ValueError("sources must hold one that can be read under every policy: none can")
    answers_PN = torch.tensor([[answers[k] for k in good] for answers, _ in runs])
    labels_N = answers_PN[0] if labels_N is None else labels_N[good]
    return PolicyGrid(
        policies=policies,
        losses_PN=answers_PN != labels_N,
        costs_PN=torch.tensor([[costs[k] for k in good] for _, costs in runs]).double(),
        cost_unit=cost_unit,
    )


def replayed_grid(
    answers: Answers, policies: Sequence[Policy], labels_N: Tensor | None, cost_unit: str
) -> PolicyGrid:
    """What the policies would have done, the first being the full reading.

    Args:
        answers: of N sources.
        policies: P.
        labels_N: int64, of the sources that were read; None: the full reading's answers stand in.
        cost_unit: a word for the costs, which are in proportion to what is computed.
    """
    said_PN, costs_PN = answers.under(policies)
    return PolicyGrid(
        policies=policies,
        losses_PN=said_PN != (said_PN[0] if labels_N is None else labels_N),
        costs_PN=costs_PN,
        cost_unit=cost_unit,
    )


def fit_exit_temperatures(answers: EveryExit, labels_N: Tensor | None, rows: Tensor) -> list[float]:
    """A temperature for each exit but the last, fitted on some of the sources."""
    if labels_N is None:
        labels_N = answers.logits_NEK[:, -1].argmax(-1)
    return fit_temperatures(answers.logits_NEK[rows], labels_N[rows])[:-1]


def searched_grid(
    answers: EveryExit,
    labels_N: Tensor | None,
    rows: Tensor,
    *,
    full: Policy,
    costs_E: Sequence[float],
    cost_unit: str,
) -> PolicyGrid:
    """Thresholds of its own for each exit, searched on some of the sources.

    Args:
        answers: of N sources.
        labels_N: as for `replayed_grid`.
        rows: int64 numbers of the sources to search on.
        full: the full reading.
        costs_E: mean cost of a source that exit e answers.
        cost_unit: of the costs.
    """
    said_NE = answers.logits_NEK.argmax(-1)
    losses_NE = said_NE != (said_NE[:, -1] if labels_N is None else labels_N)[:, None]
    of_exits = ExitAnswers(
        certainties=answers.certainties(),
        losses_NE=losses_NE,
        costs_NE=answers.costs(costs_E),
        cost_unit=cost_unit,
    )
    found = searched_thresholds(of_exits.take(rows), min_exit=answers.min_exit)
    return of_exits.grid(full["criterion"], found)


def with_real_costs(read: Read, points: Sequence[OperatingPoint]) -> list[OperatingPoint]:
    """The points with what they cost when sources are really read, in batches.

    Those that cost no less than a safer one then are left out.
    """
    costs = []
    for point in points:
        answers, spent = read(point.policy)
        had = [cost for answer, cost in zip(answers, spent, strict=True) if answer is not None]
        if not had:
            raise ValueError("sources must hold one that can be read: none can")
        costs.append(statistics.fmean(had))
    return worth_having(
        [
            replace(point, cost=cost, cost_share=cost / costs[0])
            for point, cost in zip(points, costs, strict=True)
        ]
    )
