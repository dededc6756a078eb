"""Jumper: reads on until its answer is sure enough, and leaves the rest of the text unread.

Liu, Mou, Cui, Lu & Song, "Jumper: Learning When to Make Classification Decision in Reading" (IJCAI
2018, arXiv 1807.02314); trained as Shen, Huang, Gao & Chen, "ReasoNet: Learning to Stop Reading in
Machine Comprehension" (KDD 2017, arXiv 1609.05284).

B sources, T tokens, D embedding width, H state size, K classes, R tokens of a block, n rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers import initialization as init

from ...checks import check_range
from ...handle import Handle
from ...kernels import NUM_GATES, read_block
from ...kernels.jumper import jumper_sequences
from ...kernels.steps import CELL_CODES
from ...kernels.tables import cell_tables, table
from ...policies.reinforce import contrastive_stop_loss, stop_log_probabilities
from ...policies.skip import read_logit
from .configuration import RecurrentConfig
from .kernel_runs import count_read, kernels_apply, run_kernel
from .parts import make_answer, make_cell, make_kernel
from .punctuation import SENTENCE_ENDS, token_ids, token_kinds
from .readers import (
    STOP_LEVELS,
    RecurrentOutput,
    RecurrentReader,
    first_state,
    init_recurrent_weights,
    likeliest,
    read_cohort,
)
from .walks import note_walk

_BLOCK = 32  # tokens read at a time where no kernel runs


class JumperConfig(RecurrentConfig):
    """Sizes and policy of a `Jumper`."""

    model_type = "jumper"
    policy_fields = ("stop_threshold", "tokens_between_decisions")

    tokens_between_decisions: int = 20
    """It decides after each so many tokens; 0: after each sentence, as in the paper. May be changed
    after training."""
    sentence_token_ids: list[int] = ()  # type: ignore[assignment]  # a tuple cannot be shared by mistake
    """Tokens that end a sentence: `. ! ?`."""
    stop_threshold: float = 0.5
    """Answer where p(stop) exceeds this: lower reads less. May be changed after training. At 1 all
    is read, and the model is a plain LSTM or GRU."""
    reading_cost: float = 0.1
    """What reading a whole text takes off the reward, which is 1 for a right answer, 0 to 1."""
    policy_weight: float = 1.0
    """Of the policy gradient in the loss."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        check_range("tokens_between_decisions", self.tokens_between_decisions, 0, 1_000_000)
        check_range("reading_cost", self.reading_cost, 0.0, 1.0)

    def set_punctuation(self, tokenizer: Any) -> None:
        """Find the ends of sentences in a tokenizer's vocabulary. To be called before training."""
        self.sentence_token_ids = token_ids(tokenizer, SENTENCE_ENDS)


class Jumper(RecurrentReader, PreTrainedModel):
    """Decides every few tokens, or after each sentence, whether to answer now or to wait.

    "Jumper", Liu et al., IJCAI 2018, arXiv 1807.02314; "ReasoNet", Shen et al., KDD 2017.

    One softmax over the classes and waiting says both what the answer is and whether to give it
    (section 3.1): p(stop) is what the classes have together. (The waiting learns from the policy
    gradient, the classes from cross-entropy alone.)

    How a text is read does not depend on the decisions until one stops it. So training needs no
    samples: one pass over the text gives the answers at all points, weighted by how probable it is
    to stop there, and the exact policy gradient against each text's own mean reward (ReasoNet's
    contrastive baseline). A right answer is worth 1 less the cost of what was read before it.

    In eval mode with gradients on, that pass picks the first point at which it stops, which is the
    dense reference. With gradients off, reading really halts: on a CPU by a compiled kernel, else
    in lock-step, a block of 32 tokens of all documents that still read (what it reads of a block
    after a stop counts as work, and not as read).
    """

    config_class = JumperConfig
    base_model_prefix = "jumper"
    policy_name = "stop"
    policy_levels = STOP_LEVELS

    def __init__(self, config: JumperConfig) -> None:
        super().__init__(config)
        make_cell(self)
        self.wait_policy = nn.Linear(config.hidden_size, 1)
        make_answer(self)
        make_kernel(self)
        self.post_init()

    def learn_tokens(self, tokenizer: Any) -> None:
        """Find the ends of sentences."""
        self.config.set_punctuation(tokenizer)

    def _init_weights(self, module: nn.Module) -> None:
        init_recurrent_weights(module, self.config.cell, (self.read_input,))
        if module is self.wait_policy:
            init.constant_(module.bias, 3.0)  # at first, it waits unless a class is far ahead

    def _classified(
        self, ids_BT: Tensor, lengths_B: Tensor, labels: Tensor | None
    ) -> RecurrentOutput:
        """`forward`; in training, the logits at the end of the text and the expected share."""
        if self.training:
            return self._all_points(ids_BT, lengths_B, labels)
        if torch.is_grad_enabled():
            pooled_BH, num_read_B, _ = self._halt(ids_BT, lengths_B, ids_BT.shape[1])
        else:
            pooled_BH, marks_BT, _ = self.run.fn(ids_BT, lengths_B)
            num_read_B = count_read(marks_BT).to(lengths_B.device)
        logits_BK = self.classifier(pooled_BH)
        loss = None if labels is None else F.cross_entropy(logits_BK, labels)
        share_B = num_read_B / lengths_B
        return RecurrentOutput(loss=loss, logits=logits_BK, read_share=share_B)

    def _all_points(
        self, ids_BT: Tensor, lengths_B: Tensor, labels: Tensor | None
    ) -> RecurrentOutput:
        """Answers at every point at which the reading may stop, and what they are worth."""
        config = self.config
        x_BTD = self.dropout(self.embedding(ids_BT))
        state = first_state(self, len(ids_BT))
        seen_BTH, _, _ = self._read_block(x_BTD, state, None, 0)
        logits_BTK = self.classifier(self.dropout(seen_BTH))
        stop_BT = self._stop_logits(logits_BTK, seen_BTH)
        last_B = lengths_B - 1
        log_p_BT = stop_log_probabilities(stop_BT, self._points(ids_BT, 0), last_B)
        p_BT = log_p_BT.detach().exp()
        read_BT = torch.arange(1, ids_BT.shape[1] + 1, device=ids_BT.device) / lengths_B[:, None]
        loss = None
        if labels is not None:
            labels_BT = likeliest(labels)[:, None].expand_as(ids_BT)
            error_BT = F.cross_entropy(logits_BTK.transpose(1, 2), labels_BT, reduction="none")
            right_BT = logits_BTK.argmax(-1) == labels_BT
            reward_BT = right_BT * (1 - config.reading_cost * read_BT).clamp(min=0)
            loss = (p_BT * error_BT).sum(1).mean() + config.policy_weight * contrastive_stop_loss(
                log_p_BT, reward_BT
            )
        rows_B = torch.arange(len(ids_BT), device=ids_BT.device)
        share_B = (p_BT * read_BT).sum(1)
        return RecurrentOutput(loss=loss, logits=logits_BTK[rows_B, last_B], read_share=share_B)

    def _points(self, ids_nR: Tensor, start: int) -> Tensor:
        """Where it decides in a block that begins at `start`: bool `[n, R]`."""
        every = self.config.tokens_between_decisions
        if every:
            steps_R = torch.arange(start + 1, start + 1 + ids_nR.shape[1], device=ids_nR.device)
            return (steps_R % every == 0).expand_as(ids_nR)
        return torch.from_numpy(self._ends()).to(ids_nR.device)[ids_nR]

    def _ends(self) -> Any:
        """Which vocabulary entries end a sentence: bool `[V]`."""
        config = self.config
        return token_kinds(config.vocab_size, sentence=config.sentence_token_ids) > 0

    def _stop_logits(self, logits_nRK: Tensor, seen_nRH: Tensor) -> Tensor:
        """The logit of p(stop) where it decides, `[n, R]`."""
        wait_nR = self.wait_policy(seen_nRH.detach()).squeeze(-1)
        return logits_nRK.detach().logsumexp(-1) - wait_nR

    def _read_block(
        self, x_nRD: Tensor, state: tuple[Tensor, ...], gathered_nH: Tensor | None, start: int
    ) -> tuple[Tensor, tuple[Tensor, ...], Tensor]:
        """Read a block that begins at `start`.

        Args:
            x_nRD: embeddings.
            state: before it.
            gathered_nH: running maximum or sum before it; None at the beginning.
            start: tokens before it.

        Returns:
            What the classifier sees after each token, `[n, R, H]`, the last state, and what was
            gathered.
        """
        weights = self.read_input.weight, self.read_input.bias, self.read_hidden.weight
        states_nRH, state = read_block(self.config.cell, x_nRD, state, *weights)
        if self.config.pooling == "max":
            seen_nRH = states_nRH.cummax(1).values
            if gathered_nH is not None:
                seen_nRH = seen_nRH.maximum(gathered_nH[:, None])
            return seen_nRH, state, seen_nRH[:, -1]
        if self.config.pooling == "mean":
            sums_nRH = states_nRH.cumsum(1)
            if gathered_nH is not None:
                sums_nRH = sums_nRH + gathered_nH[:, None]
            steps_R = torch.arange(start + 1, start + 1 + x_nRD.shape[1], device=x_nRD.device)
            return sums_nRH / steps_R[:, None], state, sums_nRH[:, -1]
        return states_nRH, state, states_nRH[:, -1]

    def _halt(self, ids_BT: Tensor, lengths_B: Tensor, block: int) -> tuple[Tensor, Tensor, Tensor]:
        """Read in lock-step, a block at a time, until each row stops.

        Returns:
            What the classifier sees, `[B, H]`, tokens until the stop, and tokens computed, `[B]`.
        """
        threshold = read_logit(self.config.stop_threshold)
        rows_n = torch.arange(len(ids_BT), device=ids_BT.device)
        state = first_state(self, len(ids_BT))
        gathered_nH = None
        pooled_BH = torch.zeros_like(state[0])
        num_read_B, computed_B = torch.zeros_like(lengths_B), torch.zeros_like(lengths_B)
        start = 0
        while len(rows_n):
            ids_nR = ids_BT[rows_n, start : start + block]
            seen_nRH, state, gathered_nH = self._read_block(
                self.embedding(ids_nR), state, gathered_nH, start
            )
            at_R = torch.arange(start, start + ids_nR.shape[1], device=ids_BT.device)
            last_n1 = lengths_B[rows_n, None] - 1
            sure_nR = self._stop_logits(self.classifier(seen_nRH), seen_nRH) > threshold
            stops_nR = (at_R == last_n1) | (
                sure_nR & self._points(ids_nR, start) & (at_R < last_n1)
            )
            stops_n, where_n = stops_nR.any(1), stops_nR.int().argmax(1)
            pooled_BH[rows_n[stops_n]] = seen_nRH[stops_n, where_n[stops_n]]
            num_read_B[rows_n[stops_n]] = start + where_n[stops_n] + 1
            computed_B[rows_n] = (last_n1.squeeze(1) + 1).clamp(max=start + ids_nR.shape[1])
            on_n = ~stops_n
            rows_n, gathered_nH = rows_n[on_n], gathered_nH[on_n]
            state = tuple(part[on_n] for part in state)
            start += block
        return pooled_BH, num_read_B, computed_B

    # Inference -----------------------------------------------------------------------------------

    async def read(self, documents: list[Handle]) -> list[Tensor]:
        """Read a cohort of documents, each until it stops.

        Returns:
            Logits `[K]` for each document.
        """
        return await read_cohort(self, documents, note=note_walk)

    def _run(self, ids_BT: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        config = self.config
        if not kernels_apply(self):
            ids_BT, lengths_B = ids_BT.to(self.device), lengths_B.to(self.device)
            pooled_BH, num_read_B, computed_B = self._halt(ids_BT, lengths_B, _BLOCK)
            order_T = torch.arange(1, ids_BT.shape[1] + 1, device=self.device)
            marks_BT = order_T * (order_T <= num_read_B[:, None])
            size, width = config.hidden_size, config.embedding_size
            per_token = NUM_GATES[config.cell] * size * (size + width)
            return (
                pooled_BH,
                marks_BT.cpu(),
                computed_B * (per_token + size * (self.classifier.out_features + 1)),
            )
        return run_kernel(
            self,
            jumper_sequences,
            ids_BT,
            lengths_B,
            CELL_CODES[config.cell],
            *self.tables.get(self, self._make_tables),
            self.classifier.out_features,
            config.tokens_between_decisions,
            self._ends(),
            np.float32(read_logit(config.stop_threshold)),
            marks=np.int32,
        )

    def _make_tables(self) -> tuple[Any, ...]:
        tables = cell_tables(
            self.config.cell, self.embedding.weight, self.read_input, self.read_hidden
        )
        weight = torch.cat([self.classifier.weight, self.wait_policy.weight])
        bias = torch.cat([self.classifier.bias, self.wait_policy.bias])
        return tuple(tables), (table(weight.T), table(bias))
