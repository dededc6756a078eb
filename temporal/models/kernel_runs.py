"""How recurrent readers run their compiled kernels.

B sources, T tokens, H state size.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from ..kernels.steps import POOLING_CODES
from ..kernels.tables import fits
from ..kernels.threads import run_in_threads


def kernels_apply(reader: Any) -> bool:
    """Whether a reader's compiled kernel can run: on a CPU, with tables of a reasonable size."""
    config = reader.config
    on_cpu = reader.uses_kernels and reader.classifier.weight.device.type == "cpu"
    return on_cpu and fits(config.vocab_size, config.hidden_size)


def run_kernel(
    reader: Any,
    kernel: Any,
    ids_BT: Tensor,
    lengths_B: Tensor,
    *arguments: Any,
    marks: DTypeLike = np.bool_,
) -> tuple[Tensor, Tensor, Tensor]:
    """Run a kernel that pools states, marks tokens and counts its MACs.

    Args:
        reader: see the head of `recurrent`.
        kernel: as of `run_sequences`; after the arguments it takes the pooling's code and what it
            fills: pooled states float32 `[B, H]`, marks `[B T]` and MACs int64 `[B]`.
        ids_BT, lengths_B: as of `recurrent.padded_ids`, on the CPU.
        *arguments: handed on.
        marks: type of a mark.

    Returns:
        Pooled states in the reader's type, marks `[B, T]`, 0 for padding, and MACs.

    Raises:
        IndexError: a token is not in the vocabulary.
    """
    vocab_size = len(reader.embedding.weight)
    ids_BT = ids_BT.long()
    low, high = int(ids_BT.min()), int(ids_BT.max())
    if low < 0 or high >= vocab_size:  # a kernel would read beside its tables
        wrong = low if low < 0 else high
        raise IndexError(
            f"token id ({wrong}) must be in 0..{vocab_size - 1}: is this the tokenizer that "
            "the reader was trained with?"
        )
    pooled_BH = np.empty((len(ids_BT), reader.classifier.in_features), np.float32)
    marks_BT = np.zeros(ids_BT.shape, marks)
    macs_B = np.empty(len(ids_BT), np.int64)
    filled = (POOLING_CODES[reader.config.pooling], pooled_BH, marks_BT.reshape(-1), macs_B)
    run_sequences(kernel, ids_BT, lengths_B, *arguments, *filled)
    pooled = torch.from_numpy(pooled_BH).to(reader.classifier.weight.dtype)
    return pooled, torch.from_numpy(marks_BT), torch.from_numpy(macs_B)


def run_sequences(kernel: Any, ids_BT: Tensor, lengths_B: Tensor, *arguments: Any) -> None:
    """Run a kernel over padded sequences, in as many threads as torch uses.

    Args:
        kernel: takes the numbers of the sequences that it shall do, the ids of all of them in one
            row (int64 `[B T]`), where each begins and ends in it, and the arguments.
        ids_BT, lengths_B: as of `recurrent.padded_ids`, on the CPU.
        *arguments: handed on.
    """
    width = ids_BT.shape[1]
    ids_N: NDArray[np.int64] = ids_BT.contiguous().view(-1).numpy()
    starts_B = np.arange(len(ids_BT), dtype=np.int64) * width
    ends_B = starts_B + lengths_B.numpy()

    def run(sequences: list[int]) -> None:
        kernel(np.array(sequences, dtype=np.int64), ids_N, starts_B, ends_B, *arguments)

    run_in_threads(run, lengths_B.tolist(), torch.get_num_threads())
