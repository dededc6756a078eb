"""Variable computation: every token says how much of the state it updates.

Jernite, Grave, Joulin & Mikolov, "Variable Computation in Recurrent Neural Networks" (ICLR 2017,
arXiv 1611.06188).

B sources, T tokens, D embedding width, H state size, K classes.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from ...checks import check_range
from ...handle import Handle
from ...kernels.cells import UPDATES
from ...kernels.steps import CELL_CODES
from ...kernels.variable_rnn import block_tables, variable_sequences
from ...policies.estimators import annealed_slope, prefix_mask, target_loss
from ...policies.skip import read_logit
from ...stage import Stage
from .configuration import RecurrentConfig
from .kernel_runs import run_kernel
from .parts import make_answer, make_cell, make_kernel
from .readers import (
    RecurrentReader,
    first_state,
    plain_states,
    pool_densely,
    read_cohort,
)


class VariableRNNConfig(RecurrentConfig):
    """Sizes and policy of a `VariableRNN`."""

    model_type = "variable_rnn"
    policy_fields = ("read_threshold",)

    read_threshold: float = 0.5
    """A speed knob for after the training: m is what was trained at 0.5, less above and more below
    (its logit is moved by the threshold's). At 0 every token updates the whole state, and the model
    is a plain LSTM or GRU."""
    target_share: float = 0.5
    """Share of the state that training is to update, the mean of m over all tokens."""
    share_loss_weight: float = 1.0
    """What the squared distance from the target adds to the loss."""
    sharpness: float = 0.1
    """lambda of equation 6 at the start of the training: the soft mask falls within about 4 /
    sharpness entries of the state."""
    sharpness_rate: float = 1e-3
    """By what share of its first value the sharpness grows with each training step, tenfold at
    most."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        check_range("target_share", self.target_share, 0.0, 1.0)


class VariableRNN(RecurrentReader, PreTrainedModel):
    """Reads every token, and updates only as much of the state as it asks for.

    "Variable Computation in Recurrent Neural Networks", Jernite et al., arXiv 1611.06188.

    A share m of the state, `m = sigmoid(u.h + v.x + b)`, is taken for each token; the first `ceil(m
    H)` entries are updated from themselves and the token, and the others stay. So the first entries
    follow every token, and the last ones change slowly. The cell is a GRU (the paper's VCGRU) or an
    LSTM; the paper masks the token's entries, too, which are free here, as they are looked up.

    `forward` trains it with a soft mask that sharpens with the steps. With gradients off it
    computes on a CPU only what is updated, by a compiled kernel; elsewhere, as in eval mode with
    gradients on, the whole update, of which it keeps the part: a GPU gains nothing by a narrower
    product of one step, so neither would lock-step.

    The trace calls every token read; what is saved shows in the cost. `read_share` of the output is
    the share of the state that was updated.
    """

    config_class = VariableRNNConfig
    base_model_prefix = "variable_rnn"

    def __init__(self, config: VariableRNNConfig) -> None:
        super().__init__(config)
        width, size = config.embedding_size, config.hidden_size
        make_cell(self)
        self.policy = nn.Linear(width + size, 1)
        make_answer(self)
        self.training_step = 0  # of the sharpness's schedule; set by the training script
        make_kernel(self)
        self.dense = Stage(partial(pool_densely, self, self._dense), name="dense", pad=True)
        self.post_init()

    def _dense(self, x_BTD: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        config = self.config
        if config.read_threshold == 0:
            return plain_states(self, x_BTD)
        slope = annealed_slope(self.training_step, rate=config.sharpness_rate, most=10.0)
        sharpness = config.sharpness * slope if self.training else None
        of_word, of_state = self.policy.weight.split([config.embedding_size, config.hidden_size], 1)
        word_logits_BT = F.linear(x_BTD, of_word, self.policy.bias).squeeze(-1)
        shift = read_logit(config.read_threshold)
        exists_B1T = mask_BT.bool()[:, None].unbind(2)
        state = first_state(self, len(x_BTD))
        states, shares = [], []
        for gates, word_logit_B, exists_B1 in zip(
            self.read_input(x_BTD).unbind(1), word_logits_BT.unbind(1), exists_B1T, strict=True
        ):
            logit_B = word_logit_B + F.linear(state[0], of_state).squeeze(-1)
            share_B = (logit_B - shift).sigmoid()
            updated_BH = prefix_mask(share_B, config.hidden_size, sharpness)
            hidden_gates = F.linear(state[0] * updated_BH, self.read_hidden.weight)
            new = UPDATES[config.cell](gates, hidden_gates, state)
            state = tuple(
                torch.where(exists_B1, torch.lerp(old, part, updated_BH), old)
                for old, part in zip(state, new, strict=True)
            )
            states.append(state[0])
            shares.append(share_B if self.training else updated_BH.mean(1))
        share_BT = torch.stack(shares, 1)
        penalty = config.share_loss_weight * target_loss(share_BT, mask_BT, config.target_share)
        return torch.stack(states, 1), share_BT, penalty

    # Inference -----------------------------------------------------------------------------------

    async def read(self, documents: list[Handle]) -> list[Tensor]:
        """Read a cohort of documents, each token as deep into the state as it asks for.

        Returns:
            Logits `[K]` for each document.
        """
        return await read_cohort(self, documents, self.dense)

    def _run(self, ids_BT: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        settings = self.tables.get(self, self._make_tables)
        shift = np.float32(-read_logit(self.config.read_threshold))
        code = CELL_CODES[self.config.cell]
        return run_kernel(
            self, variable_sequences, ids_BT, lengths_B, code, *settings, shift, marks=np.float32
        )

    @torch.no_grad()
    def _make_tables(self) -> tuple[Any, ...]:
        config, words_VD = self.config, self.embedding.weight
        tables = block_tables(config.cell, words_VD, self.read_input, self.read_hidden)
        of_word, of_state = self.policy.weight[0].split([config.embedding_size, config.hidden_size])
        policy = (words_VD @ of_word + self.policy.bias, of_state)
        return tables, tuple(np.ascontiguousarray(part.float().numpy()) for part in policy)
