"""What the recurrent readers share: how states are pooled, and how a cohort's tokens are laid out.

B sources, T tokens, H state size, N tokens of all sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import initialization as init
from transformers.utils import ModelOutput

from ..handle import Handle
from ..kernels.threads import run_in_threads
from .checks import check_finite

POOLINGS = ("last", "max", "mean")


@dataclass
class RecurrentOutput(ModelOutput):
    """What a recurrent reader's `forward` returns."""

    loss: Tensor | None = None
    """Cross-entropy plus what the reader's policy adds to it, a scalar; None without labels."""
    logits: Tensor | None = None
    """`[B, K]`."""
    read_share: Tensor | None = None
    """Tokens read in full over all tokens, expected in training and counted otherwise: `[B]`."""


def pool_states(states_BTH: Tensor, mask_BT: Tensor, pooling: str) -> Tensor:
    """What the classifier sees of all states: the last, or the maximum or mean over tokens."""
    if pooling == "last":
        last_B = mask_BT.sum(1) - 1
        return states_BTH[torch.arange(len(last_B), device=last_B.device), last_B]
    exists_BT1 = mask_BT[..., None].bool()
    if pooling == "max":
        return states_BTH.masked_fill(~exists_BT1, -torch.inf).amax(1)
    return (states_BTH * exists_BT1).sum(1) / mask_BT.sum(1, keepdim=True)


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
    ids = [await doc.peek(range(min(len(doc), limit))) for doc in documents]
    lengths_B = torch.tensor([len(row) for row in ids])
    return nn.utils.rnn.pad_sequence(ids, batch_first=True), lengths_B


def note_tokens(document: Handle, was_read_T: Tensor, *, limit: int, **facts: Any) -> None:
    """Write down which tokens were read and which skimmed (all others that were looked at)."""
    positions = torch.arange(len(was_read_T))
    document.note(
        read=positions[was_read_T].tolist(), skimmed=positions[~was_read_T].tolist(), **facts
    )
    if len(document) > limit:
        document.note(truncated=True)


def checked_rows(logits_BK: Tensor) -> list[Tensor]:
    """The logits of each source.

    Raises:
        NonFiniteError: one has NaN or infinite logits.
    """
    return [check_finite(logits_K) for logits_K in logits_BK]


def run_sequences(kernel: Any, ids_BT: Tensor, lengths_B: Tensor, *arguments: Any) -> None:
    """Run a kernel over padded sequences, in as many threads as torch uses.

    Args:
        kernel: takes the numbers of the sequences that it shall do, the ids of all of them in one
            row (int64 `[B T]`), where each begins and ends in it, and the arguments.
        ids_BT, lengths_B: as of `padded_ids`, on the CPU.
        *arguments: handed on.
    """
    width = ids_BT.shape[1]
    ids_N: NDArray[np.int64] = ids_BT.contiguous().view(-1).numpy()
    starts_B = np.arange(len(ids_BT), dtype=np.int64) * width
    ends_B = starts_B + lengths_B.numpy()

    def run(sequences: list[int]) -> None:
        kernel(np.array(sequences, dtype=np.int64), ids_N, starts_B, ends_B, *arguments)

    run_in_threads(run, lengths_B.tolist(), torch.get_num_threads())
