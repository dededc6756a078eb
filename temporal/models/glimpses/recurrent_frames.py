"""What readers share whose recurrent state takes in frames: the network, its state, its losses.

B videos, E exits, D feature width, H state size, K classes, n rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import initialization as init

from ...backbones.image import ImageBackbone
from ...checks import check_count, check_in, num_classes
from ...handle import Handle
from ...kernels import NUM_GATES, State, read_cell
from ...stage import Stage
from ..recurrent.readers import first_state, init_recurrent_weights
from ..video.configuration import FrameConfig
from ..video.frame_reader import FrameReader
from .picks import Pick


class RecurrentFramesConfig(FrameConfig):
    """Backbone, state and halting of a reader whose recurrent state takes in frames."""

    hidden_size: int = 256
    """H, of the recurrent state."""
    cell: str = "lstm"
    """`"lstm"` or `"gru"` (whose hidden bias is left out)."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        check_in("cell", self.cell, NUM_GATES)
        check_count("hidden_size", self.hidden_size, 1)


class RecurrentFrames(FrameReader):
    """Mixed into a reader whose recurrent state takes in frames; it calls `make_network`.

    A reader that glances has a `glance_net`; every layer of its own is a direct part of it.
    """

    backbone: ImageBackbone
    norm: nn.LayerNorm
    read_input: nn.Linear
    read_hidden: nn.Linear
    classifier: nn.Linear
    features: Stage

    def make_network(self, beside: int = 1) -> None:
        """Make the backbone with its stage `features`, the cell and the answer.

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

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        model: Any = self
        looks = getattr(model, "glance_net", None)
        if looks is not None and any(module is part for part in looks.modules()):
            if isinstance(module, nn.Conv2d | nn.Linear):
                init.kaiming_uniform_(module.weight, nonlinearity="relu")
        elif any(module is part for part in model.children()):
            cells = [getattr(model, f"{name}_input", None) for name in ("read", "skim", "coarse")]
            init_recurrent_weights(module, model.config.cell, cells)
            if isinstance(module, nn.LayerNorm):
                init.ones_(module.weight)
                init.zeros_(module.bias)

    def first_state(self, num_rows: int) -> State:
        """The state before the first frame, zeros."""
        return first_state(self, num_rows)

    def read_frame(
        self, features_nD: Tensor, shares_n: Tensor, *beside: Tensor, state: State
    ) -> State:
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


def check_times(times: Tensor | None) -> Tensor:
    """Raise ValueError unless it is told where frames are."""
    if times is None:
        raise ValueError("times ([B, S], shares of the video's length) are needed")
    return times
