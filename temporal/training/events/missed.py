"""How many events a reader misses, at each of its thresholds: certified from held-out videos.

The risk is the share of events missed. An event is missed where none of its label is told that
overlaps it. Thresholds are tested from the lowest on, at levels that no data has a say in
(`EventReader.policy_space`), each by the binomial tail, until a test fails: Learn-then-Test with
fixed-sequence testing, see `temporal.training.calibration`. What is promised is for events that are
drawn independently like those that tested: many events of one video count for less than they are.

P policies, N events, V videos.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from ...models.events.event import Event
from ...models.events.event_knobs import ScoredVideos
from ...models.policy_space import Policy
from ..calibration import OperatingPoint, PolicyGrid, certify, worth_having

RISK = "missed_events"


class TrueEvent(Protocol):
    """What happens in a video, as somebody labelled it."""

    @property
    def start_seconds(self) -> float:
        """From the video's first frame."""

    @property
    def end_seconds(self) -> float:
        """Not before the start."""

    @property
    def label(self) -> str:
        """One of the reader's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FalseAlarms:
    """What is told and is none, under one policy."""

    events: int
    """Events that overlap no true one of their label."""
    hours: float
    """Of video."""

    @property
    def per_hour(self) -> float:
        """How many an hour."""
        return self.events / self.hours if self.hours else 0.0


def overlaps(event: Any, other: Any) -> bool:
    """Whether two events have a label and a moment in common."""
    if event.label != other.label:
        return False
    first = max(event.start_seconds, other.start_seconds)
    return bool(first <= min(event.end_seconds, other.end_seconds))


def missed_grid(
    scored: ScoredVideos, true: Sequence[Sequence[TrueEvent]], policies: Sequence[Policy]
) -> tuple[PolicyGrid, list[FalseAlarms]]:
    """Which events each policy misses, what it would cost, and what else it tells.

    Args:
        scored: V videos.
        true: the events of each of them.
        policies: P; under the first, nothing is skipped and everything is an event.

    Raises:
        ValueError: there is no event, or one lies behind the end of its video.
    """
    ends = [float(scores.places.end_P[-1]) for scores in scored.scores]
    for own, end in zip(true, ends, strict=True):
        for event in own:
            if event.start_seconds > end:
                raise ValueError(
                    f"start_seconds ({event.start_seconds}) of an event must lie in its video, "
                    f"which ends at {end:.2f}"
                )
    if not any(true):
        raise ValueError("videos must have an event, and there is none: nothing can be missed")
    losses, costs, alarms = [], [], []
    for number, policy in enumerate(policies):
        told = scored.events(policy)
        missed = [
            not any(overlaps(event, one) for one in found)
            for own, found in zip(true, told, strict=True)
            for event in own
        ]
        losses.append(missed if number else [False] * len(missed))
        mean = sum(scored.costs(policy)) / len(ends)
        costs.append([mean] * len(missed))
        alarms.append(FalseAlarms(events=_false(told, true), hours=sum(ends) / 3600))
    grid = PolicyGrid(
        policies=policies,
        losses_PN=torch.tensor(losses),
        costs_PN=torch.tensor(costs, dtype=torch.float64),
        cost_unit="frames",
    )
    return grid, alarms


def certified_points(
    grid: PolicyGrid, alarms: Sequence[FalseAlarms], *, confidence: float = 0.95
) -> tuple[list[OperatingPoint], list[FalseAlarms]]:
    """Operating points with bounds on the share of events missed, the safest first.

    Args:
        grid: of `missed_grid`.
        alarms: with it.
        confidence: of the bounds, in (0, 1).

    Returns:
        Points, each cheaper than the one before, and what each tells that is none.
    """
    points = certify(grid, risk=RISK, confidence=confidence)
    by_policy = {str(one.policy): alarm for one, alarm in zip(points, alarms, strict=True)}
    kept = worth_having(points)
    return kept, [by_policy[str(point.policy)] for point in kept]


def _false(told: Sequence[Sequence[Event]], true: Sequence[Sequence[Any]]) -> int:
    return sum(
        not any(overlaps(event, one) for one in own)
        for own, found in zip(true, told, strict=True)
        for event in found
    )
