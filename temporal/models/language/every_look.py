"""What all looks say of some videos, and what thresholds make of that: for calibration.

N questions, L looks of each, P policies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..policy_space import Policy, PolicySpace
from ..stored_points import NEVER
from .configuration_video_language import VideoLanguageConfig
from .looking import VideoAnswer
from .said import Said, certainty_of


@dataclass(frozen=True, kw_only=True, slots=True)
class LooksTaken:
    """The looks at one video while nothing halted."""

    said: tuple[Said, ...]
    """What each said."""

    costs: tuple[float, ...]
    """Frames that each saw."""

    @classmethod
    def of(cls, answer: VideoAnswer) -> LooksTaken:
        """The looks of an answer."""
        return cls(said=answer.looks, costs=tuple(map(float, answer.look_frames)))


@dataclass(frozen=True, kw_only=True, slots=True)
class EveryLook:
    """What every look says of some questions: the `Answers` of a `VideoLanguageReader`."""

    config: VideoLanguageConfig
    taken: Sequence[LooksTaken]
    rows: Sequence[int]
    """See `Answers.rows`."""
    faults: Mapping[int, Exception]
    """See `Answers.faults`."""

    @classmethod
    def of(
        cls,
        config: VideoLanguageConfig,
        taken: Mapping[int, LooksTaken],
        faults: Mapping[int, Exception],
    ) -> EveryLook:
        """Of questions by their numbers.

        Raises:
            ValueError: there is none.
        """
        if not taken:
            why = f": {next(iter(faults.values()))}" if faults else ""
            raise ValueError(f"sources must hold one that can be read, and none can{why}")
        return cls(config=config, taken=list(taken.values()), rows=list(taken), faults=faults)

    def look_taken(self, number: int, policy: Policy) -> int:
        """Which look answers a question under a policy."""
        taken = self.taken[number]
        threshold = policy.get("threshold")
        criterion = policy.get("criterion", self.config.criterion)
        for k in range(len(taken.said) - 1):
            if threshold is not None and certainty_of(taken.said[: k + 1], criterion) >= threshold:
                return k
        return len(taken.said) - 1

    def texts(self, policy: Policy) -> list[str]:
        """The answers under a policy."""
        chosen = [self.look_taken(number, policy) for number in range(len(self.taken))]
        return [one.said[k].text.strip() for one, k in zip(self.taken, chosen, strict=True)]

    def under(self, policies: Sequence[Policy]) -> tuple[Tensor, Tensor]:
        """As `Answers.under`: answers that differ have different numbers."""
        numbers: dict[str, int] = {}
        said, costs = [], []
        for policy in policies:
            chosen = [self.look_taken(number, policy) for number in range(len(self.taken))]
            texts = self.texts(policy)
            said.append([numbers.setdefault(text, len(numbers)) for text in texts])
            costs.append([one.costs[k] for one, k in zip(self.taken, chosen, strict=True)])
        return torch.tensor(said), torch.tensor(costs, dtype=torch.float64)


def language_space(config: VideoLanguageConfig) -> PolicySpace:
    """One threshold for all looks, highest first, at levels that no data has a say in."""

    def policy(threshold: float) -> Policy:
        return {"criterion": config.criterion, "threshold": threshold}

    def cheaper(count: int) -> list[Policy]:
        if config.criterion == "patience":
            return [policy(float(looks)) for looks in range(8, 0, -1)]
        low, high = torch.logit(torch.tensor([0.01, 0.999])).tolist()
        levels = torch.linspace(high, low, count).double().sigmoid().tolist()
        return [policy(level) for level in levels]

    return PolicySpace(full=policy(NEVER), cheaper=cheaper)
