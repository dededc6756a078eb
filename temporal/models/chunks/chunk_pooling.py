"""How the chunks read so far become one answer.

Every pooling is a recurrence: a state for each document, which `start` makes and calling the
pooling with a chunk's evidence moves on, returning what the answer would be now. So a reader keeps
one row for each document however many chunks it reads, and an answer is there after each.

B documents, E exits of a chunk's encoder, D width of what an exit sees, H hidden width, S state
size, K classes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization as init


class Evidence(NamedTuple):
    """What is known of one chunk of each document."""

    logits_BK: Tensor
    """What the exit said that answered for the chunk."""
    seen_BD: Tensor
    """What that exit saw."""
    exit_B: Tensor
    """Its number, int64."""
    skim_BK: Tensor
    """What skimming found in the chunk: its tokens' share of the skim's logits; else zeros."""


class MeanPooling(nn.Module):
    """The running mean of probabilities, which needs no training.

    Without classes to choose one from (a regression, several labels at a time) outputs are
    averaged as they are. What the skim said counts as one more chunk. The state is the number of
    votes and their sum; a vote that is the only one is the answer itself.
    """

    def __init__(self, num_labels: int, *, one_answer: bool = True) -> None:
        super().__init__()
        self.num_labels, self.one_answer = num_labels, one_answer

    def start(self, skim_BK: Tensor | None, num_documents: int) -> Tensor:
        """The state `[B, S]` before the first chunk."""
        state_BS = torch.zeros(num_documents, 1 + self.num_labels)
        return state_BS if skim_BK is None else self.vote(state_BS.to(skim_BK), skim_BK)[0]

    def forward(self, state_BS: Tensor, evidence: Evidence) -> tuple[Tensor, Tensor]:
        """Returns the new state `[B, S]` and logits `[B, K]`."""
        return self.vote(state_BS, evidence.logits_BK)

    def vote(self, state_BS: Tensor, logits_BK: Tensor) -> tuple[Tensor, Tensor]:
        """The same, for logits alone."""
        vote_BK = logits_BK.softmax(-1) if self.one_answer else logits_BK
        state_BS = state_BS + F.pad(vote_BK, (1, 0), value=1.0)
        votes_B1, sum_BK = state_BS[:, :1], state_BS[:, 1:]
        mean_BK = sum_BK / votes_B1
        if self.one_answer:
            mean_BK = mean_BK.clamp(min=1e-12).log()
        return state_BS, torch.where(votes_B1 == 1, logits_BK, mean_BK)


class LearnedPooling(nn.Module):
    """The weight of all evidence, corrected by a memory of what the exits saw.

    The answer is `a n^(-p) sum_c s_e(c) logits_c + b skim + W memory`, over the n chunks c so far:
    evidence of independent chunks would add up (p = 0), that of one chunk said n times would not
    (p = 1), and the exits' scales s, the power p and the weights a and b are learned. W starts at
    zero, so training begins from there.

    Args:
        memory: `"recurrent"`, a GRU over the chunks, or `"attention"`, a weighted mean of them
            (Yang et al., "Hierarchical Attention Networks", NAACL 2016, equations 5 to 7).
        num_exits: E.
        seen_size: D.
        hidden_size: H.
        num_labels: K.
        dropout: in training, of what the exits saw and of the memory.
    """

    def __init__(
        self,
        memory: str,
        num_exits: int,
        seen_size: int,
        hidden_size: int,
        num_labels: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.memory, self.num_labels, self.hidden_size = memory, num_labels, hidden_size
        self.scales = nn.Parameter(torch.ones(num_exits))
        self.power = nn.Parameter(torch.tensor(0.5))
        self.read_weight = nn.Parameter(torch.tensor(0.5))
        self.skim_weight = nn.Parameter(torch.tensor(0.5))
        # What exits see lies in spaces of their own, so each has its own way to a common one.
        self.project = nn.Parameter(torch.empty(num_exits, hidden_size, seen_size))
        self.project_bias = nn.Parameter(torch.empty(num_exits, hidden_size))
        inputs = hidden_size + 3 * num_labels
        if memory == "recurrent":
            self.cell = nn.GRUCell(inputs, hidden_size)
        else:
            self.encode = nn.Linear(inputs, hidden_size)
            self.relevance = nn.Linear(hidden_size, 1)
        self.dropout = nn.Dropout(dropout)
        self.correct = nn.Linear(hidden_size, num_labels)
        self.reset()

    def reset(self) -> None:
        """Initialise what this module itself holds and its layers."""
        init.ones_(self.scales)
        for weight in (self.power, self.read_weight, self.skim_weight):
            init.constant_(weight, 0.5)
        init.normal_(self.project, std=1 / math.sqrt(self.project.shape[-1]))
        init.zeros_(self.project_bias)
        layers = [self.cell] if self.memory == "recurrent" else [self.encode, self.relevance]
        for layer in layers:
            for parameter in layer.parameters():
                bound = 1 / math.sqrt(self.hidden_size)  # torch's own for a GRU
                init.uniform_(parameter, -bound, bound)
        init.zeros_(self.correct.weight)
        init.zeros_(self.correct.bias)

    def start(self, skim_BK: Tensor | None, num_documents: int) -> Tensor:
        """The state `[B, S]` before the first chunk: votes, their sum, the skim, the memory."""
        weight = self.correct.weight
        size = self.hidden_size + (self.memory == "attention")
        if skim_BK is None:
            skim_BK = weight.new_zeros(num_documents, self.num_labels)
        skim_BK = skim_BK - skim_BK.mean(-1, keepdim=True)
        votes_and_sum = weight.new_zeros(num_documents, 1 + self.num_labels)
        return torch.cat([votes_and_sum, skim_BK, weight.new_zeros(num_documents, size)], -1)

    def forward(self, state_BS: Tensor, evidence: Evidence) -> tuple[Tensor, Tensor]:
        """Returns the new state `[B, S]` and logits `[B, K]`."""
        sizes = [1, self.num_labels, self.num_labels]
        votes_B1, sum_BK, skim_BK, memory_BS = state_BS.split(
            [*sizes, state_BS.shape[1] - sum(sizes)], -1
        )
        logits_BK = evidence.logits_BK - evidence.logits_BK.mean(-1, keepdim=True)
        votes_B1 = votes_B1 + 1
        sum_BK = sum_BK + self.scales[evidence.exit_B, None] * logits_BK
        seen_BD1 = self.dropout(evidence.seen_BD)[..., None]
        seen_BH = (self.project[evidence.exit_B] @ seen_BD1).squeeze(-1)
        seen_BH = (seen_BH + self.project_bias[evidence.exit_B]).tanh()
        here_BK = evidence.skim_BK - evidence.skim_BK.mean(-1, keepdim=True)
        inputs = torch.cat([seen_BH, logits_BK, here_BK, skim_BK], -1)
        if self.memory == "recurrent":
            memory_BS = code_BH = self.cell(inputs, memory_BS)
        else:
            code_BH = self.encode(inputs).tanh()
            # Bounded as the code is, so that sums of exponentials need no running maximum.
            weight_B1 = self.relevance(code_BH).exp()
            memory_BS = memory_BS + torch.cat([weight_B1 * code_BH, weight_B1], -1)
            code_BH = memory_BS[:, :-1] / memory_BS[:, -1:]
        answer_BK = (
            self.read_weight * sum_BK / votes_B1**self.power
            + self.skim_weight * skim_BK
            + self.correct(self.dropout(code_BH))
        )
        return torch.cat([votes_B1, sum_BK, skim_BK, memory_BS], -1), answer_BK


POOLINGS = ("mean", "recurrent", "attention")
