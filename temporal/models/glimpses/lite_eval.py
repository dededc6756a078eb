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
from .looking import LookConfig, LookingReader


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

    def _decide(self, said_nM: Tensor, shares_n: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Take in a glance by the coarse cell, and let the gate see both states."""
        coarse, fine = self._parts(state)
        known_nM = torch.cat([said_nM, shares_n[:, None].to(said_nM)], -1)
        gates = self.coarse_input(known_nM)
        coarse = read_cell(self.config.cell, gates, coarse, self.coarse_hidden.weight)
        return self.gate(torch.cat([coarse[0], fine[0]], -1)), *coarse, *fine

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

    def _cost(self, decided_BS2: Tensor, reads_BS: Tensor) -> Tensor:
        """Equation 8."""
        cost = target_loss(reads_BS, torch.ones_like(reads_BS), self.config.target_share)
        return self.config.share_weight * cost
