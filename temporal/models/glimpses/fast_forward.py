"""FastForward: read a frame, jump forward or back from it, and stop when enough was seen.

Fan, Xu, Zhu, Yan, Ge & Yang, "Watching a Small Portion could be as Good as Watching All: Towards
Efficient Video Classification" (IJCAI 2018).

B videos, S candidates, E exits, D feature width, A jumps, K classes, n rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers import initialization as init

from ...checks import check_range
from ...handle import Handle
from ...policies.reinforce import action_entropy, sample
from .glimpses import GlimpseConfig, GlimpseReader, GlimpsesOutput, decisions_loss, picked_fields
from .picks import BatchPicks
from .recurrent_frames import check_times

_JUMPS = (-2, -1, 1, 2, 4, 8, 16)
STOP = "stop"
"""The criterion of the reader's own: the probability of stopping."""


class FastForwardConfig(GlimpseConfig):
    """Candidates, jumps, state and stopping of a `FastForward`."""

    model_type = "fast_forward"
    learned_criteria = (STOP,)

    jumps: list[int] | None = None
    """How far it may jump, in candidates (`1 / num_candidates` of a video each); default: back 2
    and 1, forward 1, 2, 4, 8 and 16. With 1 alone every candidate is read in turn."""
    first_place: float = 0.0
    """Where it begins, as a share of the video's length; the paper begins at the start."""
    read_cost: float = 0.02
    """What each frame that is read takes off the reward, which is the lead of the right class."""
    policy_weight: float = 1.0
    """Of the policy gradient in the loss; that of a jump that is drawn is small."""
    entropy_weight: float = 0.01
    """Reward for an undecided policy, in nats, so that it goes on exploring."""

    def __post_init__(self, **kwargs: Any) -> None:
        self.criterion = self.criterion or STOP
        self.jumps = sorted(self.jumps or _JUMPS)
        super().__post_init__(**kwargs)
        check_range("first_place", self.first_place, 0.0, 1.0)
        check_range("read_cost", self.read_cost, 0.0, 1.0)
        if self.jumps[-1] < 1 or 0 in self.jumps or len(set(self.jumps)) < len(self.jumps):
            raise ValueError(
                f"jumps ({self.jumps}) must differ, hold one forward (>= 1), and none of 0: what "
                "was read is not read again"
            )


class FastForward(GlimpseReader, PreTrainedModel):
    """Reads frames of a video one after another, with jumps between them.

    "Watching a Small Portion could be as Good as Watching All", Fan et al., IJCAI 2018.

    A recurrent cell sees a frame's features and its place. Its state answers; a head chooses one of
    `jumps`; another says whether to stop. A jump lands on the nearest candidate that was not read
    before; one past the last ends the reading. The head that stops is the criterion `"stop"`, its
    certainty the probability of stopping: `set_policy("stop", 0.5)` is the paper's rule.

    `forward` trains it on jumps and stops that are drawn: the losses of the answers on the way, and
    REINFORCE with a learned baseline. The reward is the lead of the right class in the last answer,
    less `read_cost` for each frame.
    """

    config_class = FastForwardConfig
    base_model_prefix = "fast_forward"
    ends_itself = True

    def __init__(self, config: FastForwardConfig) -> None:
        super().__init__(config)
        self.make_network()
        self.policy = nn.Linear(config.hidden_size, len(config.jumps or ()))
        self.stop = nn.Linear(config.hidden_size, 1)
        self.baseline = nn.Linear(config.hidden_size, 1)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if module is self.stop:
            init.constant_(module.bias, -2.0)  # at first, it nearly always reads on

    def _step(self, features_nD: Tensor, shares_n: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Read a frame: logits, of the jumps `[n, A]`, of stopping `[n]`, and the state."""
        state = self.read_frame(features_nD, shares_n, state=state)
        h_nH = state[0]
        return self.classifier(h_nH), self.policy(h_nH), self.stop(h_nH).squeeze(-1), *state

    def _first_rank(self, num_candidates: int) -> float:
        """Where it begins, in candidates."""
        return float(int(self.config.first_place * (num_candidates - 1) + 0.5))

    def _land(self, rank_n: Tensor, action_n: Tensor) -> Tensor:
        """Where jumps lead, in candidates; before the first is the first."""
        jumps_A = torch.tensor(self.config.jumps, device=rank_n.device)
        return (rank_n + jumps_A[action_n]).clamp(min=0)

    def forward(
        self,
        pixel_values: Tensor | None = None,
        times: Tensor | None = None,
        features: Tensor | None = None,
        labels: Tensor | None = None,
        class_weights: Tensor | None = None,
    ) -> GlimpsesOutput:
        """Read some of the candidates, and answer after each; nothing but a jump ends it in eval.

        Args:
            pixel_values: `[B, S, 3, H, W]` of the candidates, 0 to 255; or
            times: `[B, S]`, where they are, as shares of the video's length.
            features: `[B, S, D]`, what `training_features` made of them before.
            labels: int64 `[B]`; or float `[B, K]`, see `answer_losses`.
            class_weights: `[K]`, for unbalanced classes.
        """
        features_BSD = self.sequence_features(pixel_values, features)
        times_BS = check_times(times)
        size, num_candidates = times_BS.shape
        ranks_S = torch.arange(num_candidates, device=features_BSD.device).float()
        ranks_BS = ranks_S.expand(size, -1)
        picks = BatchPicks(features_BSD, times_BS, ranks_BS)
        on_B = torch.ones_like(ranks_BS[:, 0], dtype=torch.bool)
        state = self.first_state(size)
        wish_B = torch.full_like(ranks_BS[:, 0], self._first_rank(num_candidates))
        exits: list[Tensor] = []
        picked, log_p, expected, undecided = [], [], [], []
        most = min(self.config.num_frames, num_candidates)
        for step in range(most):
            pick_B, *seen = picks.nearest(wish_B)
            said_BK, jumps_BA, stop_B, *new = self._step(*seen, *state)
            # What has ended says the same on.
            said_BK = torch.where(on_B[:, None], said_BK, exits[-1]) if exits else said_BK
            exits.append(said_BK)
            picked.append(pick_B.masked_fill(~on_B, -1))
            state = tuple(
                torch.where(on_B[:, None], part, old) for part, old in zip(new, state, strict=True)
            )
            if step == most - 1:
                break
            if self.training:
                action_B, jump_log_p_B = sample(jumps_BA)
                stops_B = torch.rand_like(stop_B) < stop_B.detach().sigmoid()
                log_p.append(
                    torch.where(stops_B, F.logsigmoid(stop_B), F.logsigmoid(-stop_B) + jump_log_p_B)
                )
                expected.append(self.baseline(state[0].detach()).squeeze(-1))
                undecided.append(action_entropy(jumps_BA))
            else:
                action_B, stops_B = jumps_BA.argmax(-1), torch.zeros_like(on_B)
            wish_B = self._land(pick_B, action_B).float()
            on_B = on_B & ~stops_B & (wish_B < num_candidates)
        reached_BE = torch.stack(picked, 1) >= 0
        loss = None
        if labels is not None:
            loss = self.exits_loss(exits, labels, class_weights, reached_BE)
            if log_p:
                config, made_BE = self.config, reached_BE[:, :-1]
                later_BE = reached_BE[:, 1:].flip(1).cumsum(1).flip(1)  # frames read after it
                returns_BE = self.worth(exits[-1:], labels) - config.read_cost * later_BE
                weight = config.policy_weight
                loss = loss + decisions_loss(
                    log_p, expected, returns_BE, policy_weight=weight, made_BE=made_BE
                )
                entropy_BE = torch.stack(undecided, 1)
                loss = loss - config.entropy_weight * entropy_BE[made_BE].mean()
        return GlimpsesOutput(loss=loss, **picked_fields(exits, picked))

    async def read(self, video: Handle) -> Tensor:
        """Read frames of one video until it stops or jumps past the end. Returns logits `[K]`."""
        count = await video.open()
        frames = self.training_frames(count, video.index.keyframes)
        picks = self.open_picks(video, frames)
        state: Sequence[Tensor] = self.first_state(1)
        wish_1 = torch.tensor([self._first_rank(len(frames))])
        while (pick := await picks.nearest(wish_1)) is not None:
            features_1D = await self.features(pick.pixels)
            seen = features_1D, torch.tensor([pick.frame / count]).to(features_1D)
            logits_1K, jumps_1A, stop_1, *state = await self.step(*seen, *state)
            rank_1 = torch.tensor([pick.rank], device=jumps_1A.device)
            wish_1 = self._land(rank_1, jumps_1A.argmax(-1)).float()
            own = float(stop_1.sigmoid()) if self.config.criterion == STOP else None
            is_past_end = int(wish_1) >= len(frames)
            if self.ends(video, logits_1K, pick, is_last=is_past_end, own=own):
                break
        return video.said[-1][0]
