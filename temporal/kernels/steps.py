"""One step of a recurrent cell in a compiled kernel, from gates laid out by `tables`."""

from __future__ import annotations

from typing import Any

import numpy as np

from .compiled import kernel
from .vectors import add_rows, gru_update, keep_larger, lstm_update, set_row

LSTM, GRU = 0, 1
CELL_CODES = {"lstm": LSTM, "gru": GRU}
LAST, MAX, MEAN = 0, 1, 2
POOLING_CODES = {"last": LAST, "max": MAX, "mean": MEAN}


@kernel
def update(cell: Any, gates: Any, columns: Any, h: Any, c: Any, size: Any) -> None:
    """Update the first `size` entries of a state in place.

    Args:
        cell: `LSTM` or `GRU`.
        gates: float32, the sum of both shares.
        columns: of the hidden weight; the GRU's input share of the new gate comes after them.
        h, c: float32 `[H]`; a GRU leaves `c` alone.
        size: entries to update.
    """
    if cell == LSTM:
        lstm_update(gates, size, h, c, size)
    else:
        gru_update(gates, size, columns, h, size)


@kernel
def num_gates(cell: Any) -> Any:
    """Gates of a cell, by its code: `cells.NUM_GATES` for kernels."""
    return 4 if cell == LSTM else 3


@kernel
def read_token(cell: Any, token: Any, inputs: Any, hidden: Any, gates: Any, h: Any, c: Any) -> None:
    """Update all of a state by one token: `H x gates x H` multiply-accumulates.

    Args:
        cell: `LSTM` or `GRU`.
        token: its number in the vocabulary.
        inputs, hidden: the cell's `CellTables`.
        gates: float32 of `inputs`' width, overwritten.
        h, c: float32 `[H]`, updated.
    """
    set_row(gates, inputs, token)
    add_rows(gates, h, hidden, 0, len(h))
    update(cell, gates, hidden.shape[1], h, c, len(h))


@kernel
def pool(pooling: Any, gathered: Any, h: Any, times: Any = 1) -> None:
    """Take one more state, which lasted for so many tokens, into the running maximum or sum.

    That belongs to the thread: rows of a batch's result share cache lines, and threads that write
    to one line after every token take twice as long.
    """
    if pooling == MAX:
        keep_larger(gathered, h, len(h))
    elif pooling == MEAN:
        for i in range(len(h)):
            gathered[i] += np.float32(times) * h[i]


@kernel
def start_pool(pooling: Any, gathered: Any) -> None:
    """What the running maximum or sum begins with."""
    gathered[:] = -np.float32(np.inf) if pooling == MAX else np.float32(0)


@kernel
def finish_pool(pooling: Any, pooled: Any, gathered: Any, h: Any, num_tokens: Any) -> None:
    """Write what the classifier sees, from what `pool` gathered and the last state."""
    if pooling == LAST:
        pooled[:] = h
    elif pooling == MEAN:
        for i in range(len(h)):
            pooled[i] = gathered[i] / np.float32(num_tokens)
    else:
        pooled[:] = gathered
