"""Skip RNN over frames: every state says how far it is to the next frame that is worth reading.

Campos, Jou, Giro-i-Nieto, Torres & Chang, "Skip RNN: Learning to Skip State Updates in Recurrent
Neural Networks" (ICLR 2018, arXiv 1708.06834), section 4.5.

B videos, S frames, D feature width, H state size, n rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init

from ...handle import Handle
from ...policies.estimators import straight_through_step
from ...policies.skip import accumulate_update, tokens_to_next_read
from ...stage import Stage
from .looking import ReadsOutput, ReadThreshold, ReadThresholdConfig
from .picks import Picks
from .recurrent_frames import check_times


class FrameSkipRNNConfig(ReadThresholdConfig):
    """Sizes and policy of a `FrameSkipRNN`."""

    model_type = "frame_skip_rnn"

    update_loss_weight: float = 1e-3
    """lambda of equation 11: what each frame that is read adds to the loss."""


class FrameSkipRNN(ReadThreshold, PreTrainedModel):
    """Reads a frame, then jumps to the next one that its state asks for.

    "Skip RNN", Campos et al., ICLR 2018, arXiv 1708.06834.

    Each state (of an LSTM, its cell) has an increment; these add up over the frames, and the frame
    at which they reach `read_threshold` is read. As a state does not change while frames are
    skipped, the jump is known in advance, and no frame in between is computed, nor decoded where
    the video has a keyframe after it. `SkipRNN` is the same with tokens.

    `forward` trains it on hard decisions with straight-through gradients.
    """

    config_class = FrameSkipRNNConfig
    base_model_prefix = "frame_skip_rnn"

    step: Stage

    def __init__(self, config: FrameSkipRNNConfig) -> None:
        super().__init__(config)
        self.make_network()
        self.policy = nn.Linear(config.hidden_size, 1)
        self.step = Stage(self._step, name="step")
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if module is self.policy:
            init.ones_(module.bias)  # at first, nearly every frame is read

    def _increment(self, state: tuple[Tensor, ...]) -> Tensor:
        """What each frame adds after this state, `[n]` in (0, 1) (equation 3)."""
        return self.policy(state[-1]).squeeze(-1).sigmoid()  # an LSTM's cell, a GRU's state

    def _step(self, features_nD: Tensor, shares_n: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Read a frame: logits, how far to jump after it `[n]`, and the state."""
        state = self.read_frame(features_nD, shares_n, state=state)
        jump_n = tokens_to_next_read(self._increment(state), self.config.read_threshold)
        return self.classifier(state[0]), jump_n, *state

    def forward(
        self,
        pixel_values: Tensor | None = None,
        times: Tensor | None = None,
        features: Tensor | None = None,
        labels: Tensor | None = None,
        class_weights: Tensor | None = None,
    ) -> ReadsOutput:
        """Read the frames whose update is due, and answer after each frame.

        Args:
            pixel_values: `[B, S, 3, H, W]` in the order of time, 0 to 255; or
            times: `[B, S]`, where they are, as shares of the video's length.
            features: `[B, S, D]`, what `training_features` made of them before.
            labels: int64 `[B]`; or float `[B, K]`, see `answer_losses`.
            class_weights: `[K]`, for unbalanced classes.
        """
        features_BSD = self.sequence_features(pixel_values, features)
        times_BS = check_times(times)
        state = self.first_state(len(features_BSD))
        due_B = torch.ones_like(features_BSD[:, 0, 0])  # the first frame is always read
        exits, reads = [], []
        for features_BD, shares_B in zip(features_BSD.unbind(1), times_BS.unbind(1), strict=True):
            reads_B = straight_through_step(due_B, self.config.read_threshold)
            new = self.read_frame(features_BD, shares_B, state=state)
            state = self.mixed(state, new, reads_B)
            due_B = accumulate_update(due_B, reads_B, self._increment(state))
            exits.append(self.classifier(state[0]))
            reads.append(reads_B)
        reads_BS = torch.stack(reads, 1)
        cost = self.config.update_loss_weight * reads_BS.sum(1).mean()
        return self.reads_output(exits, reads_BS, cost, labels, class_weights)

    async def read(self, video: Handle) -> Tensor:
        """Read one video, from one frame that is due to the next. Returns logits `[K]`."""
        count = await video.open()
        frames = self.training_frames(count, video.index.keyframes)
        video.note(num_exits=len(frames))
        picks = Picks(video, frames, size=self.frame_size, most=len(frames))
        state: Sequence[Tensor] = self.first_state(1)
        wish_1 = torch.zeros(1)
        while (pick := await picks.nearest(wish_1)) is not None:
            features_1D = await self.features(pick.pixels)
            shares_1 = torch.tensor([pick.frame / count]).to(features_1D)
            logits_1K, jump_1, *state = await self.step(features_1D, shares_1, *state)
            # A broken state's jump is NaN, and its answer is refused.
            wish_1 = pick.rank + jump_1.float().nan_to_num(1.0).clamp(max=len(frames))
            is_past_end = int(wish_1) >= len(frames)
            if self.ends(video, logits_1K, pick, is_last=is_past_end):
                break
        return video.said[-1][0]

    def dense_macs(self, units_total: int) -> int | None:
        """MACs of reading all frames."""
        frames = min(units_total, self.config.num_frames)
        return self.macs_of([(self.features, frames), (self.step, frames)])
