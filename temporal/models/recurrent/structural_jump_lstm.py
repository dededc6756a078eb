"""Structural-Jump-LSTM: words are skipped one by one, clauses and sentences in one jump.

Hansen, Hansen, Alstrup, Simonsen & Lioma, "Neural Speed Reading with Structural-Jump-LSTM"
(ICLR 2019, arXiv 1904.00761).

B sources, T tokens, D embedding width, H state size, K classes, P features of an agent, n rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init

from ...checks import check_range
from ...kernels import NUM_GATES, read_cell
from ...kernels.steps import CELL_CODES
from ...kernels.structural_jump import structural_jump_sequences
from ...kernels.tables import cell_tables, layer_tables, table
from ...policies.reinforce import right_or_likely
from ...policies.skip import read_logit
from .configuration import RecurrentConfig
from .kernel_runs import run_kernel
from .parts import make_answer, make_cell, make_kernel
from .punctuation import (
    CLAUSE,
    CLAUSE_ENDS,
    SENTENCE,
    SENTENCE_ENDS,
    after_next,
    token_ids,
    token_kinds,
)
from .readers import (
    RunningPool,
    first_state,
    init_recurrent_weights,
)
from .walks import Decisions, Walk, WalkReader

READ = 0  # of the skip agent. Its other action skips; the jump agent's first goes on by a word.


class StructuralJumpLSTMConfig(RecurrentConfig):
    """Sizes and policy of a `StructuralJumpLSTM`."""

    model_type = "structural_jump_lstm"
    policy_fields = ("read_threshold",)

    clause_token_ids: list[int] = ()  # type: ignore[assignment]  # a tuple cannot be shared by mistake
    """Tokens that end a clause (the next one begins after it): `, ; :`."""
    sentence_token_ids: list[int] = ()  # type: ignore[assignment]
    """Tokens that end a sentence, and with it a clause: `. ! ?`."""
    agent_size: int = 25
    """P, hidden units of the skip agent and of the jump agent."""
    read_threshold: float = 0.5
    """Read a word where p(read) exceeds this, and then go on to the next word rather than jump
    where the next word's lead says so as clearly; 0.5 takes the likeliest actions. Lower reads
    more, and at 0 everything is read, as by a plain LSTM or GRU. May be changed after training."""
    reading_cost: float = 0.1
    """What reading a whole text takes off the reward, which is 1 for a right answer."""
    skip_cost: float = 0.5
    """What skipping a word costs against reading it: below 1 it pays to skip, above 0 to jump."""
    policy_weight: float = 0.1
    """Of the policy gradient in the loss."""
    entropy_weight: float = 0.01
    """Reward for undecided agents, in nats, so that they go on exploring."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        check_range("agent_size", self.agent_size, 1, 1024)

    def set_punctuation(self, tokenizer: Any) -> None:
        """Find the punctuation marks in a tokenizer's vocabulary. To be called before training."""
        self.clause_token_ids = token_ids(tokenizer, CLAUSE_ENDS)
        self.sentence_token_ids = token_ids(tokenizer, SENTENCE_ENDS)


class StructuralJumpLSTM(WalkReader, PreTrainedModel):
    """Looks at a word and reads or skips it; after a read word it may jump to a boundary.

    "Neural Speed Reading with Structural-Jump-LSTM", Hansen et al., arXiv 1904.00761.

    Two agents with one hidden layer each: the skip agent sees the word and the state before it, the
    jump agent the state after it. A jump goes to the word after the next end of a clause or of a
    sentence, or to the end of the text; what lies between is never touched. The first word is
    always read. (In the paper the previous actions are also an input of the LSTM. Here they are
    not, so that the weights of a plain LSTM fit.)

    `forward` trains it on sampled actions as actor and critics: cross-entropy, the policy gradient,
    and the squared error of each agent's value. The reward is 1 for a right answer, else the
    probability of the right one, less what was spent on words. In eval mode the likeliest actions
    are taken. All documents move in lock-step, each at its own place, and only what is read is
    computed; with gradients off, a CPU runs a compiled kernel instead.
    """

    config_class = StructuralJumpLSTMConfig
    base_model_prefix = "structural_jump_lstm"

    def __init__(self, config: StructuralJumpLSTMConfig) -> None:
        super().__init__(config)
        width, size = config.embedding_size, config.hidden_size
        make_cell(self)
        self.skip_input = nn.Linear(width, config.agent_size)
        self.skip_hidden = nn.Linear(size, config.agent_size, bias=False)
        self.skip_policy = nn.Linear(config.agent_size, 2)
        self.skip_value = nn.Linear(config.agent_size, 1)
        self.jump_hidden = nn.Linear(size, config.agent_size)
        self.jump_policy = nn.Linear(config.agent_size, 4)
        self.jump_value = nn.Linear(config.agent_size, 1)
        make_answer(self)
        make_kernel(self)
        self.post_init()

    def learn_tokens(self, tokenizer: Any) -> None:
        """Find the punctuation marks."""
        self.config.set_punctuation(tokenizer)

    def _init_weights(self, module: nn.Module) -> None:
        init_recurrent_weights(module, self.config.cell, (self.read_input,))
        # At first nearly everything is read: from there, the agents learn what they can do without.
        for policy, bias in ((self.skip_policy, 3.0), (self.jump_policy, 7.0)):
            if module is policy:
                init.copy_(policy.bias, torch.eye(len(policy.bias))[0] * bias)

    def walk(self, ids_BT: Tensor, lengths_B: Tensor) -> Walk:
        """Read a batch in lock-step, a word of each row at a time; see `walks`."""
        config, device = self.config, ids_BT.device
        decisions = Decisions(sampled=self.training)
        targets_BT4 = self._jump_targets(ids_BT, lengths_B)
        rows_n, at_n = torch.arange(len(ids_BT), device=device), torch.zeros_like(lengths_B)
        state = first_state(self, len(ids_BT))
        pool = RunningPool(config.pooling, state[0])
        marks_BT = torch.zeros_like(ids_BT, dtype=torch.int32)
        spent_B = torch.zeros(len(ids_BT), device=device)
        read_B, looks_B, states_B = (torch.zeros_like(lengths_B) for _ in range(3))
        price_B = config.reading_cost / lengths_B
        reads_n = torch.ones_like(rows_n, dtype=torch.bool)  # the first word of each
        while len(rows_n):
            x_nD = self.dropout(self.embedding(ids_BT[rows_n, at_n]))
            if read_B.any():
                states_B[rows_n] += reads_n  # each state's share of the features is needed once
                looks_B[rows_n] += 1
                features_nP = (self.skip_input(x_nD) + self.skip_hidden(state[0])).relu()
                logits_n2 = self._leaning(self.skip_policy(features_nP))
                action_n = decisions.take(
                    rows_n, logits_n2, features_nP, self.skip_value, spent_B[rows_n]
                )
                reads_n = action_n == READ
            marks_BT[rows_n, at_n] = -1
            spent_B[rows_n] += price_B[rows_n] * torch.where(reads_n, 1.0, config.skip_cost)
            next_n = at_n + 1
            chosen_m = reads_n.nonzero().squeeze(1)
            if len(chosen_m):
                rows_m, at_m = rows_n[chosen_m], at_n[chosen_m]
                gates = self.read_input(x_nD[chosen_m])
                old = tuple(part[chosen_m] for part in state)
                new = read_cell(config.cell, gates, old, self.read_hidden.weight)
                state = tuple(
                    part.index_copy(0, chosen_m, rows_of_part)
                    for part, rows_of_part in zip(state, new, strict=True)
                )
                pool.add(rows_m, new[0], torch.ones_like(rows_m))
                read_B[rows_m] += 1
                marks_BT[rows_m, at_m] = read_B[rows_m].int()
                features_mP = self.jump_hidden(new[0]).relu()
                logits_m4 = self._leaning(self.jump_policy(features_mP))
                action_m = decisions.take(
                    rows_m, logits_m4, features_mP, self.jump_value, spent_B[rows_m]
                )
                next_n[chosen_m] = targets_BT4[rows_m, at_m, action_m]
            on_n = next_n < lengths_B[rows_n]
            rows_n, at_n, reads_n = rows_n[on_n], next_n[on_n], reads_n[on_n]
            state = tuple(part[on_n] for part in state)
        size, width, features = config.hidden_size, config.embedding_size, config.agent_size
        read_macs = NUM_GATES[config.cell] * size * (size + width) + (size + 4) * features
        look_macs = (width + 2) * features
        return Walk(
            pooled_BH=pool.result(read_B),
            marks_BT=marks_BT,
            macs_B=read_B * read_macs + looks_B * look_macs + states_B * size * features,
            decisions=decisions,
            cost_B=spent_B,
        )

    def _jump_targets(self, ids_BT: Tensor, lengths_B: Tensor) -> Tensor:
        """Where each action of the jump agent leads from each word: int64 `[B, T, 4]`."""
        kinds_BT = torch.from_numpy(self._kinds()).to(ids_BT.device)[ids_BT]
        after_BT = torch.arange(1, ids_BT.shape[1] + 1, device=ids_BT.device).expand_as(ids_BT)
        clauses_BT = after_next(kinds_BT >= CLAUSE, lengths_B)
        sentences_BT = after_next(kinds_BT >= SENTENCE, lengths_B)
        ends_BT = lengths_B[:, None].expand_as(ids_BT)
        return torch.stack([after_BT, clauses_BT, sentences_BT, ends_BT], -1)

    def _kinds(self) -> NDArray[np.int8]:
        config = self.config
        return token_kinds(
            config.vocab_size, clause=config.clause_token_ids, sentence=config.sentence_token_ids
        )

    def _leaning(self, logits_nA: Tensor) -> Tensor:
        """Logits after the read threshold: the first action reads more than the others do."""
        if self.training:
            return logits_nA
        first_n1 = logits_nA[:, :1] - read_logit(self.config.read_threshold)
        return torch.cat([first_n1, logits_nA[:, 1:]], 1)

    def reward(self, logits_BK: Tensor, labels_B: Tensor) -> Tensor:
        """Of an answer, `[B]`."""
        return right_or_likely(logits_BK, labels_B)

    # Inference -----------------------------------------------------------------------------------

    def _run_kernel(self, ids_BT: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return run_kernel(
            self,
            structural_jump_sequences,
            ids_BT,
            lengths_B,
            CELL_CODES[self.config.cell],
            *self.tables.get(self, self._make_tables),
            self.config.agent_size,
            self._kinds(),
            np.float32(read_logit(self.config.read_threshold)),
            marks=np.int32,
        )

    @torch.no_grad()
    def _make_tables(self) -> tuple[Any, ...]:
        words = self.embedding.weight
        tables = cell_tables(self.config.cell, words, self.read_input, self.read_hidden)
        # The skip agent needs one logit: how much more there is to say for reading.
        read_P, skip_P = self.skip_policy.weight
        read_bias, skip_bias = self.skip_policy.bias.tolist()
        skip_agent = (
            table(self.skip_input(words)),
            table(self.skip_hidden.weight.T),
            table(read_P - skip_P),
            np.float32(read_bias - skip_bias),
        )
        jump_agent = (
            *layer_tables(self.jump_hidden),
            table(self.jump_policy.weight),
            self.jump_policy.bias.float().numpy(),
        )
        return tuple(tables), skip_agent, jump_agent
