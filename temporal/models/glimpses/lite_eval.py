"""LiteEval: look at every frame through a small network, and at few of them through a large one.

Wu, Xiong, Jiang & Davis, "LiteEval: A Coarse-to-Fine Framework for Resource Efficient Video
Recognition" (NeurIPS 2019, arXiv 1912.01601).

B videos, S frames, M width of a glance, D feature width, C coarse state, H fine state, n rows.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ...checks import check_range
from ...kernels import NUM_GATES, State, read_cell
from ...policies.estimators import target_loss
from ...policies.skip import hard_decision, read_weight
from .looking import LookConfig, LookingReader, ReadsOutput, check_glances
from .recurrent_frames import check_times


class LiteEvalConfig(LookConfig):
    """Sizes, glances and gate of a `LiteEval`."""

    model_type = "lite_eval"

    coarse_size: int = 64
    """C, of the state that takes in the glances; at most `hidden_size`."""
    target_share: float = 0.2
    """gamma: share of the frames that training is to read."""
    share_weight: float = 2.0
    """lambda: of the squared distance of the share that is read from `target_share`."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        check_range("coarse_size", self.coarse_size, 1, self.hidden_size)
        check_range("target_share", self.target_share, 0.0, 1.0)


class LiteEval(LookingReader, PreTrainedModel):
    """Looks at every frame, small, and computes a frame in full where its gate opens.

    "LiteEval: A Coarse-to-Fine Framework for Resource Efficient Video Recognition", Wu et al.,
    NeurIPS 2019, arXiv 1912.01601.

    A coarse recurrent state takes in the glances of all frames. A gate sees it beside the fine
    state: where it opens, the frame is read at its full size, and a fine cell takes in its
    features; else the coarse state takes the place of the first entries of the fine one, which
    keeps it in step (equations 3 to 5). The fine state answers after every frame, so that videos
    may be answered while they are watched; the paper's offline setting halts nowhere.

    `forward` trains it with Gumbel-softmax gates, hard ones with the soft ones' gradients, on the
    answers' losses and `share_weight` times the squared distance of the share of frames that are
    read from `target_share` (equation 8).

    Glances decode every frame up to where it halts: what is saved is the large network.
    """

    config_class = LiteEvalConfig
    base_model_prefix = "lite_eval"

    def __init__(self, config: LiteEvalConfig) -> None:
        super().__init__(config)
        coarse, said = config.coarse_size, config.glance_features
        gates = NUM_GATES[config.cell] * coarse
        self.make_network(beside=1 + said)
        self.coarse_input = nn.Linear(said + 1, gates)
        self.coarse_hidden = nn.Linear(coarse, gates, bias=False)
        self.gate = nn.Linear(coarse + config.hidden_size, 2)
        self.make_looks()
        self.post_init()

    def first_looks(self, num_rows: int) -> State:
        """The coarse state and the fine one before the first frame, zeros."""
        fine = self.first_state(num_rows)
        return *(part[:, : self.config.coarse_size] for part in fine), *fine

    def _parts(self, state: State) -> tuple[State, State]:
        """The coarse state and the fine one."""
        return state[: len(state) // 2], state[len(state) // 2 :]

    def _coarse(self, said_nM: Tensor, shares_n: Tensor, state: State) -> tuple[Tensor, State]:
        """Take in a glance: the gate's logits `[n, 2]`, and the coarse state."""
        coarse, fine = self._parts(state)
        known_nM = torch.cat([said_nM, shares_n[:, None].to(said_nM)], -1)
        gates = self.coarse_input(known_nM)
        coarse = read_cell(self.config.cell, gates, coarse, self.coarse_hidden.weight)
        return self.gate(torch.cat([coarse[0], fine[0]], -1)), coarse

    def _look(self, glances_nChw: Tensor, shares_n: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        said_nM = self.glance_net(glances_nChw).relu()
        logits_n2, coarse = self._coarse(said_nM, shares_n, state)
        reads_n = hard_decision(logits_n2, self.config.read_threshold)
        return said_nM, reads_n, *coarse, *self._parts(state)[1]

    def _read(
        self, features_nD: Tensor, shares_n: Tensor, said_nM: Tensor, *state: Tensor
    ) -> tuple[Tensor, ...]:
        coarse, fine = self._parts(state)
        return *coarse, *self.read_frame(features_nD, shares_n, said_nM, state=fine)

    def _skim(self, said_nM: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        coarse, fine = self._parts(state)
        size = self.config.coarse_size
        kept = [torch.cat([c, f[:, size:]], -1) for c, f in zip(coarse, fine, strict=True)]
        return *coarse, *kept

    def _answer(self, *state: Tensor) -> Tensor:
        return self.classifier(self._parts(state)[1][0])

    def forward(
        self,
        pixel_values: Tensor | None = None,
        glances: Tensor | None = None,
        times: Tensor | None = None,
        features: Tensor | None = None,
        labels: Tensor | None = None,
        class_weights: Tensor | None = None,
    ) -> ReadsOutput:
        """Look at all frames, read those whose gate opens, and answer after each.

        Args:
            pixel_values: `[B, S, 3, H, W]` in the order of time, 0 to 255; or
            glances: `[B, S, 3, h, w]`, the same frames at `glance_size`, 0 to 255.
            times: `[B, S]`, where they are, as shares of the video's length.
            features: `[B, S, D]`, what `training_features` made of them before.
            labels: int64 `[B]`; or float `[B, K]`, see `answer_losses`.
            class_weights: `[K]`, for unbalanced classes.
        """
        config = self.config
        features_BSD = self.sequence_features(pixel_values, features)
        times_BS = check_times(times)
        said = self.said_of(check_glances(glances))
        state = self.first_looks(len(features_BSD))
        exits, reads = [], []
        steps = zip(features_BSD.unbind(1), said.unbind(1), times_BS.unbind(1), strict=True)
        for features_BD, said_BM, shares_B in steps:
            logits_B2, coarse = self._coarse(said_BM, shares_B, state)
            state = *coarse, *self._parts(state)[1]
            reads_B = read_weight(
                logits_B2,
                config.read_threshold,
                sampled=self.training,
                temperature=config.temperature,
            )
            read = self._read(features_BD, shares_B, said_BM, *state)
            skimmed = self._skim(said_BM, *state)
            state = self.mixed(skimmed, read, reads_B)
            exits.append(self._answer(*state))
            reads.append(reads_B)
        reads_BS = torch.stack(reads, 1)
        cost = target_loss(reads_BS, torch.ones_like(reads_BS), config.target_share)
        return self.reads_output(exits, reads_BS, config.share_weight * cost, labels, class_weights)
