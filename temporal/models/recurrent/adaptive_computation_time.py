"""Adaptive computation time: a token takes as many steps of the cell as it asks for.

Graves, "Adaptive Computation Time for Recurrent Neural Networks" (arXiv 1603.08983, 2016).

B sources, T tokens, D embedding width, H state size, K classes, G gates, n rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init

from ...checks import check_range
from ...handle import Handle
from ...kernels import NUM_GATES, State, read_cell
from ...kernels.adaptive_computation_time import ponder_sequences
from ...kernels.steps import CELL_CODES
from ...kernels.tables import cell_tables
from .configuration import RecurrentConfig
from .kernel_runs import kernels_apply, run_kernel
from .parts import make_answer, make_cell, make_kernel
from .readers import (
    STOP_LEVELS,
    RecurrentReader,
    first_state,
    init_recurrent_weights,
    plain_macs,
    pool_states,
    read_cohort,
)


class AdaptiveComputationTimeConfig(RecurrentConfig):
    """Sizes and policy of an `AdaptiveComputationTime`."""

    model_type = "adaptive_computation_time"
    policy_fields = ("halt_threshold",)

    halt_threshold: float = 0.99
    """1 - epsilon: a token is done when its halting probabilities add up to this. May be changed
    after training: lower takes fewer steps. At 0 every token takes one, and the model is a plain
    LSTM or GRU (with the flag of the first step in its bias)."""
    max_steps: int = 5
    """M, steps of a token, at most."""
    ponder_weight: float = 1e-3
    """tau of equation 13: what each step adds to the loss."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        check_range("max_steps", self.max_steps, 1, 1000)


class AdaptiveComputationTime(RecurrentReader, PreTrainedModel):
    """Reads every token, hard ones with several steps of the cell.

    "Adaptive Computation Time", Graves, arXiv 1603.08983.

    After each step a halting unit says how probable it is that no more is needed. When these
    probabilities have added up, the token is done, and its state is the mean of the states of its
    steps, weighted by them (the last gets what remains). A flag tells the first step from others.

    `forward` trains it with the ponder cost, steps and remainder of all tokens. With gradients off,
    a CPU runs a compiled kernel; elsewhere all documents move in lock-step, one token of each at a
    time, and a step runs for the rows that still need it.

    In `read_share`, and in calibration, its cost is steps per token, which is 1 or more.
    """

    config_class = AdaptiveComputationTimeConfig
    base_model_prefix = "adaptive_computation_time"
    policy_name = "halt"
    # From 0.99 on, as it is trained: with more steps it computes more and answers worse, a weak
    # full reading to compare with.
    policy_levels = STOP_LEVELS[STOP_LEVELS.index(0.99) :]

    def __init__(self, config: AdaptiveComputationTimeConfig) -> None:
        super().__init__(config)
        size, gates = config.hidden_size, NUM_GATES[config.cell]
        make_cell(self)
        self.flag_input = nn.Linear(1, gates * size, bias=False)
        self.policy = nn.Linear(size, 1)
        make_answer(self)
        make_kernel(self)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        init_recurrent_weights(module, self.config.cell, (self.read_input,))
        if module is self.policy:
            init.ones_(module.bias)  # section 3: few steps at first
        elif module is self.flag_input:
            init.zeros_(module.weight)  # at first, one step is that of the plain network

    def _dense(self, x_BTD: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows_B = torch.arange(len(x_BTD), device=x_BTD.device)
        state = first_state(self, len(x_BTD))
        states, steps, ponder = [], [], x_BTD.new_zeros(())
        for gates_BG, exists_B in zip(
            self.read_input(x_BTD).unbind(1), mask_BT.bool().unbind(1), strict=True
        ):
            rows_n = rows_B[exists_B]
            old = tuple(part[rows_n] for part in state)
            new, steps_n, remainder_n = self._ponder(gates_BG[rows_n], old)
            state = tuple(
                part.index_copy(0, rows_n, rows) for part, rows in zip(state, new, strict=True)
            )
            ponder = ponder + (steps_n + remainder_n).sum()
            states.append(state[0])
            steps.append(torch.zeros_like(x_BTD[:, 0, 0]).index_copy(0, rows_n, steps_n))
        penalty = self.config.ponder_weight * ponder / len(x_BTD)
        return torch.stack(states, 1), torch.stack(steps, 1), penalty

    def _ponder(self, gates_nG: Tensor, state: State) -> tuple[State, Tensor, Tensor]:
        """All steps of one token of each row (equations 5 to 12); rows leave when they are done.

        Returns:
            The states after it, the steps and the remainders, `[n]` each.
        """
        threshold, max_steps = self.config.halt_threshold, self.config.max_steps
        rows_m = torch.arange(len(gates_nG), device=gates_nG.device)
        mean = tuple(torch.zeros_like(part) for part in state)
        spent_n, steps_n, remainder_n = (gates_nG.new_zeros(len(gates_nG)) for _ in range(3))
        flag_G = self.flag_input.weight.squeeze(1)
        for step in range(max_steps):
            gates_mG = gates_nG[rows_m] + flag_G if step == 0 else gates_nG[rows_m]
            state = read_cell(self.config.cell, gates_mG, state, self.read_hidden.weight)
            halt_m = self.policy(state[0]).squeeze(1).sigmoid()
            spent_m = spent_n[rows_m]
            goes_on_m = (spent_m + halt_m < threshold) & (step + 1 < max_steps)
            weight_m = torch.where(goes_on_m, halt_m, 1 - spent_m)
            mean = tuple(
                part.index_add(0, rows_m, weight_m[:, None] * rows)
                for part, rows in zip(mean, state, strict=True)
            )
            steps_n = steps_n.index_add(0, rows_m, torch.ones_like(halt_m))
            remainder_n = remainder_n.index_add(0, rows_m, (1 - spent_m) * ~goes_on_m)
            spent_n = spent_n.index_add(0, rows_m, halt_m * goes_on_m)
            if not goes_on_m.any():
                break
            rows_m = rows_m[goes_on_m]
            state = tuple(part[goes_on_m] for part in state)
        return mean, steps_n, remainder_n

    def dense_macs(self, units_total: int) -> int | None:
        """MACs of taking all steps for every token and deciding nothing.

        The input's share of the gates serves all steps of a token, and is as in `plain_macs`.
        """
        config = self.config
        step = NUM_GATES[config.cell] * config.hidden_size**2
        return plain_macs(self, units_total) + (config.max_steps - 1) * step * units_total

    # Inference -----------------------------------------------------------------------------------

    async def read(self, documents: list[Handle]) -> list[Tensor]:
        """Read a cohort of documents.

        Returns:
            Logits `[K]` for each document.
        """
        return await read_cohort(
            self, documents, note=lambda document, steps_T: document.note(read=range(len(steps_T)))
        )

    def _run(self, ids_BT: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        config = self.config
        if not kernels_apply(self):
            ids_BT, lengths_B = ids_BT.to(self.device), lengths_B.to(self.device)
            mask_BT = torch.arange(ids_BT.shape[1], device=self.device) < lengths_B[:, None]
            states_BTH, steps_BT, _ = self._dense(self.embedding(ids_BT), mask_BT)
            size, width, gates = config.hidden_size, config.embedding_size, NUM_GATES[config.cell]
            macs_B = lengths_B * gates * size * width + steps_BT.sum(1).long() * (
                gates * size * size + size
            )
            return pool_states(states_BTH, mask_BT, config.pooling), steps_BT.cpu(), macs_B
        return run_kernel(
            self,
            ponder_sequences,
            ids_BT,
            lengths_B,
            CELL_CODES[config.cell],
            *self.tables.get(self, self._make_tables),
            np.float32(config.halt_threshold),
            config.max_steps,
            marks=np.int32,
        )

    @torch.no_grad()
    def _make_tables(self) -> tuple[Any, ...]:
        cell, one = self.config.cell, self.flag_input.weight.new_ones(1, 1)
        tables = cell_tables(cell, self.embedding.weight, self.read_input, self.read_hidden)
        flag = cell_tables(cell, one, self.flag_input, self.read_hidden).inputs[0]
        policy_H = self.policy.weight[0].float().numpy()
        return tuple(tables), flag, policy_H, np.float32(self.policy.bias.item())
