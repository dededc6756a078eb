"""Skim-RNN: a big recurrent cell reads what matters, a small one skims the rest.

Seo, Min, Farhadi & Hajishirzi, "Neural Speed Reading via Skim-RNN" (ICLR 2018, arXiv 1711.02085).

B sources, T tokens, D embedding width, H state size, S skim size, K classes.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from ...checks import check_range
from ...handle import Handle
from ...kernels import NUM_GATES, State, read_cell, skim_cell
from ...kernels.skim_rnn import skim_sequences
from ...kernels.steps import CELL_CODES
from ...kernels.tables import cell_tables
from ...policies.skip import (
    annealed_temperature,
    hard_decision,
    read_logit,
    read_over_skim,
    read_weight,
    skim_loss,
)
from ...stage import Stage
from .configuration import RecurrentConfig
from .kernel_runs import run_kernel
from .lockstep import read_by_steps, update_chosen
from .parts import make_answer, make_kernel
from .readers import (
    RecurrentReader,
    first_state,
    init_recurrent_weights,
    plain_states,
)


class SkimRNNConfig(RecurrentConfig):
    """Sizes and policy of a `SkimRNN`."""

    model_type = "skim_rnn"
    policy_fields = ("read_threshold",)

    skim_size: int = 10
    """S, the part of the state that skimming updates; 0 skips."""
    read_threshold: float = 0.5
    """Read where p(read) exceeds this: lower reads more. May be changed after training. At 0 every
    token is read, and the model is a plain LSTM (to train before skimming, or to compare with)."""
    skim_loss_weight: float = 0.01
    """gamma of equation 5: how much skimming is worth."""
    straight_through: bool = False
    """Train on hard decisions (with the soft ones' gradients) instead of mixtures of both cells."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        check_range("skim_size", self.skim_size, 0, self.hidden_size)


class SkimRNN(RecurrentReader, PreTrainedModel):
    """Reads a document token by token, each with the big or the small cell.

    "Neural Speed Reading via Skim-RNN", Seo et al., ICLR 2018, arXiv 1711.02085.

    `forward` trains it: both cells run and a Gumbel-softmax sample mixes them (equation 4). With
    gradients off it computes what it decides on and no more, as `read` does: on a CPU by a compiled
    kernel that takes every document on its own path, elsewhere in lock-step, one token of all
    documents at a time. In eval mode with gradients on it computes both cells and picks by the hard
    decision, which is the dense reference.
    """

    config_class = SkimRNNConfig
    base_model_prefix = "skim_rnn"

    def __init__(self, config: SkimRNNConfig) -> None:
        super().__init__(config)
        width, state, skim = config.embedding_size, config.hidden_size, config.skim_size
        gates = NUM_GATES[config.cell]
        self.embedding = nn.Embedding(config.vocab_size, width)
        self.policy = nn.Linear(width + state, 2)
        self.read_input = nn.Linear(width, gates * state)
        self.read_hidden = nn.Linear(state, gates * state, bias=False)
        with warnings.catch_warnings():  # skipping, S = 0, has no weights, and that is meant so
            warnings.filterwarnings("ignore", "Initializing zero-element")
            self.skim_input = nn.Linear(width, gates * skim)
            self.skim_hidden = nn.Linear(state, gates * skim, bias=False)
        make_answer(self)
        self.training_step = 0  # of the temperature's schedule; set by the training script
        make_kernel(self)
        self.look = Stage(self._look, name="look")
        self.read_stage = Stage(self._read, name="read")
        self.skim_stage = Stage(self._skim, name="skim")
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        init_recurrent_weights(module, self.config.cell, (self.read_input, self.skim_input))

    def _dense(self, x_BTD: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if self.config.read_threshold > 0:
            states_BTH, logits_BT2, read_BT = self._mix_cells(x_BTD, mask_BT)
            return (
                states_BTH,
                read_BT,
                self.config.skim_loss_weight * skim_loss(logits_BT2, mask_BT),
            )
        return plain_states(self, x_BTD)

    def _mix_cells(self, x_BTD: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run both cells on every token and mix them by the decision (equation 4).

        Returns:
            States `[B, T, H]`, decision logits `[B, T, 2]`, the weight of reading `[B, T]`.
        """
        cell = self.config.cell
        # Everything that depends on the input alone is one product over all tokens.
        read_x = self.read_input(x_BTD).unbind(1)
        skim_x = self.skim_input(x_BTD).unbind(1)
        width = self.config.embedding_size
        policy_x = F.linear(x_BTD, self.policy.weight[:, :width], self.policy.bias).unbind(1)
        policy_hidden_2H = self.policy.weight[:, width:]
        temperature = annealed_temperature(self.training_step)
        exists_B1T = mask_BT.bool()[:, None].unbind(2)

        state = first_state(self, len(x_BTD))
        states, logits, reads = [], [], []
        for t in range(x_BTD.shape[1]):
            logits_B2 = policy_x[t] + state[0] @ policy_hidden_2H.T
            read_B1 = read_weight(
                logits_B2,
                self.config.read_threshold,
                sampled=self.training,
                temperature=temperature,
                straight_through=self.config.straight_through,
            )[:, None]
            big = read_cell(cell, read_x[t], state, self.read_hidden.weight)
            small = skim_cell(cell, skim_x[t], state, self.skim_hidden.weight)
            state = tuple(
                torch.where(exists_B1T[t], torch.lerp(skimmed, read, read_B1), old)
                for skimmed, read, old in zip(small, big, state, strict=True)
            )
            states.append(state[0])
            logits.append(logits_B2)
            reads.append(read_B1[:, 0])
        return torch.stack(states, 1), torch.stack(logits, 1), torch.stack(reads, 1)

    # Inference -----------------------------------------------------------------------------------

    async def read(self, documents: list[Handle]) -> list[Tensor]:
        """Read a cohort of documents, each token with the cell that it chose and no other.

        Returns:
            Logits `[K]` for each document.
        """
        return await read_by_steps(self, documents, self._step)

    def _run(self, ids_BT: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        config = self.config
        threshold = np.float32(read_logit(config.read_threshold))
        settings = (CELL_CODES[config.cell], config.skim_size)
        tables = self.tables.get(self, self._make_tables)
        return run_kernel(self, skim_sequences, ids_BT, lengths_B, *settings, *tables, threshold)

    def _make_tables(self) -> tuple[Any, Any]:
        cell, words = self.config.cell, self.embedding.weight
        policy, bias = read_over_skim(self.policy)
        width = self.config.embedding_size
        big = cell_tables(cell, words, self.read_input, self.read_hidden)
        small = cell_tables(
            cell,
            words,
            self.skim_input,
            self.skim_hidden,
            policy_input_V=words @ policy[:width] + bias,
            policy_hidden_H=policy[width:],
        )
        return tuple(big), tuple(small)

    def _look(self, ids_B: Tensor, h_BH: Tensor) -> Tensor:
        decision_B2 = self.policy(torch.cat([self.embedding(ids_B), h_BH], dim=-1))
        return hard_decision(decision_B2, self.config.read_threshold)

    def _skim(self, ids_B: Tensor, *state: Tensor) -> State:
        gates = self.skim_input(self.embedding(ids_B))
        return skim_cell(self.config.cell, gates, state, self.skim_hidden.weight)

    async def _step(self, ids_n: Tensor, state: State, owners: list[int]) -> Tensor:
        """One token of each document; each row runs only the cell that it chose."""
        reads_n = await self.look(ids_n, state[0], rows=owners)
        await update_chosen(self.read_stage, reads_n, ids_n, state, owners)
        await update_chosen(self.skim_stage, ~reads_n, ids_n, state, owners)
        return reads_n
