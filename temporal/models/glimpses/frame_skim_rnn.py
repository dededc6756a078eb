"""Skim-RNN over frames: a big cell reads what matters, a small one skims the glances of the rest.

Seo, Min, Farhadi & Hajishirzi, "Neural Speed Reading via Skim-RNN" (ICLR 2018, arXiv 1711.02085),
with frames for tokens.

B videos, S frames, M width of a glance, D feature width, H state size, n rows.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ...checks import check_range
from ...kernels import NUM_GATES, State, skim_cell
from ...policies.skip import hard_decision, read_weight, skim_loss
from .looking import LookConfig, LookingReader, ReadsOutput, check_glances
from .recurrent_frames import check_times


class FrameSkimRNNConfig(LookConfig):
    """Sizes, glances and policy of a `FrameSkimRNN`."""

    model_type = "frame_skim_rnn"

    skim_size: int = 16
    """The part of the state that skimming updates; 0 skips."""
    skim_loss_weight: float = 0.05
    """gamma of equation 5: how much skimming is worth."""
    straight_through: bool = False
    """Train on hard decisions (with the soft ones' gradients) instead of mixtures of both cells."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        check_range("skim_size", self.skim_size, 0, self.hidden_size)


class FrameSkimRNN(LookingReader, PreTrainedModel):
    """Looks at every frame, small, and takes it in with the big or the small cell.

    "Neural Speed Reading via Skim-RNN", Seo et al., ICLR 2018, arXiv 1711.02085.

    What a token's embedding is in a text, the glance is here: the decision sees it and the state
    (equation 1). The small cell updates the first `skim_size` entries of the state from it; the big
    cell updates all, from the features of the frame at its full size, which are computed for no
    other frame. `SkimRNN` is the same with tokens; the cells are those of `temporal.kernels`.

    `forward` trains it: both cells run and a Gumbel-softmax sample mixes them (equation 4).

    Glances decode every frame up to where it halts: what is saved is the large network.
    """

    config_class = FrameSkimRNNConfig
    base_model_prefix = "frame_skim_rnn"

    def __init__(self, config: FrameSkimRNNConfig) -> None:
        super().__init__(config)
        said, size = config.glance_features, config.hidden_size
        gates = NUM_GATES[config.cell] * config.skim_size
        self.make_network()
        self.policy = nn.Linear(said + size, 2)
        with warnings.catch_warnings():  # skipping has no weights, and that is meant so
            warnings.filterwarnings("ignore", "Initializing zero-element")
            self.skim_input = nn.Linear(said, gates)
            self.skim_hidden = nn.Linear(size, gates, bias=False)
        self.make_looks()
        self.post_init()

    def first_looks(self, num_rows: int) -> State:
        """The state before the first frame, zeros."""
        return self.first_state(num_rows)

    def _decide(self, said_nM: Tensor, h_nH: Tensor) -> Tensor:
        """Logits of reading and of skimming, `[n, 2]`."""
        return self.policy(torch.cat([said_nM, h_nH], -1))

    def _look(self, glances_nChw: Tensor, shares_n: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        said_nM = self.glance_net(glances_nChw).relu()
        logits_n2 = self._decide(said_nM, state[0])
        return said_nM, hard_decision(logits_n2, self.config.read_threshold), *state

    def _read(
        self, features_nD: Tensor, shares_n: Tensor, said_nM: Tensor, *state: Tensor
    ) -> tuple[Tensor, ...]:
        return self.read_frame(features_nD, shares_n, state=state)

    def _skim(self, said_nM: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        gates = self.skim_input(said_nM)
        return skim_cell(self.config.cell, gates, state, self.skim_hidden.weight)

    def _answer(self, *state: Tensor) -> Tensor:
        return self.classifier(state[0])

    def forward(
        self,
        pixel_values: Tensor | None = None,
        glances: Tensor | None = None,
        times: Tensor | None = None,
        features: Tensor | None = None,
        labels: Tensor | None = None,
        class_weights: Tensor | None = None,
    ) -> ReadsOutput:
        """Take in all frames, each with the cell that was decided on, and answer after each.

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
        exits, reads, decisions = [], [], []
        steps = zip(features_BSD.unbind(1), said.unbind(1), times_BS.unbind(1), strict=True)
        for features_BD, said_BM, shares_B in steps:
            logits_B2 = self._decide(said_BM, state[0])
            reads_B = read_weight(
                logits_B2,
                config.read_threshold,
                sampled=self.training,
                temperature=config.temperature,
                straight_through=config.straight_through,
            )
            read = self._read(features_BD, shares_B, said_BM, *state)
            skimmed = self._skim(said_BM, *state)
            state = self.mixed(skimmed, read, reads_B)
            exits.append(self._answer(*state))
            reads.append(reads_B)
            decisions.append(logits_B2)
        reads_BS = torch.stack(reads, 1)
        cost = skim_loss(torch.stack(decisions, 1), torch.ones_like(reads_BS))
        weight = config.skim_loss_weight
        return self.reads_output(exits, reads_BS, weight * cost, labels, class_weights)
