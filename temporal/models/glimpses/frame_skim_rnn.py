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
from ...policies.skip import skim_loss
from .looking import LookConfig, LookingReader


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

    @property
    def trains_on_hard_decisions(self) -> bool:
        """As the configuration has it; the paper mixes both cells."""
        return self.config.straight_through

    def _decide(self, said_nM: Tensor, shares_n: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Equation 1."""
        return self.policy(torch.cat([said_nM, state[0]], -1)), *state

    def _read(
        self, features_nD: Tensor, shares_n: Tensor, said_nM: Tensor, *state: Tensor
    ) -> tuple[Tensor, ...]:
        return self.read_frame(features_nD, shares_n, state=state)

    def _skim(self, said_nM: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        gates = self.skim_input(said_nM)
        return skim_cell(self.config.cell, gates, state, self.skim_hidden.weight)

    def _answer(self, *state: Tensor) -> Tensor:
        return self.classifier(state[0])

    def _cost(self, decided_BS2: Tensor, reads_BS: Tensor) -> Tensor:
        """Equation 5."""
        return self.config.skim_loss_weight * skim_loss(decided_BS2, torch.ones_like(reads_BS))
