"""What a calibration may turn on an `EventReader`, and what its answers would have been.

One number is turned: `event_threshold`, from which the other thresholds follow. The lower it is,
the fewer events are missed, and the more is read and told that is none.

V videos, P policies.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ...engine import run_alone
from ...source import Source
from ..policy_space import Policy, PolicySpace
from .cascade import FULL, Scores, Thresholds
from .event import Event

_HIGHEST = 0.99
_LOWEST = 0.001


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredVideos:
    """What every level said of every place of some videos."""

    config: Any
    """The reader's."""
    scores: Sequence[Scores]
    """V, of the videos that could be read."""
    rows: Sequence[int]
    """Their numbers."""
    faults: Mapping[int, Exception] = field(default_factory=dict)
    """Why others could not be."""

    def events(self, policy: Policy) -> list[list[Event]]:
        """The events of each video under a policy, to the places' borders."""
        thresholds = Thresholds.of(self.config, policy["event_threshold"])
        return [one.events(thresholds, self.config.gap_seconds) for one in self.scores]

    def costs(self, policy: Policy) -> list[float]:
        """About what each video would cost: pixels that the backbone sees, in frames of full size.

        And a look at every event that is told: by the reader, for its borders, or by a person.
        """
        thresholds = Thresholds.of(self.config, policy["event_threshold"])
        small = self.config.small_size
        share = 0.0 if small is None else (small / self.config.image_size) ** 2
        looks, borders = 1.0, self.config.border_seconds
        if borders is not None:
            # Both ends of where a border may be are seen already.
            looks = 2 * math.log2(max(2 * self.config.place_seconds / borders, 1.0))
        told = self.events(policy)
        return [
            2.0 * share * float(one.open_after_packets(thresholds).sum())
            + 2.0 * float(one.read_in_full(thresholds).sum())
            + looks * len(events)
            for one, events in zip(self.scores, told, strict=True)
        ]

    def best(self) -> list[float]:
        """For each video the highest score of a place that was read in full."""
        return [float(one.levels[FULL].max()) for one in self.scores]


class EventKnobs:
    """Mixed into `EventReader`."""

    def policy_space(self) -> PolicySpace:
        """Thresholds from the lowest on, at levels that no data has a say in."""

        def cheaper(count: int) -> list[Policy]:
            low, high = torch.logit(torch.tensor([_LOWEST, _HIGHEST], dtype=torch.float64)).tolist()
            levels = torch.linspace(low, high, count, dtype=torch.float64).sigmoid().tolist()
            return [{"event_threshold": level} for level in levels]

        return PolicySpace(full={"event_threshold": 0.0}, cheaper=cheaper)

    def set_policy(self, name: str, threshold: float | None) -> None:
        """Find events from another score on: `policy="events:0.3"`.

        Raises:
            ValueError: the name is not `"events"`, or the threshold is not in [0, 1].
        """
        config: Any = self.config  # type: ignore[attr-defined]  # the model has it
        if name != "events" or threshold is None or not 0 <= threshold <= 1:
            raise ValueError(
                f"policy ('{name}:{threshold}') must be 'events:THRESHOLD' with a score from 0 to "
                "1: this reader has no exits"
            )
        config.event_threshold = threshold

    @torch.inference_mode()
    def scored(self, sources: Iterable[Source]) -> ScoredVideos:
        """Score every place of videos by every level, one video after another.

        One that cannot be read in full is left out as a fault.

        Raises:
            ValueError: none is left.
        """
        model: Any = self
        scores: dict[int, Scores] = {}
        faults: dict[int, Exception] = {}
        for k, source in enumerate(sources):
            outcome: Any = run_alone(model.scan, source)
            fault = outcome.error or outcome.fault
            if fault is None:
                scores[k] = outcome.value
            else:
                faults[k] = fault
        if not scores:
            why = f": {next(iter(faults.values()))}" if faults else ""
            raise ValueError(f"sources must hold one that can be read, and none can{why}")
        return ScoredVideos(
            config=model.config, scores=list(scores.values()), rows=list(scores), faults=faults
        )
