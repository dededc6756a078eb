"""Skim-RNN: a big recurrent cell reads what matters, a small one skims the rest.

Seo, Min, Farhadi & Hajishirzi, "Neural Speed Reading via Skim-RNN" (ICLR 2018, arXiv 1711.02085).

B sources, T tokens, D embedding width, H state size, S skim size, K classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedConfig, PreTrainedModel

from ..handle import Handle
from ..kernels import NUM_GATES, State, dense_states, read_cell, skim_cell
from ..kernels.skim_rnn import skim_sequences
from ..kernels.steps import CELL_CODES, POOLING_CODES
from ..kernels.tables import TableCache, cell_tables, fits
from ..policies.skip import (
    READ,
    SKIM,
    annealed_temperature,
    hard_decision,
    read_logit,
    relaxed_decision,
    skim_loss,
)
from ..stage import Stage
from .checks import check_in, check_range, num_classes
from .reader import Reader
from .recurrent import (
    POOLINGS,
    RecurrentOutput,
    checked_rows,
    init_recurrent_weights,
    note_tokens,
    padded_ids,
    pool_states,
    run_sequences,
)


class SkimRNNConfig(PreTrainedConfig):
    """Sizes and policy of a `SkimRNN`."""

    model_type = "skim_rnn"

    vocab_size: int = 30522
    """Entries of the embedding table."""
    embedding_size: int = 100
    """D."""
    cell: str = "lstm"
    """`"lstm"` or `"gru"` (whose hidden bias is left out)."""
    hidden_size: int = 100
    """H, the state that reading updates."""
    skim_size: int = 10
    """S, the part of the state that skimming updates; 0 skips."""
    pooling: str = "last"
    """What the classifier sees: the last state (the paper), or the max or mean over all states."""
    read_threshold: float = 0.5
    """Read where p(read) exceeds this: lower reads more. May be changed after training. At 0 every
    token is read, and the model is a plain LSTM (to train before skimming, or to compare with)."""
    skim_loss_weight: float = 0.01
    """gamma of equation 5: how much skimming is worth."""
    straight_through: bool = False
    """Train on hard decisions (with the soft ones' gradients) instead of mixtures of both cells."""
    operating_points: list[dict] | None = None
    """Calibrated ways to run; see `temporal.models.operating_points`."""
    dropout: float = 0.0
    """On embeddings and on the pooled state, in training."""
    max_tokens: int = 4096
    """Longer documents are cut here."""
    pad_token_id: int = 0
    """The token that fills batches; its embedding is never used."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        check_in("cell", self.cell, NUM_GATES)
        check_in("pooling", self.pooling, POOLINGS)
        check_range("read_threshold", self.read_threshold, 0.0, 1.0)
        check_range("skim_size", self.skim_size, 0, self.hidden_size)


class SkimRNN(Reader, PreTrainedModel):
    """Reads a document token by token, each with the big or the small cell.

    `forward` trains it: both cells run and a Gumbel-softmax sample mixes them (equation 4). With
    gradients off it computes what it decides on and no more, as `read` does: on a CPU by a compiled
    kernel that takes every document on its own path, elsewhere in lock-step, one token of all
    documents at a time. In eval mode with gradients on it computes both cells and picks by the hard
    decision, which is the dense reference.
    """

    config_class = SkimRNNConfig
    base_model_prefix = "skim_rnn"
    _input_embed_layer = "embedding"  # where transformers finds the word embeddings
    unit = "token"
    reads_cohorts = True
    uses_kernels = True
    """False: read in lock-step on a CPU, too (to compare)."""

    def __init__(self, config: SkimRNNConfig) -> None:
        super().__init__(config)
        width, state, skim = config.embedding_size, config.hidden_size, config.skim_size
        gates = NUM_GATES[config.cell]
        self.embedding = nn.Embedding(config.vocab_size, width)
        self.policy = nn.Linear(width + state, 2)
        self.read_input = nn.Linear(width, gates * state)
        self.read_hidden = nn.Linear(state, gates * state, bias=False)
        self.skim_input = nn.Linear(width, gates * skim)
        self.skim_hidden = nn.Linear(state, gates * skim, bias=False)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(state, num_classes(config))
        self.training_step = 0  # of the temperature's schedule; set by the training script
        self.tables = TableCache()
        self.run = Stage(self._run, name="run", pad=True, counts_macs=True)
        self.look = Stage(self._look, name="look")
        self.read_stage = Stage(self._read, name="read")
        self.skim_stage = Stage(self._skim, name="skim")
        self.classify = Stage(self.classifier, name="classify")
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        init_recurrent_weights(module, self.config.cell, (self.read_input, self.skim_input))

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> RecurrentOutput:
        """Classify a batch.

        Args:
            input_ids: int64 `[B, T]`, padded at the end.
            attention_mask: `[B, T]`, 1 where a token exists; default: all exist.
            labels: int64 `[B]`.
        """
        mask_BT = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        skim = torch.zeros((), device=input_ids.device)
        if not self.training and not torch.is_grad_enabled() and self._kernels_apply():
            lengths_B = mask_BT.sum(1)
            pooled_BH, read_BT, _ = self._run(input_ids, lengths_B)
            share_B = read_BT.sum(1) / lengths_B
        else:
            x_BTD = self.dropout(self.embedding(input_ids))
            if self.config.read_threshold == 0:
                states_BTH = dense_states(self.config.cell, x_BTD, *self._read_weights())
                read_BT = torch.ones_like(mask_BT, dtype=x_BTD.dtype)
            else:
                states_BTH, logits_BT2, read_BT = self._mix_cells(x_BTD, mask_BT)
                skim = skim_loss(logits_BT2, mask_BT)
            pooled_BH = pool_states(states_BTH, mask_BT, self.config.pooling)
            share_B = (read_BT * mask_BT).sum(1) / mask_BT.sum(1)
        output_BK = self.classifier(self.dropout(pooled_BH))
        loss = None
        if labels is not None:
            loss = F.cross_entropy(output_BK, labels) + self.config.skim_loss_weight * skim
        return RecurrentOutput(loss=loss, logits=output_BK, read_share=share_B)

    def _read_weights(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.read_input.weight, self.read_input.bias, self.read_hidden.weight

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

        state = self._first_state(len(x_BTD))
        states, logits, reads = [], [], []
        for t in range(x_BTD.shape[1]):
            logits_B2 = policy_x[t] + state[0] @ policy_hidden_2H.T
            if self.training:
                choice_B2 = relaxed_decision(
                    logits_B2, temperature, straight_through=self.config.straight_through
                )
                read_B1 = choice_B2[:, READ, None]
            else:
                read_B1 = hard_decision(logits_B2, self.config.read_threshold)[:, None].to(x_BTD)
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

    def _first_state(self, num_rows: int) -> State:
        zeros = self.classifier.weight.new_zeros(num_rows, self.config.hidden_size)
        return (zeros, zeros.clone()) if self.config.cell == "lstm" else (zeros,)

    def set_policy(self, name: str, threshold: float | None) -> None:
        """Set the probability of reading above which a token is read: `set_policy("read", 0.6)`.

        Raises:
            ValueError: the name is not `"read"`, or the threshold is not in [0, 1].
        """
        check_in("policy", name, ("read",))
        if threshold is None:
            raise ValueError("policy 'read' needs a threshold in [0, 1], e.g. 'read:0.6'")
        check_range("threshold", threshold, 0.0, 1.0)
        self.config.read_threshold = threshold

    def dense_macs(self, units_total: int) -> int | None:
        """MACs of the plain recurrent network, which reads every token and decides nothing."""
        size, width = self.config.hidden_size, self.config.embedding_size
        per_token = NUM_GATES[self.config.cell] * size * (size + width)
        return per_token * units_total + size * num_classes(self.config)

    # Inference -----------------------------------------------------------------------------------

    async def read(self, documents: list[Handle]) -> list[Tensor]:
        """Read a cohort of documents, each token with the cell that it chose and no other.

        Returns:
            Logits `[K]` for each document.
        """
        limit = self.config.max_tokens
        ids_BT, lengths_B = await padded_ids(documents, limit)
        everyone = range(len(documents))
        if self._kernels_apply():
            pooled_BH, read_BT = await self.run(ids_BT, lengths_B, rows=everyone)
        else:
            pooled_BH, read_BT = await self._read_in_lockstep(ids_BT, lengths_B)
        logits_BK = await self.classify(pooled_BH, rows=everyone)
        for document, read_T, length in zip(documents, read_BT, lengths_B.tolist(), strict=True):
            note_tokens(document, read_T[:length], limit=limit)
        return checked_rows(logits_BK)

    def _kernels_apply(self) -> bool:
        on_cpu = self.uses_kernels and self.device.type == "cpu"
        return on_cpu and fits(self.config.vocab_size, self.config.hidden_size)

    def _run(self, ids_BT: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The compiled kernel: pooled states `[B, H]`, reads `[B, T]`, MACs `[B]`."""
        config = self.config
        big, small = self.tables.get(self, self._make_tables)
        pooled_BH = np.empty((len(ids_BT), config.hidden_size), np.float32)
        read_BT = np.zeros(ids_BT.shape, np.bool_)
        macs_B = np.empty(len(ids_BT), np.int64)
        run_sequences(
            skim_sequences,
            ids_BT,
            lengths_B,
            CELL_CODES[config.cell],
            config.skim_size,
            big,
            small,
            np.float32(read_logit(config.read_threshold)),
            POOLING_CODES[config.pooling],
            pooled_BH,
            read_BT.reshape(-1),
            macs_B,
        )
        pooled = torch.from_numpy(pooled_BH).to(self.dtype)
        return pooled, torch.from_numpy(read_BT), torch.from_numpy(macs_B)

    def _make_tables(self) -> tuple[Any, Any]:
        cell, words = self.config.cell, self.embedding.weight
        # A decision needs one logit: how much more there is to say for reading than for skimming.
        policy = self.policy.weight[READ] - self.policy.weight[SKIM]
        width = self.config.embedding_size
        bias = self.policy.bias[READ] - self.policy.bias[SKIM]
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

    def _read(self, ids_B: Tensor, *state: Tensor) -> State:
        gates = self.read_input(self.embedding(ids_B))
        return read_cell(self.config.cell, gates, state, self.read_hidden.weight)

    def _skim(self, ids_B: Tensor, *state: Tensor) -> State:
        gates = self.skim_input(self.embedding(ids_B))
        return skim_cell(self.config.cell, gates, state, self.skim_hidden.weight)

    async def _read_in_lockstep(self, ids_BT: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        """One token of all documents at a time; each row runs only the cell that it chose."""
        pooling = self.config.pooling
        # Longest first: the documents that still have a token are always the first rows.
        order_B = lengths_B.argsort(descending=True, stable=True)
        ids_BT = ids_BT[order_B].to(self.device)
        owners = order_B.tolist()
        state = self._first_state(len(owners))
        pooled_BH = torch.full_like(state[0], -torch.inf if pooling == "max" else 0.0)
        read_BT = torch.zeros(ids_BT.shape, dtype=torch.bool)
        for t in range(ids_BT.shape[1]):
            active = int((lengths_B > t).sum())
            reads_B = await self.look(ids_BT[:active, t], state[0][:active], rows=owners[:active])
            read_BT[:active, t] = reads_B.cpu()
            for cell, chosen_B in ((self.read_stage, reads_B), (self.skim_stage, ~reads_B)):
                rows = chosen_B.nonzero().squeeze(1)
                if not len(rows):
                    continue
                whose = [owners[row] for row in rows.tolist()]
                new = await cell(ids_BT[rows, t], *(part[rows] for part in state), rows=whose)
                for part, rows_of_part in zip(state, new, strict=True):
                    part[rows] = rows_of_part
            if pooling == "max":
                torch.maximum(pooled_BH[:active], state[0][:active], out=pooled_BH[:active])
            elif pooling == "mean":
                pooled_BH[:active] += state[0][:active]
        if pooling == "last":
            pooled_BH = state[0]
        elif pooling == "mean":
            pooled_BH /= lengths_B[order_B].to(pooled_BH)[:, None]
        back_B = order_B.argsort()
        return pooled_BH[back_B.to(self.device)], read_BT[back_B]
