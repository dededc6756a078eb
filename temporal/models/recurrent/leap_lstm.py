"""Leap-LSTM: skips a word after a look at it, at what was read, and at what follows.

Huang, Shen & Deng, "Leap-LSTM: Enhancing Long Short-Term Memory for Text Categorization" (IJCAI
2019, arXiv 1905.11558).

B sources, T tokens, D embedding width, H state size, R size of the backward cell, C convolution
outputs, P policy units, K classes.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers import initialization as init

from ...checks import check_range
from ...handle import Handle
from ...kernels import NUM_GATES, dense_states, read_cell
from ...kernels.leap_lstm import leap_sequences
from ...kernels.steps import CELL_CODES
from ...kernels.tables import cell_tables, table, whole_vectors
from ...policies.estimators import target_loss
from ...policies.skip import READ, hard_decision, read_logit, read_over_skim, relaxed_decision
from ...stage import Stage
from .configuration import RecurrentConfig
from .kernel_runs import run_kernel
from .parts import make_answer, make_cell, make_kernel
from .readers import (
    RecurrentReader,
    first_state,
    init_recurrent_weights,
    plain_states,
    pool_densely,
    read_cohort,
)


class LeapLSTMConfig(RecurrentConfig):
    """Sizes and policy of a `LeapLSTM`.

    What looks ahead is smaller than in the paper: it runs for every token, and must cost less than
    skipping saves.
    """

    model_type = "leap_lstm"
    policy_fields = ("read_threshold",)

    backward_size: int = 10
    """R, of the cell that reads what follows from the end (the paper: 20)."""
    num_filters: int = 5
    """Of each width, over the words that follow (the paper: 60)."""
    filter_widths: list[int] | None = None
    """Words that a filter sees; default: 3, 4 and 5, as in the paper. C is all filters."""
    policy_size: int = 16
    """P, units between what is known and the decision (the paper: 200)."""
    read_threshold: float = 0.5
    """Read where p(read) exceeds this: lower reads more. May be changed after training. At 0 every
    token is read, and the model is a plain LSTM or GRU."""
    temperature: float = 0.1
    """Of the Gumbel-softmax in training, constant."""
    target_skip_rate: float = 0.6
    """Share of tokens that training is to skip."""
    skip_rate_loss_weight: float = 1.0
    """lambda: what the squared distance from the target adds to the loss."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        self.filter_widths = sorted(self.filter_widths or (3, 4, 5), reverse=True)
        check_range("target_skip_rate", self.target_skip_rate, 0.0, 1.0)


class LeapLSTM(RecurrentReader, PreTrainedModel):
    """Decides on each token before it reads it, knowing the words that follow.

    "Leap-LSTM", Huang et al., IJCAI 2019, arXiv 1905.11558.

    What follows a token is summed up by filters over the next words and by a small cell that reads
    the document from its end; both are computed for all tokens of a document before it is read, by
    the same kernel, and their cost counts. A skipped token leaves the state as it is.

    `forward` trains it with Gumbel-softmax samples, which at the temperature of 0.1 are nearly
    hard. With gradients off it reads on a CPU by a compiled kernel; elsewhere it computes every
    token and keeps what was decided, as in eval mode with gradients on: a step of one small cell
    costs a GPU the same for few rows and for many, so lock-step would gain nothing.
    """

    config_class = LeapLSTMConfig
    base_model_prefix = "leap_lstm"

    def __init__(self, config: LeapLSTMConfig) -> None:
        super().__init__(config)
        width, size, gates = config.embedding_size, config.hidden_size, NUM_GATES[config.cell]
        back, widths = config.backward_size, config.filter_widths or ()
        num_outputs = config.num_filters * len(widths)
        make_cell(self)
        self.backward_input = nn.Linear(width, gates * back)
        self.backward_hidden = nn.Linear(back, gates * back, bias=False)
        self.filters = nn.ModuleList(nn.Conv1d(width, config.num_filters, w) for w in widths)
        self.look = nn.Linear(width + back + num_outputs + size, config.policy_size)
        self.policy = nn.Linear(config.policy_size, 2)
        make_answer(self)
        make_kernel(self)
        self.dense = Stage(partial(pool_densely, self, self._dense), name="dense", pad=True)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        init_recurrent_weights(module, self.config.cell, (self.read_input, self.backward_input))
        if isinstance(module, nn.Conv1d) and module.bias is not None:
            init.xavier_uniform_(module.weight)
            init.zeros_(module.bias)

    def _dense(self, x_BTD: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        config = self.config
        if config.read_threshold == 0:
            return plain_states(self, x_BTD)
        known_BTP = self._look_ahead(x_BTD, mask_BT)
        hidden_share = self.look.weight[:, -config.hidden_size :]
        exists_BT1 = mask_BT.bool()[..., None]
        state = first_state(self, len(x_BTD))
        states, reads = [], []
        for gates, known_BP, exists_B1 in zip(
            self.read_input(x_BTD).unbind(1), known_BTP.unbind(1), exists_BT1.unbind(1), strict=True
        ):
            logits_B2 = self.policy((known_BP + state[0] @ hidden_share.T).relu())
            if self.training:
                read_B1 = relaxed_decision(logits_B2, config.temperature)[:, READ, None]
            else:
                read_B1 = hard_decision(logits_B2, config.read_threshold)[:, None].to(x_BTD)
            new = read_cell(config.cell, gates, state, self.read_hidden.weight)
            state = tuple(
                torch.lerp(old, part, read_B1 * exists_B1)
                for old, part in zip(state, new, strict=True)
            )
            states.append(state[0])
            reads.append(read_B1[:, 0])
        read_BT = torch.stack(reads, 1)
        rate_loss = target_loss(1 - read_BT, mask_BT, config.target_skip_rate)
        return torch.stack(states, 1), read_BT, config.skip_rate_loss_weight * rate_loss

    def _look_ahead(self, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        """All of the policy's first layer that does not depend on the state: `[B, T, P]`."""
        x_BTD = x_BTD * mask_BT[..., None]  # past the end, nothing follows
        lengths_B1 = mask_BT.sum(1, keepdim=True)
        positions_T = torch.arange(x_BTD.shape[1]).to(mask_BT)
        # a b c 0 0  ->  c b a 0 0, and back by the same places.
        turned_BT1 = torch.where(mask_BT > 0, lengths_B1 - 1 - positions_T, positions_T)[..., None]
        weights = self.backward_input.weight, self.backward_input.bias, self.backward_hidden.weight
        x_turned_BTD = x_BTD.gather(1, turned_BT1.expand_as(x_BTD))
        back_BTR = dense_states(self.config.cell, x_turned_BTD, *weights)
        back_BTR = back_BTR.gather(1, turned_BT1.expand_as(back_BTR)) * mask_BT[..., None]
        next_BDT = F.pad(x_BTD, [0, 0, 0, 1])[:, 1:].transpose(1, 2)
        layers: list[Any] = list(self.filters)
        outputs = [layer(F.pad(next_BDT, [0, layer.kernel_size[0] - 1])).relu() for layer in layers]
        follow = [F.pad(back_BTR, [0, 0, 0, 1])[:, 1:], torch.cat(outputs, 1).transpose(1, 2)]
        weight = self.look.weight[:, : -self.config.hidden_size]
        return F.linear(torch.cat([x_BTD, *follow], -1), weight, self.look.bias)

    # Inference -----------------------------------------------------------------------------------

    async def read(self, documents: list[Handle]) -> list[Tensor]:
        """Read a cohort of documents, of each the tokens that are worth it.

        Returns:
            Logits `[K]` for each document.
        """
        return await read_cohort(self, documents, self.dense)

    def _run(self, ids_BT: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        config = self.config
        sizes = config.backward_size, config.num_filters * len(self.filters), config.policy_size
        settings = (*self.tables.get(self, self._make_tables), sizes)
        threshold = np.float32(read_logit(config.read_threshold))
        code = CELL_CODES[config.cell]
        return run_kernel(self, leap_sequences, ids_BT, lengths_B, code, *settings, threshold)

    @torch.no_grad()
    def _make_tables(self) -> tuple[Any, ...]:
        cell, words_VD = self.config.cell, self.embedding.weight
        layers: list[Any] = list(self.filters)
        offsets = max(layer.kernel_size[0] for layer in layers)
        # [C, D, offsets], where narrow filters see nothing at the last offsets.
        filters = [F.pad(f.weight, [0, offsets - f.kernel_size[0]]) for f in layers]
        by_offset = torch.einsum("vd,cdo->voc", words_VD, torch.cat(filters))
        filter_bias = torch.cat([layer.bias for layer in layers])
        width, back = self.config.embedding_size, self.config.backward_size
        parts = [width, back, len(filter_bias), self.config.hidden_size]
        of_word, of_back, of_filters, of_hidden = self.look.weight.split(parts, 1)
        words = F.linear(words_VD, of_word, self.look.bias)
        follow = torch.cat([of_back.T, whole_vectors(of_filters).T])
        second, bias = read_over_skim(self.policy)
        looks = tuple(table(part) for part in (words, follow, of_hidden.T, second))
        return (
            tuple(cell_tables(cell, words_VD, self.read_input, self.read_hidden)),
            tuple(cell_tables(cell, words_VD, self.backward_input, self.backward_hidden)),
            (table(by_offset), table(filter_bias)),
            (*looks, np.float32(bias.item())),
        )
