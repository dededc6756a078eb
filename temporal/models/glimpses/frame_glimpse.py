"""FrameGlimpse: look at a frame, and let the state say where to look next.

Yeung, Russakovsky, Mori & Fei-Fei, "End-to-end Learning of Action Detection from Frame Glimpses in
Videos" (CVPR 2016, arXiv 1511.06984), for classification: an answer in place of detections.

B videos, S candidates, E exits, D feature width, K classes, n rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init

from ...handle import Handle
from ...policies.location import sample_place
from .glimpses import (
    GlimpseConfig,
    GlimpseReader,
    GlimpsesOutput,
    decisions_loss,
    picked_fields,
    places_about,
)
from .picks import BatchPicks
from .recurrent_frames import check_times


class FrameGlimpseConfig(GlimpseConfig):
    """Candidates, state and policy of a `FrameGlimpse`."""

    model_type = "frame_glimpse"

    first_place: float = 0.5
    """Where the first glimpse is, as a share of the video's length."""
    place_deviation: float = 0.2
    """Of the places that are drawn in training about the policy's, as a share of the length."""
    coarse_to_fine: bool = False
    """Learn where to look beside an order that is coarse to fine, from which it starts: better
    where many frames tell as much. False: from no order, as in the paper."""


class FrameGlimpse(GlimpseReader, PreTrainedModel):
    """Looks at some frames of a video, each where the state after the one before says.

    "End-to-end Learning of Action Detection from Frame Glimpses in Videos", Yeung et al., CVPR
    2016, arXiv 1511.06984.

    A recurrent cell sees a frame's features and its place. Its state answers, and says the place of
    the next frame, `l = sigmoid(w h)`, of which the nearest candidate is read that was not read
    before. After `num_frames` glimpses the reading ends, or at an exit that is certain.

    `forward` trains it on places drawn about the policy's: the answers' losses, and REINFORCE with
    a learned baseline (equation 5). The reward is the lead of the right class in the last answer,
    which is softer than the paper's 1 for right and -1 for wrong.
    """

    config_class = FrameGlimpseConfig
    base_model_prefix = "frame_glimpse"

    def __init__(self, config: FrameGlimpseConfig) -> None:
        super().__init__(config)
        self.make_network()
        self.policy = nn.Linear(config.hidden_size, 1)
        self.baseline = nn.Linear(config.hidden_size, 1)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if module is self.policy and self.config.coarse_to_fine:
            init.zeros_(module.weight)  # at first, it says nothing

    def _step(self, features_nD: Tensor, shares_n: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Look at a frame: logits, what tells the place of the next `[n]`, and the state."""
        state = self.read_frame(features_nD, shares_n, state=state)
        return self.classifier(state[0]), self.policy(state[0]).squeeze(-1), *state

    def forward(
        self,
        pixel_values: Tensor | None = None,
        times: Tensor | None = None,
        features: Tensor | None = None,
        labels: Tensor | None = None,
        class_weights: Tensor | None = None,
    ) -> GlimpsesOutput:
        """Look at some of the candidates, and answer after each.

        Args:
            pixel_values: `[B, S, 3, H, W]` of the candidates, 0 to 255; or
            times: `[B, S]`, where they are, as shares of the video's length.
            features: `[B, S, D]`, what `training_features` made of them before.
            labels: int64 `[B]`; or float `[B, K]`, see `answer_losses`.
            class_weights: `[K]`, for unbalanced classes.
        """
        features_BSD = self.sequence_features(pixel_values, features)
        times_BS = check_times(times)
        picks = BatchPicks(features_BSD, times_BS)
        state: Sequence[Tensor] = self.first_state(len(features_BSD))
        wish_B = torch.full_like(times_BS[:, 0], self.config.first_place)
        exits: list[Tensor] = []
        picked, log_p, expected = [], [], []
        for step in range(min(self.config.num_frames, times_BS.shape[1])):
            if exits and self.training:
                wish_B, log_p_B = sample_place(wish_B, self.config.place_deviation)
                log_p.append(log_p_B)
                expected.append(self.baseline(state[0].detach()).squeeze(-1))
            pick_B, *seen = picks.nearest(wish_B)
            logits_BK, told_B, *state = self._step(*seen, *state)
            wish_B = places_about(self.config, told_B, step + 1)
            exits.append(logits_BK)
            picked.append(pick_B)
        loss = None
        if labels is not None:
            loss = self.exits_loss(exits, labels, class_weights)
            if log_p:
                worth_BE = self.worth(exits[-1:], labels).expand(-1, len(log_p))
                weight = self.config.policy_weight
                loss = loss + decisions_loss(log_p, expected, worth_BE, policy_weight=weight)
        return GlimpsesOutput(loss=loss, **picked_fields(exits, picked))

    async def read(self, video: Handle) -> Tensor:
        """Look at frames of one video until an exit is certain. Returns its logits `[K]`."""
        count = await video.open()
        frames = self.training_frames(count, video.index.keyframes)
        places_S = torch.tensor([frame / count for frame in frames])
        picks = self.open_picks(video, frames, places_S)
        state: Sequence[Tensor] = self.first_state(1)
        wish_1 = torch.tensor([self.config.first_place])
        while (pick := await picks.nearest(wish_1)) is not None:
            features_1D = await self.features(pick.pixels)
            seen = features_1D, places_S[pick.rank, None].to(features_1D)
            logits_1K, told_1, *state = await self.step(*seen, *state)
            if self.ends(video, logits_1K, pick):
                break
            wish_1 = places_about(self.config, told_1, len(video.said))
        return video.said[-1][0]
