"""Skim-RNN: an LSTM that reads important tokens with a big cell and skims others with a small one.

Seo, Min, Farhadi & Hajishirzi, "Neural Speed Reading via Skim-RNN" (ICLR 2018, arXiv 1711.02085).

B sources, T tokens, D embedding width, H state size, S skim size, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput

from ..handle import Handle
from ..kernels import read_cell, skim_cell
from ..policies.skip import (
    READ,
    annealed_temperature,
    hard_decision,
    relaxed_decision,
    skim_loss,
)
from ..stage import Stage
from .checks import check_finite, check_in, check_range, num_classes
from .reader import Reader

POOLINGS = ("last", "max", "mean")


class SkimRNNConfig(PreTrainedConfig):
    """Sizes and policy of a `SkimRNN`."""

    model_type = "skim_rnn"

    vocab_size: int = 30522
    """Entries of the embedding table."""
    embedding_size: int = 100
    """D."""
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
    """Calibrated ways to run; see `temporal.models.halting`."""
    dropout: float = 0.0
    """On embeddings and on the pooled state, in training."""
    max_tokens: int = 4096
    """Longer documents are cut here."""
    pad_token_id: int = 0
    """The token that fills batches; its embedding is never used."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        check_in("pooling", self.pooling, POOLINGS)
        check_range("read_threshold", self.read_threshold, 0.0, 1.0)
        check_range("skim_size", self.skim_size, 0, self.hidden_size)


@dataclass
class SkimRNNOutput(ModelOutput):
    """What `SkimRNN.forward` returns."""

    loss: Tensor | None = None
    """Cross-entropy plus the weighted skim loss, a scalar; None without labels."""
    logits: Tensor | None = None
    """`[B, K]`."""
    read_share: Tensor | None = None
    """Tokens read in full over all tokens, expected in training and counted otherwise: `[B]`."""


class SkimRNN(Reader, PreTrainedModel):
    """Reads a document token by token, each with the big or the small cell.

    `forward` trains it: both cells run and a Gumbel-softmax sample mixes them (equation 4); in
    eval mode the mixture is the hard decision, which is the dense reference for `read`. `read`
    runs only the cell that the policy chose.
    """

    config_class = SkimRNNConfig
    base_model_prefix = "skim_rnn"
    _input_embed_layer = "embedding"  # where transformers finds the word embeddings
    unit = "token"
    reads_cohorts = True

    def __init__(self, config: SkimRNNConfig) -> None:
        super().__init__(config)
        width, state, skim = config.embedding_size, config.hidden_size, config.skim_size
        self.embedding = nn.Embedding(config.vocab_size, width)
        self.policy = nn.Linear(width + state, 2)
        self.read_input = nn.Linear(width, 4 * state)
        self.read_hidden = nn.Linear(state, 4 * state, bias=False)
        self.skim_input = nn.Linear(width, 4 * skim)
        self.skim_hidden = nn.Linear(state, 4 * skim, bias=False)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(state, num_classes(config))
        self.training_step = 0  # of the temperature's schedule; set by the training script
        self.look = Stage(self._look, name="look")
        self.read_stage = Stage(self._read, name="read")
        self.skim_stage = Stage(self._skim, name="skim")
        self.classify = Stage(self.classifier, name="classify")
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Embedding):
            init.normal_(module.weight, std=0.1)
        elif isinstance(module, nn.Linear):
            if module.weight.numel():
                init.xavier_uniform_(module.weight)
            if module.bias is not None:
                bias = torch.zeros_like(module.bias)
                if module is self.read_input or module is self.skim_input:
                    size = len(bias) // 4
                    bias[size : 2 * size] = 1.0  # the forget gate: remember unless told not to
                init.copy_(module.bias, bias)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> SkimRNNOutput:
        """Classify a batch, computing both cells everywhere (training, and the dense reference).

        Args:
            input_ids: int64 `[B, T]`, padded at the end.
            attention_mask: `[B, T]`, 1 where a token exists; default: all exist.
            labels: int64 `[B]`.
        """
        mask_BT = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        x_BTD = self.dropout(self.embedding(input_ids))
        if self.config.read_threshold == 0:
            states_BTH, skim = self._read_all(x_BTD), torch.zeros(())
            read_BT = torch.ones_like(mask_BT, dtype=x_BTD.dtype)
        else:
            states_BTH, logits_BT2, read_BT = self._mix_cells(x_BTD, mask_BT)
            skim = skim_loss(logits_BT2, mask_BT)
        output_BK = self.classifier(self.dropout(self._pool(states_BTH, mask_BT)))
        loss = None
        if labels is not None:
            loss = F.cross_entropy(output_BK, labels) + self.config.skim_loss_weight * skim
        share_B = (read_BT * mask_BT).sum(1) / mask_BT.sum(1)
        return SkimRNNOutput(loss=loss, logits=output_BK, read_share=share_B)

    def _read_all(self, x_BTD: Tensor) -> Tensor:
        """The states of a plain LSTM with the big cell's weights, by torch's fused kernel."""
        weights = [
            self.read_input.weight,
            self.read_hidden.weight,
            self.read_input.bias,
            torch.zeros_like(self.read_input.bias),
        ]
        state_1BH = x_BTD.new_zeros(1, len(x_BTD), self.config.hidden_size)
        states_BTH, _, _ = torch.lstm(
            x_BTD, (state_1BH, state_1BH), weights, True, 1, 0.0, self.training, False, True
        )
        return states_BTH

    def _mix_cells(self, x_BTD: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run both cells on every token and mix them by the decision (equation 4).

        Returns:
            States `[B, T, H]`, decision logits `[B, T, 2]`, the weight of reading `[B, T]`.
        """
        # Everything that depends on the input alone is one product over all tokens.
        read_x = self.read_input(x_BTD).unbind(1)
        skim_x = self.skim_input(x_BTD).unbind(1)
        width = self.config.embedding_size
        policy_x = F.linear(x_BTD, self.policy.weight[:, :width], self.policy.bias).unbind(1)
        policy_hidden_2H = self.policy.weight[:, width:]
        temperature = annealed_temperature(self.training_step)
        exists_B1T = mask_BT.bool()[:, None].unbind(2)

        h_BH = x_BTD.new_zeros(len(x_BTD), self.config.hidden_size)
        c_BH = torch.zeros_like(h_BH)
        states, logits, reads = [], [], []
        for t in range(x_BTD.shape[1]):
            logits_B2 = policy_x[t] + h_BH @ policy_hidden_2H.T
            if self.training:
                choice_B2 = relaxed_decision(
                    logits_B2, temperature, straight_through=self.config.straight_through
                )
                read_B1 = choice_B2[:, READ, None]
            else:
                read_B1 = hard_decision(logits_B2, self.config.read_threshold)[:, None].to(h_BH)
            big = read_cell(read_x[t], h_BH, c_BH, self.read_hidden.weight)
            small = skim_cell(skim_x[t], h_BH, c_BH, self.skim_hidden.weight)
            h_BH = torch.where(exists_B1T[t], torch.lerp(small[0], big[0], read_B1), h_BH)
            c_BH = torch.where(exists_B1T[t], torch.lerp(small[1], big[1], read_B1), c_BH)
            states.append(h_BH)
            logits.append(logits_B2)
            reads.append(read_B1[:, 0])
        return torch.stack(states, 1), torch.stack(logits, 1), torch.stack(reads, 1)

    def _pool(self, states_BTH: Tensor, mask_BT: Tensor) -> Tensor:
        if self.config.pooling == "last":
            last_B = mask_BT.sum(1) - 1
            return states_BTH[torch.arange(len(last_B), device=last_B.device), last_B]
        exists_BT1 = mask_BT[..., None].bool()
        if self.config.pooling == "max":
            return states_BTH.masked_fill(~exists_BT1, -torch.inf).amax(1)
        return (states_BTH * exists_BT1).sum(1) / mask_BT.sum(1, keepdim=True)

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
        """MACs of the plain LSTM, which reads every token and decides nothing."""
        per_token, answer = self.read_stage.macs_per_row, self.classify.macs_per_row
        if per_token is None or answer is None:
            return None
        return round(per_token * units_total + answer)

    # Inference -----------------------------------------------------------------------------------

    def _look(self, ids_B: Tensor, h_BH: Tensor) -> Tensor:
        decision_B2 = self.policy(torch.cat([self.embedding(ids_B), h_BH], dim=-1))
        return hard_decision(decision_B2, self.config.read_threshold)

    def _read(self, ids_B: Tensor, h_BH: Tensor, c_BH: Tensor) -> tuple[Tensor, Tensor]:
        gates_B4H = self.read_input(self.embedding(ids_B))
        return read_cell(gates_B4H, h_BH, c_BH, self.read_hidden.weight)

    def _skim(self, ids_B: Tensor, h_BH: Tensor, c_BH: Tensor) -> tuple[Tensor, Tensor]:
        gates_B4S = self.skim_input(self.embedding(ids_B))
        return skim_cell(gates_B4S, h_BH, c_BH, self.skim_hidden.weight)

    async def read(self, documents: list[Handle]) -> list[Tensor]:
        """Read a cohort of documents in lock-step; each row runs only the cell that it chose.

        Returns:
            Logits `[K]` for each document.
        """
        limit = self.config.max_tokens
        ids = [await doc.peek(range(min(len(doc), limit))) for doc in documents]
        # Longest first: the documents that still have a token are always the first rows.
        by_length = sorted(range(len(ids)), key=lambda k: -len(ids[k]))
        lengths = [len(ids[k]) for k in by_length]
        ids_BT = nn.utils.rnn.pad_sequence([ids[k] for k in by_length], batch_first=True)
        ids_BT = ids_BT.to(self.device)

        h_BH = torch.zeros(len(ids), self.config.hidden_size, device=self.device, dtype=self.dtype)
        c_BH = torch.zeros_like(h_BH)
        pooled_BH = torch.full_like(h_BH, -torch.inf if self.config.pooling == "max" else 0.0)
        was_read_BT = torch.zeros(ids_BT.shape, dtype=torch.bool)
        active = len(ids)
        for t in range(lengths[0]):
            while lengths[active - 1] <= t:
                active -= 1
            reads_B = await self.look(ids_BT[:active, t], h_BH[:active], rows=by_length[:active])
            was_read_BT[:active, t] = reads_B
            for cell, chosen_B in ((self.read_stage, reads_B), (self.skim_stage, ~reads_B)):
                rows = chosen_B.nonzero().squeeze(1)
                if not len(rows):
                    continue
                owners = [by_length[row] for row in rows.tolist()]
                h_BH[rows], c_BH[rows] = await cell(
                    ids_BT[rows, t], h_BH[rows], c_BH[rows], rows=owners
                )
            if self.config.pooling == "max":
                torch.maximum(pooled_BH[:active], h_BH[:active], out=pooled_BH[:active])
            elif self.config.pooling == "mean":
                pooled_BH[:active] += h_BH[:active]
        if self.config.pooling == "last":
            pooled_BH = h_BH
        elif self.config.pooling == "mean":
            pooled_BH /= torch.tensor(lengths, device=self.device)[:, None]

        logits_BK = await self.classify(pooled_BH, rows=by_length)
        results: list[Any] = [None] * len(ids)
        for row, k in enumerate(by_length):
            read_T = was_read_BT[row, : lengths[row]]
            documents[k].note(
                read=read_T.nonzero().squeeze(1).tolist(),
                skimmed=(~read_T).nonzero().squeeze(1).tolist(),
            )
            if len(documents[k]) > limit:
                documents[k].note(truncated=True)
            results[k] = check_finite(logits_BK[row])
        return results
