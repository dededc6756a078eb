"""AdaFrame: glance at a whole video, then read frame after frame where it promises most.

Wu, Xiong, Ma, Socher & Davis, "AdaFrame: Adaptive Frame Selection for Fast Video Recognition" (CVPR
2019, arXiv 1811.12432).

B videos, S candidates, E exits, D feature width, M memory width, K classes, n rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers import initialization as init

from ...backbones.glance import glance_net
from ...checks import check_count
from ...handle import Handle
from ...policies.halt import utility_drop
from ...policies.location import sample_place
from ...policies.reinforce import discounted_returns, record_gains
from ...stage import Stage
from ..video.reading import glance
from .glimpses import (
    GlimpseConfig,
    GlimpseReader,
    GlimpsesOutput,
    decisions_loss,
    picked_fields,
    places_about,
)
from .looking import check_glances
from .picks import BatchPicks
from .recurrent_frames import check_times

UTILITY = "utility"
"""The criterion of the reader's own: how far the utility has dropped, see `utility_drop`."""


class AdaFrameConfig(GlimpseConfig):
    """Candidates, memory, state and stopping of an `AdaFrame`."""

    model_type = "ada_frame"
    learned_criteria = (UTILITY,)

    num_candidates: int = 16
    """S: frames, evenly over a video, that are glanced at; at most `num_frames` are read."""
    glance_pixels: int = 64
    """Height and width of a glance; of one at features, how many of a row's numbers it sees."""
    memory_size: int = 64
    """M, what is remembered of each glance."""
    place_deviation: float = 0.2
    """Of the places that are drawn in training about the policy's, as a share of the length."""
    coarse_to_fine: bool = False
    """Learn where to look beside an order that is coarse to fine, from which it starts: better
    where many frames tell as much. False: from no order, as in the paper."""
    discount: float = 0.9
    """gamma: what a reward is worth one frame earlier."""
    utility_steps: int = 2
    """p: exits in a row whose utility must have dropped by the threshold, mu."""

    def __post_init__(self, **kwargs: Any) -> None:
        self.criterion = self.criterion or UTILITY
        super().__post_init__(**kwargs)
        for name in ("glance_pixels", "memory_size", "utility_steps"):
            check_count(name, getattr(self, name), 1)


@dataclass
class AdaFrameOutput(GlimpsesOutput):
    """What `AdaFrame.forward` returns."""

    utilities: Tensor | None = None
    """What each exit expects of reading on, `[B, E]`."""


class AdaFrame(GlimpseReader, PreTrainedModel):
    """Glances at frames all over a video, and reads those that its state asks for.

    "AdaFrame: Adaptive Frame Selection for Fast Video Recognition", Wu et al., CVPR 2019, arXiv
    1811.12432.

    A small network's features of all glances are the memory. A recurrent cell sees a frame's
    features, its place, and what its last state attends to of the memory (equations 1 to 3). Its
    state answers, says the place of the next frame, `sigmoid(w h)`, and the utility, the reward
    that it expects of reading on. The nearest candidate is read that was not read before; the first
    is chosen by what the memory alone tells. The criterion `"utility"` is by how much the utility
    has stayed below its best for `utility_steps` exits: `set_policy("utility", mu)` is the paper's
    rule.

    `forward` trains it on places drawn about the policy's. The reward of a frame is by how much it
    lifts the lead of the right class above all before (equation 6); the utility is fitted to the
    discounted rewards and is the baseline of REINFORCE (equations 7 to 9).
    """

    config_class = AdaFrameConfig
    base_model_prefix = "ada_frame"

    def __init__(self, config: AdaFrameConfig) -> None:
        super().__init__(config)
        size, width = config.hidden_size, config.memory_size
        self.make_network(beside=1 + width)
        self.glance_net = glance_net(config, width)
        self.memory = nn.Linear(width + 1, width)
        self.begin = nn.Linear(width, size)
        self.query = nn.Linear(size, width)
        self.policy = nn.Linear(size, 1)
        self.utility = nn.Linear(size, 1)
        self.remember = Stage(self._remember, name="remember")
        self.start = Stage(self._start, name="start")
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if module is self.policy and self.config.coarse_to_fine:
            init.zeros_(module.weight)  # at first, it says nothing

    @property
    def glance_size(self) -> tuple[int, int]:  # type: ignore[override]  # it glances
        """(height, width) of a glance."""
        return self.glance_box(self.config.glance_pixels)

    def _remember(self, glances_nChw: Tensor, shares_n: Tensor) -> Tensor:
        """What is remembered of glances, `[n, M]`."""
        seen_nM = self.glance_net(glances_nChw)
        return self.memory(torch.cat([seen_nM, shares_n[:, None].to(seen_nM)], -1)).relu()

    def _memory_of(self, memory_BSM: Tensor) -> tuple[Tensor, Tensor]:
        """The memory as all videos have it, and which of its entries there are, `[B, S]`."""
        missing = self.config.num_candidates - memory_BSM.shape[1]
        if missing < 0:
            raise ValueError(
                f"{memory_BSM.shape[1]} candidates are given, and num_candidates "
                f"({self.config.num_candidates}) are remembered: give those of training_frames"
            )
        exists_BS = torch.ones_like(memory_BSM[..., 0])
        return F.pad(memory_BSM, [0, 0, 0, missing]), F.pad(exists_BS, [0, missing])

    def _start(self, memory_nSM: Tensor, exists_nS: Tensor) -> tuple[Tensor, ...]:
        """Before the first frame: what tells its place `[n]`, the utility `[n]`, and the state."""
        first, *others = self.first_state(len(memory_nSM))
        context_nM = self._attend(first, memory_nSM, exists_nS)
        return self._heads((first + self.begin(context_nM).tanh(), *others))

    def _attend(self, h_nH: Tensor, memory_nSM: Tensor, exists_nS: Tensor) -> Tensor:
        """What a state wants of the memory, `[n, M]` (equations 1 and 2)."""
        scores_nS = (memory_nSM @ self.query(h_nH)[..., None]).squeeze(-1)
        scores_nS = scores_nS / math.sqrt(memory_nSM.shape[-1])
        weights_nS = scores_nS.masked_fill(exists_nS == 0, -torch.inf).softmax(-1)
        return (weights_nS[:, None] @ memory_nSM).squeeze(1)

    def _heads(self, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        h_nH = state[0]
        return self.policy(h_nH).squeeze(-1), self.utility(h_nH).squeeze(-1), *state

    def _step(
        self,
        features_nD: Tensor,
        shares_n: Tensor,
        memory_nSM: Tensor,
        exists_nS: Tensor,
        *state: Tensor,
    ) -> tuple[Tensor, ...]:
        """Read a frame: logits, what tells the next place `[n]`, the utility `[n]`, the state."""
        context_nM = self._attend(state[0], memory_nSM, exists_nS)
        state = self.read_frame(features_nD, shares_n, context_nM, state=state)
        return self.classifier(state[0]), *self._heads(state)

    def forward(
        self,
        pixel_values: Tensor | None = None,
        glances: Tensor | None = None,
        times: Tensor | None = None,
        features: Tensor | None = None,
        labels: Tensor | None = None,
        class_weights: Tensor | None = None,
    ) -> AdaFrameOutput:
        """Read some of the candidates, and answer after each.

        Args:
            pixel_values: `[B, S, 3, H, W]` of the candidates, 0 to 255; or
            glances: `[B, S, 3, h, w]`, the candidates at `glance_size`, 0 to 255.
            times: `[B, S]`, where they are, as shares of the video's length.
            features: `[B, S, D]`, what `training_features` made of them before.
            labels: int64 `[B]`; or float `[B, K]`, see `answer_losses`.
            class_weights: `[K]`, for unbalanced classes.
        """
        features_BSD = self.sequence_features(pixel_values, features)
        times_BS = check_times(times)
        memory_NM = self._remember(check_glances(glances).flatten(0, 1), times_BS.flatten())
        memory = self._memory_of(memory_NM.unflatten(0, times_BS.shape))
        picks = BatchPicks(features_BSD, times_BS)
        told_B, utility_B, *state = self._start(*memory)
        exits, picked, log_p, expected, utilities = [], [], [], [], []
        for step in range(min(self.config.num_frames, times_BS.shape[1])):
            wish_B = places_about(self.config, told_B, step)
            if self.training:
                wish_B, log_p_B = sample_place(wish_B, self.config.place_deviation)
                log_p.append(log_p_B)
                expected.append(utility_B)
            pick_B, *seen = picks.nearest(wish_B)
            logits_BK, told_B, utility_B, *state = self._step(*seen, *memory, *state)
            exits.append(logits_BK)
            picked.append(pick_B)
            utilities.append(utility_B)
        loss = None
        if labels is not None:
            loss = self.exits_loss(exits, labels, class_weights)
            if log_p:
                returns_BE = discounted_returns(self.gains(exits, labels), self.config.discount)
                weight = self.config.policy_weight
                loss = loss + decisions_loss(log_p, expected, returns_BE, policy_weight=weight)
        return AdaFrameOutput(
            loss=loss, utilities=torch.stack(utilities, 1), **picked_fields(exits, picked)
        )

    def gains(self, exits: Sequence[Tensor], labels: Tensor) -> Tensor:
        """By how much each frame's exit beats all before it (equation 6), its reward: `[B, E]`.

        Before the first frame all classes are as likely, and a regression answers with 0.
        """
        worth_BE = self.worth([torch.zeros_like(exits[0]), *exits], labels)
        return record_gains(worth_BE)

    async def read(self, video: Handle) -> Tensor:
        """Read frames of one video while that promises to help. Returns logits `[K]`."""
        count = await video.open()
        frames = self.training_frames(count, video.index.keyframes)
        frames, glances = await glance(video, frames, size=self.glance_size)
        places_S = torch.tensor([frame / count for frame in frames])
        memory_SM = await self.remember(glances, places_S)
        memory = self._memory_of(memory_SM[None])
        picks = self.open_picks(video, frames, places_S)
        told_1, _, *state = await self.start(*memory)
        wish_1 = places_about(self.config, told_1, 0)
        utilities: list[Tensor] = []
        while (pick := await picks.nearest(wish_1)) is not None:
            features_1D = await self.features(pick.pixels)
            seen = features_1D, places_S[pick.rank, None].to(features_1D)
            logits_1K, told_1, utility_1, *state = await self.step(*seen, *memory, *state)
            utilities.append(utility_1)
            own = None
            if self.config.criterion == UTILITY:
                steps = self.config.utility_steps
                own = float(utility_drop(torch.stack(utilities), steps=steps))
            if self.ends(video, logits_1K, pick, own=own):
                break
            wish_1 = places_about(self.config, told_1, len(video.said))
        return video.said[-1][0]

    def dense_macs(self, units_total: int) -> int | None:
        """MACs of glancing at all candidates and reading `num_frames` of them."""
        reads = min(units_total, self.config.num_frames)
        glances = min(units_total, self.config.num_candidates)
        rows: list[tuple[Stage, int]] = [
            (self.features, reads),
            (self.step, reads),
            (self.start, 1),
        ]
        return self.macs_of([*rows, (self.remember, glances)])
