"""Readers whose exits have fixed places: what all of them say, and what thresholds make of that.

One dense run over some sources tells what any thresholds would do. N sources, E exits, K classes,
P policies.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedConfig

from ..checks import num_classes
from .halting import certainty
from .policy_space import Policy, PolicySpace
from .stored_points import NEVER


@dataclass(frozen=True, kw_only=True, slots=True)
class EveryExit:
    """What every exit says of some sources: the `Answers` of a reader with fixed exits."""

    config: PreTrainedConfig
    """The reader's: its criterion and temperatures say how certain an exit is."""
    logits_NEK: Tensor
    """Float32, on the CPU."""
    sizes_N: Tensor
    """What a source costs beside others, e.g. its tokens; what an exit costs grows with it."""
    rows: Sequence[int]
    """See `Answers.rows`."""
    faults: Mapping[int, Exception] = field(default_factory=dict)
    """See `Answers.faults`."""
    told_NE: Tensor | None = None
    """How certain each exit but the last calls itself, `[N, E - 1]`; None: the logits tell, by the
    criterion."""

    min_exit: int = 0
    """Exits before this one never answer."""

    @property
    def num_exits(self) -> int:
        """E."""
        return self.logits_NEK.shape[1]

    def certainties(self, criterion: str | None = None) -> Tensor:
        """How certain each exit but the last is: `[N, E - 1]`; the criterion is by default its own.

        Raises:
            ValueError: exits told how certain they are by another criterion.
        """
        config = self.config
        if criterion is not None and criterion != config.criterion:
            if self.told_NE is not None:
                raise ValueError(
                    f"criterion ({criterion!r}) must be the reader's ({config.criterion!r}), by "
                    "which its exits were asked"
                )
            config = copy.copy(config)
            config.criterion = criterion
        return certainties(config, self.logits_NEK) if self.told_NE is None else self.told_NE

    def costs(self, costs_E: Sequence[float] | None = None) -> Tensor:
        """What reading until each exit costs, `[N, E]`.

        Args:
            costs_E: mean cost of a source that exit e answers; default: e, counted from 1.
        """
        means_E = torch.arange(1.0, self.num_exits + 1) if costs_E is None else costs_E
        sizes_N = self.sizes_N.double() / self.sizes_N.double().mean()
        return sizes_N[:, None] * torch.as_tensor(means_E).double()

    def under(
        self, policies: Sequence[Policy], costs_E: Sequence[float] | None = None
    ) -> tuple[Tensor, Tensor]:
        """As `Answers.under`; of policies that set `criterion` and `thresholds`."""
        said_NE, costs_NE = self.logits_NEK.argmax(-1), self.costs(costs_E)
        by_criterion: dict[str | None, Tensor] = {}
        said, costs = [], []
        for policy in policies:
            name, thresholds = policy.get("criterion"), policy["thresholds"]
            if thresholds is None:
                thresholds = [NEVER] * (self.num_exits - 1)
            if name not in by_criterion:
                by_criterion[name] = self.certainties(name)
            taken_N1 = exits_taken(by_criterion[name], thresholds)[:, None]
            said.append(said_NE.gather(1, taken_N1)[:, 0])
            costs.append(costs_NE.gather(1, taken_N1)[:, 0])
        return torch.stack(said), torch.stack(costs)


def exit_space(
    config: Any, *, min_exit: int = 0, closed_because: str | None = None, **beside: Any
) -> PolicySpace:
    """Thresholds of a reader with exits at fixed places, the same for all of them.

    Args:
        config: with `criterion` and `num_exits`.
        min_exit: exits before this one never answer.
        closed_because: see `PolicySpace`.
        **beside: other policy fields, and what they are under every policy.
    """

    def policy(thresholds: Sequence[float]) -> Policy:
        return {"criterion": config.criterion, "thresholds": list(thresholds), **beside}

    def cheaper(count: int) -> list[Policy]:
        levels = shared_thresholds(
            config.criterion,
            config.num_exits,
            num_classes(config),
            count=count,
            min_exit=min_exit,
        )
        return [policy(thresholds) for thresholds in levels]

    never = policy([NEVER] * (config.num_exits - 1))
    return PolicySpace(full=never, cheaper=cheaper, closed_because=closed_because)


def certainties(config: PreTrainedConfig, logits_NEK: Tensor) -> Tensor:
    """How certain each exit but the last is, by a configuration's criterion: `[N, E - 1]`."""
    logits_ENK = logits_NEK.transpose(0, 1)
    columns = [certainty(config, logits_ENK[: k + 1]) for k in range(len(logits_ENK) - 1)]
    return torch.stack(columns, 1) if columns else logits_NEK.new_zeros(len(logits_NEK), 0)


def exits_taken(certainties: Tensor, thresholds: Sequence[float]) -> Tensor:
    """The exit at which each source halts: the first that is certain, else the last. int64 `[N]`.

    Args:
        certainties: `[N, E - 1]`.
        thresholds: one for each exit but the last.
    """
    if len(thresholds) != certainties.shape[1]:
        raise ValueError(
            f"thresholds ({len(thresholds)}) must be as many as exits - 1 ({certainties.shape[1]})"
        )
    last_N1 = torch.ones(len(certainties), 1, dtype=torch.bool)
    halts_NE = torch.cat([certainties >= certainties.new_tensor(list(thresholds)), last_N1], 1)
    return halts_NE.int().argmax(1)


def shared_thresholds(
    criterion: str, num_exits: int, num_classes: int, *, count: int = 20, min_exit: int = 0
) -> list[list[float]]:
    """One threshold for all exits, highest first, at levels that no data has a say in.

    So the order of testing is fixed in advance, and all held-out sources can test it. The levels
    lie evenly in their logits from 0.999 down to what any exit reaches; those of patience are all
    there are.

    Args:
        criterion: one of `temporal.policies.halt.CRITERIA`, or another with values in [0, 1].
        num_exits: E.
        num_classes: K.
        count: thresholds at most.
        min_exit: exits before this one never answer.
    """
    if not 0 <= min_exit < num_exits - 1:
        raise ValueError(f"min_exit ({min_exit}) must be >= 0 and < exits - 1 ({num_exits - 1})")
    if criterion == "patience":
        levels = [float(exits) for exits in range(num_exits - 1, 0, -1)]
    else:
        lowest = 1 / max(num_classes, 2) if criterion == "confidence" else 0.01
        first, last = torch.logit(torch.tensor([0.999, lowest])).tolist()
        levels = torch.linspace(first, last, count).double().sigmoid().tolist()
    return [[NEVER] * min_exit + [level] * (num_exits - 1 - min_exit) for level in levels]
