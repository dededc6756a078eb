"""Skip RNN: every state says how far it is to the next token that is worth reading.

Campos, Jou, Giro-i-Nieto, Torres & Chang, "Skip RNN: Learning to Skip State Updates in Recurrent
Neural Networks" (ICLR 2018, arXiv 1708.06834).

B sources, T tokens, D embedding width, H state size, K classes, n rows of a stage.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init

from ...handle import Handle
from ...kernels import read_cell
from ...kernels.skip_rnn import skip_sequences
from ...kernels.steps import CELL_CODES
from ...kernels.tables import cell_tables
from ...policies.estimators import straight_through_step
from ...policies.skip import accumulate_update, tokens_to_next_read
from ...stage import Stage
from .configuration import RecurrentConfig
from .kernel_runs import run_kernel
from .parts import make_answer, make_cell, make_kernel
from .readers import (
    RecurrentReader,
    RunningPool,
    first_state,
    init_recurrent_weights,
    plain_states,
    read_cohort,
)


class SkipRNNConfig(RecurrentConfig):
    """Sizes and policy of a `SkipRNN`."""

    model_type = "skip_rnn"
    policy_fields = ("read_threshold",)

    read_threshold: float = 0.5
    """Read where the increments since the last read add up to this. The paper rounds, which is
    0.5; after training, more skips further and less reads more. At 0 every token is read, and the
    model is a plain LSTM or GRU (to train before skipping, or to compare with)."""
    update_loss_weight: float = 1e-4
    """lambda of equation 11: what each token that is read adds to the loss."""


class SkipRNN(RecurrentReader, PreTrainedModel):
    """Reads a token, then jumps to the next one that its state asks for.

    "Skip RNN", Campos et al., ICLR 2018, arXiv 1708.06834.

    Each state (of an LSTM, its cell) has an increment; these add up over the tokens, and the token
    at which they reach the threshold is read. As a state does not change while tokens are skipped,
    the jump is known in advance, and no token in between is touched: not even looked up.

    `forward` trains it on hard decisions with straight-through gradients. With gradients off it
    reads as `read` does: on a CPU by a compiled kernel, elsewhere in lock-step, the next read of
    every document at a time. In eval mode with gradients on it updates and discards at every token,
    which is the dense reference.
    """

    config_class = SkipRNNConfig
    base_model_prefix = "skip_rnn"

    def __init__(self, config: SkipRNNConfig) -> None:
        super().__init__(config)
        make_cell(self)
        self.policy = nn.Linear(config.hidden_size, 1)
        make_answer(self)
        make_kernel(self)
        self.read_stage = Stage(self._read, name="read")
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        init_recurrent_weights(module, self.config.cell, (self.read_input,))
        if module is self.policy:
            init.ones_(module.bias)  # section 4: at first, nearly every token is read

    def _dense(self, x_BTD: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        cell, threshold = self.config.cell, self.config.read_threshold
        if threshold == 0:
            return plain_states(self, x_BTD)
        state = first_state(self, len(x_BTD))
        due_B = x_BTD.new_ones(len(x_BTD))  # the first token is always read
        states, reads = [], []
        for gates, exists_B in zip(
            self.read_input(x_BTD).unbind(1), mask_BT.unbind(1), strict=True
        ):
            read_B = straight_through_step(due_B, threshold) * exists_B
            new = read_cell(cell, gates, state, self.read_hidden.weight)
            state = tuple(
                torch.lerp(old, part, read_B[:, None]) for old, part in zip(state, new, strict=True)
            )
            due_B = accumulate_update(due_B, read_B, self._increment(state))
            states.append(state[0])
            reads.append(read_B)
        read_BT = torch.stack(reads, 1)
        penalty = self.config.update_loss_weight * read_BT.sum(1).mean()
        return torch.stack(states, 1), read_BT, penalty

    def _increment(self, state: tuple[Tensor, ...]) -> Tensor:
        """What each token adds after this state, `[n]` in (0, 1) (equation 3)."""
        return self.policy(state[-1]).squeeze(-1).sigmoid()  # an LSTM's cell, a GRU's state

    # Inference -----------------------------------------------------------------------------------

    async def read(self, documents: list[Handle]) -> list[Tensor]:
        """Read a cohort of documents, each from one token that it reads to the next.

        Returns:
            Logits `[K]` for each document.
        """
        return await read_cohort(self, documents, self._read_in_lockstep, looks_at_all=False)

    def _run(self, ids_BT: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        settings = self.tables.get(self, self._make_tables)
        threshold = np.float32(self.config.read_threshold)
        code = CELL_CODES[self.config.cell]
        return run_kernel(self, skip_sequences, ids_BT, lengths_B, code, *settings, threshold)

    def _make_tables(self) -> tuple[Any, ...]:
        tables = cell_tables(
            self.config.cell, self.embedding.weight, self.read_input, self.read_hidden
        )
        policy_H = self.policy.weight.detach()[0].float().numpy()
        return tuple(tables), policy_H, np.float32(self.policy.bias.item())

    def _read(self, ids_n: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Read a token: how far to jump after it, `[n]`, and the new state."""
        gates = self.read_input(self.embedding(ids_n))
        state = read_cell(self.config.cell, gates, state, self.read_hidden.weight)
        return tokens_to_next_read(self._increment(state), self.config.read_threshold), *state

    async def _read_in_lockstep(self, ids_BT: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        """The next token that each document reads, of all documents at a time."""
        ids_BT, lengths_B = ids_BT.to(self.device), lengths_B.to(self.device)
        state = first_state(self, len(ids_BT))
        pool = RunningPool(self.config.pooling, state[0])
        read_BT = torch.zeros_like(ids_BT, dtype=torch.bool)
        rows_n, at_n = torch.arange(len(ids_BT), device=self.device), torch.zeros_like(lengths_B)
        while len(rows_n):
            read_BT[rows_n, at_n] = True
            jump_n, *state = await self.read_stage(
                ids_BT[rows_n, at_n], *state, rows=rows_n.tolist()
            )
            # A broken state's jump is NaN; it reads on and answers NaN.
            steps_n = torch.minimum(jump_n.nan_to_num(1.0, 1e9), lengths_B[rows_n] - at_n).long()
            pool.add(rows_n, state[0], steps_n)
            at_n = at_n + steps_n
            on_n = at_n < lengths_B[rows_n]
            rows_n, at_n = rows_n[on_n], at_n[on_n]
            state = tuple(part[on_n] for part in state)
        return pool.result(lengths_B), read_BT.cpu()
