"""LSTM-Jump: after some tokens, the state says how far to jump, or to stop.

Yu, Lee & Le, "Learning to Skim Text" (ACL 2017, arXiv 1704.06877).

B sources, T tokens, D embedding width, H state size, K classes, R tokens of a block, n rows.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ...checks import check_in, check_range
from ...kernels import NUM_GATES, read_block
from ...kernels.lstm_jump import jump_sequences
from ...kernels.steps import CELL_CODES
from ...kernels.tables import cell_tables, layer_tables
from ...policies.reinforce import right_or_wrong
from ..policy_space import PolicySpace
from .configuration import RecurrentConfig
from .kernel_runs import run_kernel
from .parts import make_answer, make_cell, make_kernel
from .readers import (
    RunningPool,
    first_state,
    pool_states,
)
from .walks import Decisions, Walk, WalkReader

_MOST = 1_000_000
_FEWEST = {"max_jumps": 0, "tokens_between_jumps": 1}
_BLOCKS, _JUMPS = (40, 20, 10, 5), (40, 20, 10, 5, 2)
"""Tokens between jumps, and jumps in a text, that are worth trying."""


class LSTMJumpConfig(RecurrentConfig):
    """Sizes and policy of an `LSTMJump`."""

    model_type = "lstm_jump"
    policy_fields = ("tokens_between_jumps", "max_jumps")

    tokens_between_jumps: int = 20
    """R, tokens read before each jump. May be changed after training. At `max_tokens` everything is
    read, and the model is a plain LSTM or GRU."""
    max_jump: int = 40
    """K, the farthest jump: 1 goes on with the next token, K leaves out K - 1."""
    max_jumps: int = 10
    """N, jumps in a text; what is read after the last ends the reading. May be changed after
    training."""
    policy_weight: float = 1.0
    """Of the policy gradient in the loss; 1 is the paper's."""
    entropy_weight: float = 0.0
    """Reward for an undecided policy, in nats, so that it goes on exploring; 0 is the paper's."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        check_range("max_jump", self.max_jump, 1, _MOST)
        for name, fewest in _FEWEST.items():
            check_range(name, getattr(self, name), fewest, _MOST)


class LSTMJump(WalkReader, PreTrainedModel):
    """Reads blocks of tokens and jumps between them; what it jumps over is never touched.

    "Learning to Skim Text", Yu et al., ACL 2017, arXiv 1704.06877.

    After each block a softmax over jumps of 0 (stop) to K tokens decides. The reading also ends
    with the text, and with the block after the N-th jump.

    `forward` trains it on sampled jumps: cross-entropy, the policy gradient of a reward of 1 for a
    right answer and -1 for a wrong one, and the squared error of a linear baseline. In eval mode
    the likeliest jump is taken. All documents move in lock-step, each at its own place, and only
    what is read is computed; with gradients off, a CPU runs a compiled kernel instead, which takes
    every document on its own path.
    """

    config_class = LSTMJumpConfig
    base_model_prefix = "lstm_jump"

    def __init__(self, config: LSTMJumpConfig) -> None:
        super().__init__(config)
        make_cell(self)
        num_actions = self.num_backward + 1 + config.max_jump
        self.policy = nn.Linear(config.hidden_size, num_actions)
        self.baseline = nn.Linear(config.hidden_size, 1)
        make_answer(self)
        make_kernel(self)
        self.post_init()

    @property
    def num_backward(self) -> int:
        """How many of the policy's actions go back; the next one stops, the others go forward."""
        return 0

    def walk(self, ids_BT: Tensor, lengths_B: Tensor) -> Walk:
        """Read a batch in lock-step, a block of each row at a time; see `walks`."""
        config, cell = self.config, self.config.cell
        weights = self.read_input.weight, self.read_input.bias, self.read_hidden.weight
        decisions = Decisions(sampled=self.training)
        rows_n = torch.arange(len(ids_BT), device=ids_BT.device)
        first_n = torch.zeros_like(lengths_B)
        state = first_state(self, len(ids_BT))
        pool = RunningPool(config.pooling, state[0])
        marks_BT = torch.zeros_like(ids_BT, dtype=torch.int32)
        num_read_B, num_jumps_B = torch.zeros_like(lengths_B), torch.zeros_like(lengths_B)
        for jump in range(config.max_jumps + 1):
            left_n = lengths_B[rows_n] - first_n
            block_R = torch.arange(
                min(config.tokens_between_jumps, int(left_n.max())), device=ids_BT.device
            )
            exists_nR = block_R < left_n[:, None]
            at_nR = (first_n[:, None] + block_R).clamp(max=ids_BT.shape[1] - 1)
            x_nRD = self.dropout(self.embedding(ids_BT[rows_n[:, None], at_nR]))
            states_nRH, state = read_block(cell, x_nRD, state, *weights)
            tokens_n = exists_nR.sum(1)
            pool.add(rows_n, pool_states(states_nRH, exists_nR, config.pooling), tokens_n)
            order_nR = num_read_B[rows_n, None] + block_R + 1
            whose_nR = rows_n[:, None].expand_as(at_nR)
            marks_BT[whose_nR[exists_nR], at_nR[exists_nR]] = order_nR[exists_nR].int()
            num_read_B[rows_n] += tokens_n

            on_n = left_n > len(block_R)
            if jump == config.max_jumps or not on_n.any():
                break
            rows_n, first_n = rows_n[on_n], first_n[on_n]
            state = tuple(part[on_n] for part in state)
            h_nH = state[0]
            action_n = decisions.take(rows_n, self.policy(h_nH), h_nH, self.baseline)
            num_jumps_B[rows_n] += 1
            step_n = action_n - self.num_backward
            # Forward from the block's last token, backward from its first.
            first_n = first_n + step_n + (step_n > 0) * (len(block_R) - 1)
            on_n = (step_n != 0) & (first_n >= 0) & (first_n < lengths_B[rows_n])
            if not on_n.any():
                break
            rows_n, first_n = rows_n[on_n], first_n[on_n]
            state = tuple(part[on_n] for part in state)
        size, width = config.hidden_size, config.embedding_size
        return Walk(
            pooled_BH=pool.result(num_read_B),
            marks_BT=marks_BT,
            macs_B=num_read_B * NUM_GATES[cell] * size * (size + width)
            + num_jumps_B * size * self.policy.out_features,
            decisions=decisions,
        )

    def reward(self, logits_BK: Tensor, labels_B: Tensor) -> Tensor:
        """Of an answer, `[B]`."""
        return right_or_wrong(logits_BK, labels_B)

    def set_policy(self, name: str, threshold: float | None) -> None:
        """Set how much is read: `set_policy("max_jumps", 5)` or `("tokens_between_jumps", 10)`.

        Raises:
            ValueError: the name is another, or the number is not a whole one in the range of the
                configuration's field.
        """
        check_in("policy", name, _FEWEST)
        if threshold is None or not float(threshold).is_integer():  # nor are NaN and infinity
            raise ValueError(f"policy ({name!r}) needs a whole number, e.g. '{name}:10'")
        check_range(name, threshold, _FEWEST[name], _MOST)
        setattr(self.config, name, int(threshold))

    def policy_space(self) -> PolicySpace:
        """Two fields that together say how much is left out, in no order."""
        pairs = [(self.config.max_tokens, 0), *itertools.product(_BLOCKS, _JUMPS)]
        full, *others = ({"tokens_between_jumps": n, "max_jumps": jumps} for n, jumps in pairs)
        return PolicySpace(full=full, cheaper=lambda _: others, ordered=False)

    # Inference -----------------------------------------------------------------------------------

    def _run_kernel(self, ids_BT: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        config = self.config
        return run_kernel(
            self,
            jump_sequences,
            ids_BT,
            lengths_B,
            CELL_CODES[config.cell],
            *self.tables.get(self, self._make_tables),
            self.policy.out_features,
            self.num_backward,
            config.tokens_between_jumps,
            config.max_jumps,
            marks=np.int32,
        )

    def _make_tables(self) -> tuple[Any, ...]:
        tables = cell_tables(
            self.config.cell, self.embedding.weight, self.read_input, self.read_hidden
        )
        return tuple(tables), layer_tables(self.policy)
