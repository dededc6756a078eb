"""How recurrent readers run their compiled kernels.

B sources, T tokens, H state size.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from ...kernels.steps import POOLING_CODES
from ...kernels.tables import fits
from ...kernels.threads import run_in_threads

_FEWEST_TOKENS = 200
"""A thread is not worth waking for less."""


def kernels_apply(reader: Any) -> bool:
    """Whether a reader has a compiled kernel that can run: on a CPU, with tables that fit."""
    if not reader.uses_kernels or reader.run is None:
        return False
    on_cpu = reader.classifier.weight.device.type == "cpu"
    # One look at it: each takes transformers some 5 us, and this is asked for every text.
    config = vars(reader.config)
    return on_cpu and fits(config["vocab_size"], config["hidden_size"])


def check_ids(reader: Any, ids_BT: Tensor) -> None:
    """Raise IndexError for a token that is not in the vocabulary.

    A kernel would read beside its tables, and a GPU would stop for all.

    Args:
        reader: see the head of `readers`.
        ids_BT: on the CPU.
    """
    vocab_size = len(reader.embedding.weight)
    ids: NDArray[np.int64] = ids_BT.numpy()
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= vocab_size:
        wrong = low if low < 0 else high
        raise IndexError(
            f"token id ({wrong}) must be in 0..{vocab_size - 1}: is this the tokenizer that "
            "the reader was trained with?"
        )


def count_read(marks_BT: Tensor) -> Tensor:
    """How many tokens of each row a kernel marked as read, int64 `[B]`; see `count_tokens`."""
    return torch.from_numpy((marks_BT.numpy() > 0).sum(1))


def run_kernel(
    reader: Any,
    kernel: Any,
    ids_BT: Tensor,
    lengths_B: Tensor,
    *arguments: Any,
    marks: DTypeLike = np.bool_,
) -> tuple[Tensor, Tensor, Tensor]:
    """Run a kernel over padded sequences, in as many threads as torch uses.

    Around it NumPy works in this thread alone, as in `checks.count_tokens`.

    Args:
        reader: see the head of `recurrent`.
        kernel: takes the sequences' turns (see `kernels.turns`), the ids of all of them in one row
            (int64 `[B T]`), where each begins and ends in it, the arguments, the pooling's code,
            and what it fills: pooled states float32 `[B, H]`, marks `[B T]` and MACs int64 `[B]`.
        ids_BT, lengths_B: as of `recurrent.padded_ids`, on the CPU.
        *arguments: handed on.
        marks: type of a mark.

    Returns:
        Pooled states in the reader's type, marks `[B, T]`, 0 for padding, and MACs.

    Raises:
        IndexError: a token is not in the vocabulary.
    """
    num_rows, width = ids_BT.shape
    ids_N: NDArray[np.int64] = ids_BT.numpy().astype(np.int64, copy=False).reshape(-1)
    check_ids(reader, ids_BT)
    tokens_B: NDArray[np.int64] = lengths_B.numpy()
    starts_B = np.arange(0, num_rows * width, width)
    turns = np.zeros(1 + num_rows, np.int64)
    turns[1:] = np.argsort(-tokens_B)  # the longest first: threads end at about one time
    pooled_BH = np.empty((num_rows, reader.classifier.in_features), np.float32)
    marks_N = np.zeros(num_rows * width, marks)
    macs_B = np.empty(num_rows, np.int64)
    pooling = POOLING_CODES[reader.config.pooling]
    filled = (pooling, pooled_BH, marks_N, macs_B)

    worthwhile = max(1, int(tokens_B.sum()) // _FEWEST_TOKENS)
    run_in_threads(
        lambda: kernel(turns, ids_N, starts_B, starts_B + tokens_B, *arguments, *filled),
        min(torch.get_num_threads(), num_rows, worthwhile),
    )
    pooled = torch.from_numpy(pooled_BH).to(reader.classifier.weight.dtype)
    return pooled, torch.from_numpy(marks_N.reshape(ids_BT.shape)), torch.from_numpy(macs_B)
