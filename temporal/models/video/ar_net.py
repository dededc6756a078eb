"""ARNet: for each frame the size at which it is read, or how many frames to skip.

Meng, Lin, Panda, Sattigeri, Karlinsky, Oliva, Saenko & Feris, "AR-Net: Adaptive Frame Resolution
for Efficient Action Recognition" (ECCV 2020, arXiv 2007.15796).

B videos, S frames, R sizes, A actions (the sizes, then the skips), D feature width, K classes, n
rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from ...backbones.features import need_pixels
from ...backbones.glance import GlanceNet
from ...checks import check_count, check_finite, check_range
from ...handle import Handle
from ...kernels import NUM_GATES, read_cell
from ...stage import Stage
from ..exit_reader import ExitsOutput
from .glancing import GlancingConfig, GlancingReader
from .reading import MAX_FAULTS, one_frame

_SHARES = (1.0, 0.75, 0.5, 0.375)  # 224, 168, 112 and 84 of 224


class ARNetConfig(GlancingConfig):
    """Backbone, sizes, skips and halting of an `ARNet`."""

    model_type = "ar_net"

    image_sizes: list[int] | None = None
    """R heights and widths, falling from `image_size`; None: it, 3/4, 1/2 and 3/8 of it."""
    skips: list[int] | None = None
    """How many frames each skip passes over, this one included; None: 1, 2 and 4."""
    hidden_size: int = 64
    """Of the policy's recurrent state."""
    temperature: float = 1.0
    """Of the Gumbel-softmax by which a training draws actions."""
    cost_weight: float = 0.1
    """Of the share of the full cost that is spent."""
    balance_weight: float = 0.3
    """Of how far the actions are from being taken equally often, which keeps all of them alive."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        need_pixels(self.backbone or {}, "AR-Net")
        if self.image_sizes is None:
            sizes = (max(1, round(share * self.image_size)) for share in _SHARES)
            self.image_sizes = list(dict.fromkeys(sizes))
        self.skips = [1, 2, 4] if self.skips is None else self.skips
        for side in self.image_sizes:
            check_count("image_sizes", side, 1)
        is_falling = self.image_sizes == sorted(set(self.image_sizes), reverse=True)
        if not self.image_sizes or self.image_sizes[0] != self.image_size or not is_falling:
            raise ValueError(
                f"image_sizes ({self.image_sizes}) must fall from image_size ({self.image_size}), "
                "the largest"
            )
        for skip in self.skips:
            check_count("skips", skip, 1)
        check_count("hidden_size", self.hidden_size, 1)
        check_range("temperature", self.temperature, 0.01, 100.0)
        check_range("cost_weight", self.cost_weight, 0.0, float("inf"))
        check_range("balance_weight", self.balance_weight, 0.0, float("inf"))


@dataclass
class ARNetOutput(ExitsOutput):
    """What `ARNet.forward` returns."""

    units_read: Tensor | None = None
    """Frames read while nothing halts, `[B]`."""
    actions: Tensor | None = None
    """What was done at each frame, int64 `[B, S]`: the number of an action, or -1 where a skip
    before it has passed over the frame."""


class ARNet(GlancingReader, PreTrainedModel):
    """Glances at a frame, and reads it at one of several sizes or skips it and others.

    "AR-Net: Adaptive Frame Resolution for Efficient Action Recognition", Meng et al., ECCV 2020,
    arXiv 2007.15796.

    A recurrent policy glances at a frame and takes an action: a size, at which the frame is decoded
    and computed, or a skip, after which so many frames, this one included, are not even glanced at.
    The answers of the frames that were read are averaged; there is an exit at each of the
    `num_frames` frames, which repeats the one before where nothing was read. The first frame is
    read in any case. All sizes share one backbone (the paper has one for each).

    `forward` draws actions by a straight-through Gumbel-softmax. To the mean of the exits' losses
    it adds the share of the full cost that was spent, and the squared distance of the actions'
    shares from equal ones, without which a policy may end in skipping all. Features are of all
    sizes.
    """

    config_class = ARNetConfig
    base_model_prefix = "ar_net"

    def __init__(self, config: ARNetConfig) -> None:
        super().__init__(config)
        self.make_answers()
        size, gates = config.hidden_size, NUM_GATES["lstm"] * config.hidden_size
        self.glance_net = GlanceNet(config.glance_features)
        self.policy_input = nn.Linear(config.glance_features, gates)
        self.policy_hidden = nn.Linear(size, gates, bias=False)
        self.policy = nn.Linear(size, len(self.sizes) + len(self.skips))
        self.smaller = [Stage(self._answers, name=f"features of {side}") for side in self.sizes[1:]]
        self.decide = Stage(self._decide, name="decide")
        self.post_init()

    @property
    def sizes(self) -> list[int]:
        """Heights and widths at which it reads, falling."""
        return self.config.image_sizes or []

    @property
    def skips(self) -> list[int]:
        """How many frames each skip passes over."""
        return self.config.skips or []

    def training_features(self, frames_NCHW: Tensor) -> Tensor:
        """As of `FrameReader`, at all sizes, the largest first: `[N, R * D]`."""
        frames_NCHW = frames_NCHW.to(self.device, self.dtype)
        parts = []
        for side in self.sizes:
            scaled_NCHW = frames_NCHW
            if (side, side) != tuple(frames_NCHW.shape[2:]):
                scaled_NCHW = F.interpolate(
                    frames_NCHW, (side, side), mode="bilinear", antialias=True
                )
            parts.append(self._features(scaled_NCHW))
        return torch.cat(parts, -1)

    def _decide(self, glances_nChw: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """The logits of the actions `[n, A]`, and the new state."""
        gates = self.policy_input(self.glance_net(glances_nChw).relu())
        state = read_cell("lstm", gates, state, self.policy_hidden.weight)
        return self.policy(state[0]), *state

    def _first_state(self, num_rows: int) -> tuple[Tensor, Tensor]:
        zeros = self.policy.weight.new_zeros(num_rows, self.config.hidden_size)
        return zeros, zeros.clone()

    def _allowed(self, logits_nA: Tensor, may_skip: bool) -> Tensor:
        """The logits, without skips where something has to be read."""
        if may_skip:
            return logits_nA
        skips = torch.arange(logits_nA.shape[1], device=logits_nA.device) >= len(self.sizes)
        return logits_nA.masked_fill(skips, -1e9)

    def forward(
        self,
        pixel_values: Tensor | None = None,
        glances: Tensor | None = None,
        features: Tensor | None = None,
        labels: Tensor | None = None,
        class_weights: Tensor | None = None,
    ) -> ARNetOutput:
        """Take an action at each frame, and answer after each.

        Args:
            pixel_values: `[B, S, 3, H, W]` in the order of time, 0 to 255; or
            glances: `[B, S, 3, h, w]`, the same frames at `glance_size`, 0 to 255.
            features: `[B, S, R * D]`, what `training_features` made of them before.
            labels: int64 `[B]`; or float `[B, K]`, see `answer_losses`.
            class_weights: `[K]`, for unbalanced classes.
        """
        if glances is None:
            raise ValueError("glances ([B, S, 3, h, w], frames at glance_size) are needed")
        features_BSX = self.sequence_features(pixel_values, features)
        logits_BSRK = self.classify(features_BSX.unflatten(-1, (len(self.sizes), -1)))
        state: tuple[Tensor, ...] = self._first_state(len(logits_BSRK))
        skip_A = torch.tensor([1] * len(self.sizes) + self.skips, device=logits_BSRK.device)
        due_B = torch.zeros(len(logits_BSRK), dtype=torch.long, device=logits_BSRK.device)
        total: Any = 0
        weight: Any = 0
        exits, choices = [], []
        for step, logits_BRK in enumerate(logits_BSRK.unbind(1)):
            is_due_B1 = (due_B <= step)[:, None]
            wish_BA, *new = self._decide(glances[:, step], *state)
            state = tuple(
                torch.where(is_due_B1, part, old) for part, old in zip(new, state, strict=True)
            )
            choice_BA = self._choice(self._allowed(wish_BA, may_skip=step > 0)) * is_due_B1
            due_B = torch.where(is_due_B1[:, 0], step + skip_A[choice_BA.argmax(-1)], due_B)
            read_BR = choice_BA[:, : len(self.sizes)]
            total = total + (read_BR[..., None] * logits_BRK).sum(1)
            weight = weight + read_BR.sum(1, keepdim=True)
            exits.append(total / weight)
            choices.append(choice_BA)
        choice_BSA = torch.stack(choices, 1)
        loss = None
        exits_BSK = torch.stack(exits, 1)
        if labels is not None:
            loss = self.frame_losses(exits_BSK, labels, class_weights).mean()
            loss = loss + self._policy_loss(choice_BSA)
        taken_BS = choice_BSA.argmax(-1).masked_fill(choice_BSA.sum(-1) < 0.5, -1)
        return ARNetOutput(
            loss=loss,
            logits=exits_BSK[:, -1],
            exit_logits=exits_BSK,
            units_read=weight.detach()[:, 0].round(),
            actions=taken_BS,
        )

    def frames_seen(self, output: Any, num_frames: int) -> Tensor:
        """As of `FrameTraining`: what a skip passes over is not even glanced at."""
        seen_BS: Tensor = output.actions >= 0
        return seen_BS

    def _choice(self, logits_BA: Tensor) -> Tensor:
        """One action of each row, as a row of zeros and a one; drawn in training."""
        if self.training:
            return F.gumbel_softmax(logits_BA, tau=self.config.temperature, hard=True)
        return F.one_hot(logits_BA.argmax(-1), logits_BA.shape[-1]).to(logits_BA)

    def _policy_loss(self, choice_BSA: Tensor) -> Tensor:
        sides_R = choice_BSA.new_tensor(self.sizes)
        costs_R = (sides_R / sides_R[0]).square()
        spent = (choice_BSA[..., : len(self.sizes)] * costs_R).sum(-1).mean()
        shares_A = choice_BSA.sum((0, 1)) / choice_BSA.sum()
        balance = (shares_A - 1 / len(shares_A)).square().sum()
        return self.config.cost_weight * spent + self.config.balance_weight * balance

    async def read(self, video: Handle) -> Tensor:
        """Read or skip frame after frame until an exit is certain. Returns its logits `[K]`."""
        count = await video.open()
        frames = self.training_frames(count, video.index.keyframes)
        video.note(num_exits=len(frames))
        state: tuple[Tensor, ...] = self._first_state(1)
        total_1K: Any = 0
        due, num_read, last = 0, 0, frames[0]
        for step, frame in enumerate(frames):
            if len(video.faults) >= MAX_FAULTS:
                break
            if step >= due:
                ask = partial(video.glance, size=self.glance_size)
                small_1Chw = await one_frame(video, frame, ask)
                if small_1Chw is None:
                    continue
                wish_1A, *new = await self.decide(small_1Chw, *state)
                state = tuple(new)
                action = int(check_finite(self._allowed(wish_1A, may_skip=num_read > 0)).argmax())
                if action >= len(self.sizes):
                    due = step + self.skips[action - len(self.sizes)]
                else:
                    answer_1K = await self._read_at(video, frame, action)
                    if answer_1K is None:
                        continue
                    total_1K, num_read, last = total_1K + answer_1K, num_read + 1, frame
            is_last = step == len(frames) - 1
            if num_read and self.halts(video, total_1K / num_read, at=last, is_last=is_last):
                break
        if not video.said:
            raise video.faults[0]
        return video.said[-1][0]

    async def _read_at(self, video: Handle, frame: int, number: int) -> Tensor | None:
        """The answer `[1, K]` of a frame at one of the sizes; None: it cannot be read."""
        stages: Sequence[Any] = [self.features, *self.smaller]
        side = self.sizes[number]
        pixels = await one_frame(video, frame, partial(video.read, size=(side, side)))
        return None if pixels is None else await stages[number](pixels)

    def dense_macs(self, units_total: int) -> int | None:
        """MACs of reading all `num_frames` frames at the largest size."""
        model: Any = self
        count = min(units_total, model.config.num_frames)
        return self.macs_of([(model.decide, count), (model.features, count)])
