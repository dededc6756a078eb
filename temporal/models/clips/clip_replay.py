"""What a `ClipEarlyExit` would answer under any policy, from what all exits said of all clips.

N videos, A clips of each, E exits over depth, K classes, P policies.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ...engine import run_alone
from ...source import Source
from ..every_exit import certainties, exits_taken
from ..policy_space import Policy
from ..stored_points import NEVER


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipAnswers:
    """The `Answers` of a reader whose clips have exits over depth."""

    reader: Any
    """Its configuration says how certain an exit is; its `_vote` joins clips."""
    logits_NAEK: Tensor
    """Float32, on the CPU."""
    rows: Sequence[int]
    """See `Answers.rows`."""
    faults: Mapping[int, Exception] = field(default_factory=dict)
    """See `Answers.faults`."""

    @property
    def logits_NEK(self) -> Tensor:
        """What is said after each clip while nothing halts: `[N, A, K]`."""
        videos, clips, exits, _ = self.logits_NAEK.shape
        return self._votes(torch.full((videos, clips), exits - 1))

    @torch.inference_mode()
    def under(self, policies: Sequence[Policy]) -> tuple[Tensor, Tensor]:
        """As `Answers.under`; a clip costs the layers that it is computed by."""
        layers_E = torch.tensor(self.reader.config.exit_layers).double()
        said, costs = [], []
        for policy in policies:
            config = copy.copy(self.reader.config)
            for name, value in policy.items():
                setattr(config, name, value)
            exits_NA = self._exits(config, policy["depth_thresholds"])
            layers_NA = layers_E[exits_NA].cumsum(1)
            answers_NAK = self._votes(exits_NA)
            clips = answers_NAK.shape[1]
            thresholds = policy["thresholds"] or [NEVER] * (clips - 1)
            taken_N1 = exits_taken(certainties(config, answers_NAK), thresholds)[:, None]
            said.append(answers_NAK.argmax(-1).gather(1, taken_N1)[:, 0])
            costs.append(layers_NA.gather(1, taken_N1)[:, 0])
        return torch.stack(said), torch.stack(costs)

    def _exits(self, config: Any, thresholds: Sequence[float] | None) -> Tensor:
        """The exit that answers for each clip, int64 `[N, A]`."""
        videos, clips, exits, _ = self.logits_NAEK.shape
        apart = copy.copy(config)
        apart.temperatures = None  # those are of answers after clips
        told = certainties(apart, self.logits_NAEK.flatten(0, 1))
        return exits_taken(told, thresholds or [NEVER] * (exits - 1)).view(videos, clips)

    def _votes(self, exits_NA: Tensor) -> Tensor:
        """The running means after each clip, `[N, A, K]`."""
        number_NA11 = exits_NA[..., None, None].expand(-1, -1, 1, self.logits_NAEK.shape[-1])
        clips_NAK = self.logits_NAEK.gather(2, number_NA11)[:, :, 0]
        state, answers = None, []
        for logits_NK in clips_NAK.unbind(1):
            state, answer_NK = self.reader._vote(state, logits_NK)
            answers.append(answer_NK)
        return torch.stack(answers, 1)


@torch.inference_mode()
def ask_clips(reader: Any, sources: Iterable[Source]) -> ClipAnswers:
    """What all exits say of all clips of videos; one that cannot be read is left out as a fault.

    Raises:
        ValueError: none is left.
    """
    logits: list[Tensor] = []
    rows: list[int] = []
    faults: dict[int, Exception] = {}
    for k, video in enumerate(sources):
        outcome: Any = run_alone(reader._gather, video)
        if outcome.error is not None:  # whatever a source may raise; the others tell enough
            faults[k] = outcome.error
            continue
        clips_AFCHW = outcome.value["pixel_values"][0].to(reader.device)
        if len(clips_AFCHW) < reader.config.num_exits:
            short = f"too short for all {reader.config.num_exits} clips: {len(clips_AFCHW)}"
            faults[k] = outcome.fault or ValueError(short)
            continue
        logits.append(reader.every_exit(clips_AFCHW).float().cpu())
        rows.append(k)
    if not logits:
        told = f": {next(iter(faults.values()))}" if faults else ""
        raise ValueError(f"sources must hold a video that can be read, and none can{told}")
    return ClipAnswers(reader=reader, logits_NAEK=torch.stack(logits), rows=rows, faults=faults)
