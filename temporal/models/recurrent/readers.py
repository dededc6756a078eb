"""What the recurrent readers share: the way from tokens to logits around what each does in between.

A reader has the parts of `make_network`, `uses_kernels`, and the stage `run` (its kernel, if it has
one, which returns pooled states, a mark for each token, and MACs). One that walks through every
token has `_dense`, too: from embeddings `[B, T, D]` and the mask `[B, T]` to the states
`[B, T, H]`, the weight of reading each token `[B, T]` and what its policy adds to the loss. Any
other has its own `_classified`, which is its `forward` of ids and lengths.

B sources, T tokens, D embedding width, H state size, K classes, N tokens of all sources.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization as init
from transformers.utils import ModelOutput

from ...checks import check_finite, check_in, check_range, count_tokens
from ...handle import Handle
from ...kernels import NUM_GATES, State, dense_states, read_cell
from ...kernels.table_cache import TableCache
from ...stage import Stage
from ..policy_space import PolicySpace
from ..saved_reader import SavedReader
from .kernel_runs import check_ids, kernels_apply
from .parts import make_answer, make_cell

_ABOUT_HALF = (0.4, 0.43, 0.46, 0.48, 0.5, 0.52, 0.55)
READ_LEVELS = (0.0, 0.1, 0.2, 0.3, 0.35, *_ABOUT_HALF, 0.6, 0.65, 0.7, 0.8, 0.9)
"""Thresholds of reading, densest about 0.5, where most tokens' probabilities lie."""
_TO_UNSURE = (0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.0)
STOP_LEVELS = (1.0, 0.99, 0.98, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, *_TO_UNSURE)
"""Thresholds of stopping."""
Dense = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


@dataclass
class RecurrentOutput(ModelOutput):
    """What a recurrent reader's `forward` returns."""

    loss: Tensor | None = None
    """Cross-entropy, a scalar, and in training what the reader's policy adds; None without labels.
    So in evaluation it means the same for every reader and wherever it runs."""
    logits: Tensor | None = None
    """`[B, K]`."""
    read_share: Tensor | None = None
    """Tokens read in full over all tokens, expected in training and counted otherwise: `[B]`."""


class RecurrentReader(SavedReader):
    """Mixed into a recurrent reader of tokens: what all have, and the knob that most have."""

    _input_embed_layer = "embedding"  # where transformers finds the word embeddings
    unit = "token"
    reads_cohorts = True
    embedding: nn.Embedding
    dropout: nn.Dropout
    read_input: nn.Linear
    read_hidden: nn.Linear
    classifier: nn.Linear
    cell: Stage
    classify: Stage
    tables: TableCache
    run: Any = None
    """The stage of its compiled kernel; None: it has none."""
    uses_kernels = True
    """False: read without the compiled kernel on a CPU, too (to compare)."""
    policy_name = "read"
    """The policy that `set_policy` knows; the configuration has its threshold."""
    policy_levels: tuple[float, ...] = READ_LEVELS
    """Thresholds to try, the one that reads everything first, each reading less."""

    def make_network(self) -> None:
        """Make the plain network, which reads every token, as parts of this reader.

        `embedding`, `dropout`, the cell (`read_input`, `read_hidden`) with its stage `cell`, and
        `classifier` with its stage `classify`.
        """
        reader: Any = self
        make_cell(reader)
        make_answer(reader)
        reader.cell = Stage(reader._read, name="read")

    def _init_weights(self, module: nn.Module) -> None:
        reader: Any = self
        init_recurrent_weights(module, reader.config.cell, (reader.read_input,))

    def _read(self, ids_n: Tensor, *state: Tensor) -> State:
        """Read a token: the new state."""
        reader: Any = self
        gates = reader.read_input(reader.embedding(ids_n))
        return read_cell(reader.config.cell, gates, state, reader.read_hidden.weight)

    def policy_space(self) -> PolicySpace:
        """The threshold of the policy."""
        return PolicySpace.of_field(f"{self.policy_name}_threshold", self.policy_levels)

    def set_policy(self, name: str, threshold: float | None) -> None:
        """Set the configuration's threshold: `set_policy("read", 0.6)` for `read_threshold`.

        Raises:
            ValueError: the name is not `policy_name`, or the threshold is not in [0, 1].
        """
        check_in("policy", name, (self.policy_name,))
        if threshold is None:
            raise ValueError(f"policy {name!r} needs a threshold in [0, 1], e.g. '{name}:0.6'")
        check_range("threshold", threshold, 0.0, 1.0)
        setattr(self.config, f"{name}_threshold", threshold)  # type: ignore[attr-defined]

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
            labels: int64 `[B]`, or class probabilities `[B, K]`, of which rewards take the
                likeliest.

        Raises:
            ValueError: see `count_tokens`.
        """
        return self._classified(input_ids, count_tokens(input_ids, attention_mask), labels)

    def _classified(
        self, ids_BT: Tensor, lengths_B: Tensor, labels: Tensor | None
    ) -> RecurrentOutput:
        """`forward`: by the kernel where nothing is to be learned, or else by `_dense`."""
        reader: Any = self
        penalty: Tensor | float = 0.0
        if reader.training or torch.is_grad_enabled() or not kernels_apply(reader):
            if reader.run is not None:
                reader.tables.forget()
            mask_BT = mask_of(lengths_B, ids_BT.shape[1])
            x_BTD = reader.dropout(reader.embedding(ids_BT))
            states_BTH, weight_BT, penalty = reader._dense(x_BTD, mask_BT)
            pooled_BH = reader.dropout(pool_states(states_BTH, mask_BT, reader.config.pooling))
            share_B = (weight_BT * mask_BT).sum(1) / lengths_B
        else:
            pooled_BH, marks_BT, _ = reader.run.fn(ids_BT, lengths_B)
            share_B = torch.from_numpy(marks_BT.numpy().sum(1)) / lengths_B
        logits_BK = reader.classifier(pooled_BH)
        loss = None if labels is None else F.cross_entropy(logits_BK, labels)
        if loss is not None and reader.training:
            loss = loss + penalty
        return RecurrentOutput(loss=loss, logits=logits_BK, read_share=share_B)

    def dense_macs(self, units_total: int) -> int | None:
        """MACs of the plain recurrent network, which reads every token and decides nothing.

        As it would run in the engine on this reader's device; see `plain_macs`.
        """
        return plain_macs(self, units_total)


async def read_cohort(
    reader: Any,
    documents: Sequence[Handle],
    elsewhere: Callable[[Tensor, Tensor], Awaitable[tuple[Tensor, Tensor]]] | None = None,
    *,
    looks_at_all: bool = True,
    note: Callable[[Handle, Tensor], None] | None = None,
) -> list[Tensor]:
    """The `read` of a reader, from handles to the logits `[K]` of each.

    Args:
        reader: see the head of this file.
        documents: the cohort.
        elsewhere: takes the place of `run` where kernels do not apply; from ids `[B, T]` and
            lengths `[B]` to pooled states `[B, H]` and a bool for each token, whether it was read.
        looks_at_all: tokens that were not read were skimmed; else they were not touched.
        note: writes down what happened from the marks of a document, if not just that.

    Raises:
        NonFiniteError: a document has NaN or infinite logits.
    """
    limit, everyone = reader.config.max_tokens, range(len(documents))
    ids_BT, lengths_B = await padded_ids(documents, limit)
    by_kernel = kernels_apply(reader)
    if not by_kernel:  # which checks them itself
        check_ids(reader, ids_BT)
    if elsewhere is None or by_kernel:
        pooled_BH, read_BT = await reader.run(ids_BT, lengths_B, rows=everyone)
    else:
        pooled_BH, read_BT = await elsewhere(ids_BT, lengths_B)
    logits_BK = await reader.classify(pooled_BH, rows=everyone)
    note = note or partial(note_tokens, looks_at_all=looks_at_all)
    for document, read_T, length in zip(documents, read_BT, lengths_B.tolist(), strict=True):
        note(document, read_T[:length])
        if len(document) > limit:
            document.note(truncated=True)
    return checked_rows(logits_BK)


def likeliest(labels: Tensor) -> Tensor:
    """Class numbers `[B]` of labels that are these already, or class probabilities `[B, K]`."""
    return labels if labels.ndim == 1 else labels.argmax(-1)


def pool_densely(
    reader: Any, dense: Dense, ids_BT: Tensor, lengths_B: Tensor
) -> tuple[Tensor, Tensor]:
    """A reader's stage where kernels do not apply and lock-step gains nothing over `dense`.

    Args:
        reader: see the head of this file.
        dense: as a reader's `_dense`.
        ids_BT, lengths_B: as of `padded_ids`.

    Returns:
        Pooled states `[B, H]`, and a bool for each token `[B, T]`, whether it was read.
    """
    ids_BT, lengths_B = ids_BT.to(reader.device), lengths_B.to(reader.device)
    mask_BT = mask_of(lengths_B, ids_BT.shape[1])
    states_BTH, weight_BT, _ = dense(reader.embedding(ids_BT), mask_BT)
    pooled_BH = pool_states(states_BTH, mask_BT, reader.config.pooling)
    return pooled_BH, (weight_BT > 0).cpu()


def mask_of(lengths_B: Tensor, width: int) -> Tensor:
    """1 where a token exists, int64 `[B, T]`."""
    return (torch.arange(width, device=lengths_B.device) < lengths_B[:, None]).long()


def first_state(reader: Any, num_rows: int) -> State:
    """The state before the first token, zeros."""
    zeros = reader.classifier.weight.new_zeros(num_rows, reader.config.hidden_size)
    return (zeros, zeros.clone()) if reader.config.cell == "lstm" else (zeros,)


def plain_macs(reader: Any, units_total: int) -> int:
    """MACs of the plain recurrent network, which reads every token and decides nothing.

    Counted as the engine would run it where the reader is: kernels look the input's share of the
    gates up, so there it costs nothing, as in the MACs of a trace; elsewhere it is computed. So a
    share of these MACs compares like with like, and reading everything costs about 1.
    """
    config = vars(reader.config)  # one look, as in `kernels_apply`
    size = config["hidden_size"]
    width = 0 if kernels_apply(reader) else config["embedding_size"]
    per_token = NUM_GATES[config["cell"]] * size * (size + width)
    return per_token * units_total + size * reader.classifier.out_features


def plain_states(reader: Any, x_BTD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What `_dense` returns where every token is read: the plain network's."""
    weights = reader.read_input.weight, reader.read_input.bias, reader.read_hidden.weight
    states_BTH = dense_states(reader.config.cell, x_BTD, *weights)
    return states_BTH, torch.ones_like(x_BTD[..., 0]), x_BTD.new_zeros(())


def pool_states(states_BTH: Tensor, mask_BT: Tensor, pooling: str) -> Tensor:
    """What the classifier sees of all states: the last, or the maximum or mean over tokens."""
    if pooling == "last":
        last_B = mask_BT.sum(1) - 1
        return states_BTH[torch.arange(len(last_B), device=last_B.device), last_B]
    exists_BT1 = mask_BT[..., None].bool()
    if pooling == "max":
        return states_BTH.masked_fill(~exists_BT1, -torch.inf).amax(1)
    return (states_BTH * exists_BT1).sum(1) / mask_BT.sum(1, keepdim=True)


class RunningPool:
    """`pool_states` for states that come one after another, of some rows at a time."""

    def __init__(self, pooling: str, first_BH: Tensor) -> None:
        self.pooling = pooling
        self._pooled_BH = torch.full_like(first_BH, -torch.inf if pooling == "max" else 0.0)

    def add(self, rows_n: Tensor, states_nH: Tensor, times_n: Tensor) -> None:
        """Take in the states of some rows, each for so many tokens."""
        if self.pooling == "last":
            self._pooled_BH[rows_n] = states_nH
        elif self.pooling == "max":
            self._pooled_BH[rows_n] = torch.maximum(self._pooled_BH[rows_n], states_nH)
        else:
            self._pooled_BH[rows_n] += states_nH * times_n[:, None]

    def result(self, lengths_B: Tensor) -> Tensor:
        """What the classifier sees, `[B, H]`."""
        if self.pooling != "mean":
            return self._pooled_BH
        return self._pooled_BH / lengths_B.to(self._pooled_BH)[:, None]


def init_recurrent_weights(module: nn.Module, cell: str, forget_bias_of: Sequence[Any]) -> None:
    """Initialise one module of a recurrent reader.

    Args:
        module: of the reader.
        cell: `"lstm"` or `"gru"`.
        forget_bias_of: input layers of cells. An LSTM's forget gates start at 1 (Jozefowicz et
            al., ICML 2015): remember unless told not to.
    """
    if isinstance(module, nn.Embedding):
        init.normal_(module.weight, std=0.1)
    elif isinstance(module, nn.Linear):
        if module.weight.numel():
            init.xavier_uniform_(module.weight)
        if module.bias is not None:
            bias = torch.zeros_like(module.bias)
            if cell == "lstm" and any(module is layer for layer in forget_bias_of):
                size = len(bias) // 4
                bias[size : 2 * size] = 1.0
            init.copy_(module.bias, bias)


async def padded_ids(documents: Sequence[Handle], limit: int) -> tuple[Tensor, Tensor]:
    """The tokens of a cohort: ids `[B, T]` padded with 0, and lengths `[B]`, both int64."""
    lengths = [min(len(doc), limit) for doc in documents]
    ids = [await doc.peek(range(n)) for doc, n in zip(documents, lengths, strict=True)]
    ids_BT = np.zeros((len(ids), max(lengths)), np.int64)  # see `count_tokens` for why NumPy
    for padded_T, row, length in zip(ids_BT, ids, lengths, strict=True):
        padded_T[:length] = row.numpy()
    return torch.from_numpy(ids_BT), torch.tensor(lengths)


def note_tokens(document: Handle, was_read_T: Tensor, *, looks_at_all: bool = True) -> None:
    """Write down which tokens were read and, of the others, that they were skimmed if looked at."""
    was_read: NDArray[np.bool_] = (was_read_T > 0).numpy()  # some kernels mark by a weight
    skimmed = (~was_read).nonzero()[0].tolist() if looks_at_all else []
    document.note(read=was_read.nonzero()[0].tolist(), skimmed=skimmed)


def checked_rows(logits_BK: Tensor) -> list[Tensor]:
    """The logits of each source.

    Raises:
        NonFiniteError: one has NaN or infinite logits.
    """
    if torch.isfinite(logits_BK).all():  # one question to all: of each it takes as long
        return list(logits_BK)
    return [check_finite(logits_K) for logits_K in logits_BK]
