"""What readers with an exit after each of their steps share: answering, halting, calibration.

Such a reader asks `halts` after every exit; what all exits say is what it says while nothing halts.
So a calibration asks its own `read`, and needs nothing else of it.

B sources, E exits, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.utils import ModelOutput

from ..checks import check_finite
from ..engine import run_alone
from ..handle import Handle
from ..source import Source
from .every_exit import EveryExit, exit_space
from .halting import certainty, confidences, threshold_of
from .policy_space import PolicySpace
from .saved_reader import SavedReader


@dataclass
class ExitsOutput(ModelOutput):
    """What `forward` returns of a reader with exits."""

    loss: Tensor | None = None
    """Mean cross-entropy over the exits, a scalar; None without labels."""
    logits: Tensor | None = None
    """The last exit's, `[B, K]`."""
    exit_logits: Tensor | None = None
    """All exits', `[B, E, K]`."""


def exits_output(exits: Sequence[Tensor], labels: Tensor | None = None) -> ExitsOutput:
    """The output of a `forward`.

    Args:
        exits: logits `[B, K]` of all exits.
        labels: int64 `[B]`, or class probabilities `[B, K]`.
    """
    loss = None
    if labels is not None:
        loss = torch.stack([F.cross_entropy(logits_BK, labels) for logits_BK in exits]).mean()
    return ExitsOutput(loss=loss, logits=exits[-1], exit_logits=torch.stack(list(exits), 1))


class ExitReader(SavedReader):
    """Mixed into a reader of single sources whose configuration has `num_exits` (`check_halting`).

    Its `read` notes the exits of this source, `note(num_exits=...)`, asks `halts` with what each of
    them says, and returns `handle.said[-1][0]`.
    """

    ends_itself: bool = False
    """Its policy may end a reading before the last exit, whatever the thresholds."""

    def halts(
        self,
        source: Handle,
        logits_1K: Tensor,
        *,
        at: int,
        is_last: bool,
        certainty_of_its_own: float | None = None,
    ) -> bool:
        """Note what the next exit says, and whether the reading halts with it.

        Args:
            source: which is read.
            logits_1K: the exit's.
            at: the unit that was read last.
            is_last: no exit follows, so there is nothing to halt.
            certainty_of_its_own: by one of the configuration's `learned_criteria`, which is the
                criterion; None: the criterion is asked.

        Raises:
            NonFiniteError: the logits are NaN or infinite.
        """
        config: Any = self.config  # type: ignore[attr-defined]  # the model has it
        source.said.append(check_finite(logits_1K).float())
        source.confidences += confidences(config, source.said[-1:])
        source.note(exit=len(source.said) - 1)
        if is_last:
            return False
        if certainty_of_its_own is None:
            certainty_of_its_own = float(certainty(config, torch.stack(source.said)))
        source.told.append(certainty_of_its_own)
        # As float32, which the certainty is.
        threshold = np.float32(threshold_of(config.thresholds, len(source.said) - 1))
        if not certainty_of_its_own >= float(threshold):
            return False
        source.note(halted_at=at)
        return True

    def policy_space(self) -> PolicySpace:
        """One threshold for all exits."""
        config: Any = self.config  # type: ignore[attr-defined]
        alone = None
        if config.num_exits == 1:
            alone = "num_exits (1) is the last, which always answers: there is nothing to calibrate"
        return exit_space(config, closed_because=alone)

    @torch.inference_mode()
    def answers(self, sources: Iterable[Source], *, batch_size: int = 32) -> EveryExit:
        """What all exits say of sources, each read alone while nothing halts; all cost alike.

        One that cannot be read in full, or is too short for all exits, is left out as a fault.

        Raises:
            ValueError: none is left.
        """
        config: Any = self.config  # type: ignore[attr-defined]
        own, config.thresholds = config.thresholds, None
        tells = self.ends_itself or config.criterion in getattr(config, "learned_criteria", ())
        logits: dict[int, Tensor] = {}
        told: dict[int, Tensor] = {}
        faults: dict[int, Exception] = {}
        try:
            for k, source in enumerate(sources):
                outcome: Any = run_alone(self._said, source)
                fault = outcome.error or outcome.fault
                missing = 0
                if fault is None:
                    missing = config.num_exits - len(outcome.value[0])
                    if missing and not self.ends_itself:
                        count = config.num_exits - missing
                        fault = ValueError(f"too short for all {config.num_exits} exits: {count}")
                if fault is not None:
                    faults[k] = fault
                    continue
                said_EK, told_E = outcome.value
                # Where it ended itself it was as certain as can be, and said no more.
                logits[k] = torch.cat([said_EK, said_EK[-1:].expand(missing, -1)]).cpu()
                told[k] = F.pad(told_E, [0, config.num_exits - 1 - len(told_E)], value=math.inf)
        finally:
            config.thresholds = own
        if not logits:
            why = f": {next(iter(faults.values()))}" if faults else ""
            raise ValueError(f"sources must hold one that can be read, and none can{why}")
        return EveryExit(
            config=config,
            logits_NEK=torch.stack(list(logits.values())),
            sizes_N=torch.ones(len(logits)),
            rows=list(logits),
            faults=faults,
            told_NE=torch.stack(list(told.values())) if tells else None,
        )

    async def _said(self, source: Handle) -> tuple[Tensor, Tensor]:
        """What all exits said, `[E, K]`, and how certain those were that were asked."""
        await self.read(source)  # type: ignore[attr-defined]  # the model has it
        return torch.cat(source.said), torch.tensor(source.told)
