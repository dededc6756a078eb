"""What readers share that choose one frame after another by a recurrent state.

Such a reader has candidates, frames evenly over a video, and reads some of them, none twice. After
each its cell's state answers (an exit) and says where to look next. The state's rows go through
the stage `step`, so that all videos in flight share its batches. The configuration is a
`GlimpseConfig`; the reader calls `make_network` in its `__init__`, and has `_step(features_nD,
shares_n, ..., *state)`, which begins with `read_frame` and returns rows: logits, what the policy
says, and the new state at the end.

B videos, S candidates, E exits, D feature width, K classes, n rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...checks import check_range
from ...handle import Handle
from ...policies.read import coarse_to_fine, uniform
from ...policies.reinforce import baseline_loss, policy_loss, right_margin
from ...stage import Stage
from ..exit_reader import ExitsOutput
from .picks import Picks
from .recurrent_frames import RecurrentFrames, RecurrentFramesConfig


class GlimpseConfig(RecurrentFramesConfig):
    """Backbone, candidates, state and halting of a reader that chooses one frame after another."""

    num_candidates: int = 32
    """S: frames, evenly over a video, of which at most `num_frames` are read."""
    policy_weight: float = 0.1
    """Of the policy gradient in the loss. It is noise to the state that it shares with the answers,
    which are worse for it at 1: of drawn places it grows as 1 / `place_deviation`."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        check_range("num_candidates", self.num_candidates, self.num_frames, 10_000)


_FINE = 10_001
_REACH = 0.8  # nearer to the edges a sigmoid hardly moves


def places_about(config: Any, told_n: Tensor, step: int) -> Tensor:
    """Places to look at, shares of a video's length `[n]`, by what a policy says.

    With `coarse_to_fine` a policy that says 0 looks at the middle, near the start, near the end,
    between ..., as far as `num_frames` go; one that learns little is then as good as a fixed order.

    Args:
        config: with `coarse_to_fine` and `num_frames`.
        told_n: what the policy says, any numbers.
        step: how many frames were read before.
    """
    if config.coarse_to_fine and step < config.num_frames:
        usual = coarse_to_fine(_FINE, config.num_frames)[step] / _FINE
        share = 0.5 + _REACH * (usual - 0.5)
        told_n = told_n + math.log(share / (1 - share))
    return told_n.sigmoid()


@dataclass
class GlimpsesOutput(ExitsOutput):
    """What `forward` returns of a reader that chooses its frames."""

    units_read: Tensor | None = None
    """Frames read while nothing halts, `[B]`."""
    picked: Tensor | None = None
    """Which of the candidates were read, int64 `[B, E]`, in their order; -1 after the end."""


class GlimpseReader(RecurrentFrames):
    """Mixed into a reader that chooses one frame after another; see the head of this file."""

    step: Stage

    def make_network(self, beside: int = 1) -> None:
        """As of `RecurrentFrames`, and the stage `step`."""
        super().make_network(beside)
        model: Any = self
        model.step = Stage(model._step, name="step")

    def training_frames(self, num_frames: int, keyframes: Sequence[int]) -> list[int]:
        """The candidates, in the order of time."""
        return uniform(num_frames, self.config.num_candidates)  # type: ignore[attr-defined]

    def open_picks(
        self, video: Handle, frames: Sequence[int], places: Tensor | None = None
    ) -> Picks:
        """Begin to read some of the candidates, and note how many exits there are."""
        model: Any = self
        most = model.config.num_frames
        video.note(num_exits=min(most, len(frames)))
        return Picks(video, frames, size=model.frame_size, most=most, places=places)

    def worth(self, exits: Sequence[Tensor], labels: Tensor) -> Tensor:
        """How good each exit's answer is, for a reward: `[B, E]` without gradients.

        The lead of the right class (`right_margin`); of a regression, minus the squared error.
        """
        model: Any = self
        if model.config.problem_type == "regression":
            worth = [-model.answer_losses(logits_BK, labels) for logits_BK in exits]
        else:
            worth = [right_margin(logits_BK, labels) for logits_BK in exits]
        return torch.stack(worth, 1).detach()

    def dense_macs(self, units_total: int) -> int | None:
        """MACs of reading `num_frames` of the candidates."""
        model: Any = self
        reads = min(units_total, model.config.num_frames)
        return self.macs_of([(model.features, reads), (model.step, reads)])


def picked_fields(exits: Sequence[Tensor], picked: Sequence[Tensor]) -> dict[str, Tensor]:
    """The fields of a `GlimpsesOutput` but its loss.

    Args:
        exits: logits `[B, K]` after each pick.
        picked: ranks `[B]`, -1 where the reading had ended.
    """
    picked_BE = torch.stack(list(picked), 1)
    return {
        "logits": exits[-1],
        "exit_logits": torch.stack(list(exits), 1),
        "units_read": (picked_BE >= 0).sum(1),
        "picked": picked_BE,
    }


def decisions_loss(
    log_p: Sequence[Tensor],
    expected: Sequence[Tensor],
    returns_BE: Tensor,
    *,
    policy_weight: float,
    made_BE: Tensor | None = None,
) -> Tensor:
    """REINFORCE with a learned baseline over the decisions between exits: a scalar.

    Args:
        log_p: of what was decided after each exit but the last, each `[B]`.
        expected: the baseline's returns, each `[B]`.
        returns_BE: what came of each decision, `[B, E - 1]`.
        policy_weight: of the policy gradient; the baseline's squared error has 1.
        made_BE: bool, which decisions there were; None: all.
    """
    log_p_BE, expected_BE = torch.stack(list(log_p), 1), torch.stack(list(expected), 1)
    made_BE = torch.ones_like(returns_BE, dtype=torch.bool) if made_BE is None else made_BE
    decided = log_p_BE[made_BE], returns_BE[made_BE], expected_BE[made_BE]
    policy = policy_loss(*decided, num_sources=len(returns_BE))
    return policy_weight * policy + baseline_loss(expected_BE[made_BE], returns_BE[made_BE])
