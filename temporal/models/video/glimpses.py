"""What readers share that choose one frame after another by a recurrent state.

Such a reader has candidates, frames evenly over a video, and reads some of them, none twice. After
each its cell's state answers (an exit) and says where to look next. The state's rows go through
the stage `step`, so that all videos in flight share its batches. The configuration is a
`GlimpseConfig`; the reader has `make_network` called in its `__init__`, and `_step(features_nD,
shares_n, *state)`, which begins with `_update` and returns rows: logits, what the policy says, and
the new state at the end.

B videos, S candidates, E exits, D feature width, H state size, K classes, n rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import initialization as init

from ...backbones.image import ImageBackbone
from ...checks import check_count, check_in, check_range, num_classes
from ...handle import Handle
from ...kernels import NUM_GATES, State, read_cell
from ...policies.read import uniform
from ...policies.reinforce import baseline_loss, policy_loss, right_margin
from ...stage import Stage
from ..exit_reader import ExitsOutput
from ..recurrent.readers import init_recurrent_weights
from .configuration import FrameConfig
from .frame_reader import FrameReader
from .picks import Pick, Picks


class GlimpseConfig(FrameConfig):
    """Backbone, candidates, state and halting of a reader that chooses one frame after another."""

    num_candidates: int = 32
    """S: frames, evenly over a video, of which at most `num_frames` are read."""
    hidden_size: int = 256
    """H, of the recurrent state."""
    cell: str = "lstm"
    """`"lstm"` or `"gru"` (whose hidden bias is left out)."""
    policy_weight: float = 1.0
    """Of the policy gradient in the loss."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        check_in("cell", self.cell, NUM_GATES)
        check_count("hidden_size", self.hidden_size, 1)
        check_range("num_candidates", self.num_candidates, self.num_frames, 10_000)


@dataclass
class GlimpsesOutput(ExitsOutput):
    """What `forward` returns of a reader that chooses its frames."""

    units_read: Tensor | None = None
    """Frames read while nothing halts, `[B]`."""
    picked: Tensor | None = None
    """Which of the candidates were read, int64 `[B, E]`, in their order; -1 after the end."""


class GlimpseReader(FrameReader):
    """Mixed into a reader that chooses one frame after another; see the head of this file."""

    def make_network(self, beside: int = 1) -> None:
        """Make backbone, cell and answer, and the stages `features` and `step`.

        Args:
            beside: numbers that the cell sees beside a frame's features; one is its place.
        """
        model: Any = self
        config = model.config
        model.backbone = ImageBackbone(config.backbone or {}, with_classes=False)
        width, gates = model.backbone.num_features, NUM_GATES[config.cell] * config.hidden_size
        model.norm = nn.LayerNorm(width)  # backbones differ in the size of what they say
        model.read_input = nn.Linear(width + beside, gates)
        model.read_hidden = nn.Linear(config.hidden_size, gates, bias=False)
        model.classifier = nn.Linear(config.hidden_size, num_classes(config))
        model.features = Stage(model._features, name="features")
        model.step = Stage(model._step, name="step")

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        model: Any = self
        looks = getattr(model, "glance_net", None)
        if looks is not None and any(module is part for part in looks.modules()):
            if isinstance(module, nn.Conv2d | nn.Linear):
                init.kaiming_uniform_(module.weight, nonlinearity="relu")
        if not any(module is own for own in model.children()):
            return
        init_recurrent_weights(module, model.config.cell, (model.read_input,))
        if isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)

    def training_frames(self, num_frames: int, keyframes: Sequence[int]) -> list[int]:
        """The candidates, in the order of time."""
        return uniform(num_frames, self.config.num_candidates)  # type: ignore[attr-defined]

    def first_state(self, num_rows: int) -> State:
        """The state before the first frame, zeros."""
        model: Any = self
        zeros = model.classifier.weight.new_zeros(num_rows, model.config.hidden_size)
        return (zeros, zeros.clone()) if model.config.cell == "lstm" else (zeros,)

    def _update(self, features_nD: Tensor, shares_n: Tensor, *beside: Tensor, state: State) -> State:
        """Read a frame: the state after it.

        Args:
            features_nD: the backbone's.
            shares_n: where it is, as a share of the video's length.
            *beside: what else the cell sees, each `[n, ...]`.
            state: before it.
        """
        model: Any = self
        known = [model.norm(features_nD), shares_n[:, None].to(features_nD), *beside]
        gates = model.read_input(torch.cat(known, -1))
        return read_cell(model.config.cell, gates, state, model.read_hidden.weight)

    def open_picks(self, video: Handle, frames: Sequence[int], places: Tensor | None = None) -> Picks:
        """Begin to read some of the candidates, and note how many exits there are."""
        model: Any = self
        most = model.config.num_frames
        video.note(num_exits=min(most, len(frames)))
        return Picks(video, frames, size=model.frame_size, most=most, places=places)

    def ends(
        self,
        video: Handle,
        logits_1K: Tensor,
        pick: Pick,
        *,
        is_last: bool = False,
        own: float | None = None,
    ) -> bool:
        """Note what the exit after a pick says, and whether the reading ends with it.

        Args:
            video: which is read.
            logits_1K: the exit's.
            pick: the frame that was read.
            is_last: the policy reads no other.
            own: see `certainty_of_its_own` of `halts`.
        """
        is_last = is_last or pick.is_last
        halts = self.halts(
            video, logits_1K, at=pick.frame, is_last=is_last, certainty_of_its_own=own
        )
        if is_last:
            video.note(num_exits=len(video.said))
        return halts or is_last

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

    def exits_loss(
        self,
        exits: Sequence[Tensor],
        labels: Tensor,
        class_weights: Tensor | None,
        reached_BE: Tensor | None = None,
    ) -> Tensor:
        """The mean of the answers' losses, of the exits that a reading reached: a scalar.

        Args:
            exits: logits `[B, K]` of each.
            labels: see `answer_losses`.
            class_weights: `[K]`.
            reached_BE: bool; None: all were.
        """
        losses = [self.answer_losses(logits_BK, labels, class_weights) for logits_BK in exits]
        losses_BE = torch.stack(losses, 1)
        return losses_BE.mean() if reached_BE is None else losses_BE[reached_BE].mean()

    def dense_macs(self, units_total: int) -> int | None:
        """MACs of reading `num_frames` of the candidates."""
        model: Any = self
        reads = min(units_total, model.config.num_frames)
        return self._macs_of([(model.features, reads), (model.step, reads)])

    @staticmethod
    def _macs_of(rows: Sequence[tuple[Stage, int]]) -> int | None:
        """MACs of so many rows of some stages; None before all of them have run."""
        macs = [(stage.macs_per_row, count) for stage, count in rows]
        if any(each is None for each, _ in macs):
            return None
        return round(sum(each * count for each, count in macs if each is not None))


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


def check_times(times: Tensor | None) -> Tensor:
    """Raise ValueError unless it is told where frames are."""
    if times is None:
        raise ValueError("times ([B, S], shares of the video's length) are needed")
    return times
