"""Variable computation on a CPU: of every token's update, the first n entries of the state.

Jernite, Grave, Joulin & Mikolov, "Variable Computation in Recurrent Neural Networks" (ICLR 2017).
The gates of `LANES` entries of the state lie side by side, and so do the weights that lead to
them, so that an update of n entries is a product with the first n rows of the first blocks:

    gates  | gate 0 of entries 0-15 | gate 1 of 0-15 | gate 2 | gate 3 | gate 0 of 16-31 | ...

N tokens of all sequences, B sequences, V vocabulary entries, H state size, b blocks, L LANES.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from .compiled import kernel
from .steps import LSTM, finish_pool, num_gates, pool, start_pool
from .turns import next_turn
from .vectors import LANES, add_rows, gru_update, lstm_update

_ONE = np.float32(1)


def block_tables(
    cell: str, embedding_VD: Tensor, input_layer: nn.Linear, hidden_layer: nn.Linear
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A cell's weights in blocks: the input's share `[V, b 4 L]`, the hidden one `[b, H, 4 L]`.

    Four gates in either cell, the sigmoid ones halved as in `tables`. LSTM: input, forget, output,
    cell. GRU: reset, update, the state's share of the new gate, the input's.
    """
    with torch.no_grad():
        inputs = input_layer(embedding_VD).float()
        hidden = hidden_layer.weight.T.float()
        size = len(hidden)
        of_inputs, of_hidden = inputs.split(size, 1), hidden.split(size, 1)
        if cell == "lstm":
            (i, f, g, o), (i_h, f_h, g_h, o_h) = of_inputs, of_hidden
            of_inputs, of_hidden = (i / 2, f / 2, o / 2, g), (i_h / 2, f_h / 2, o_h / 2, g_h)
        else:
            (r, z, n), (r_h, z_h, n_h) = of_inputs, of_hidden
            of_inputs = (r / 2, z / 2, torch.zeros_like(n), n)
            of_hidden = (r_h / 2, z_h / 2, n_h, torch.zeros_like(n_h))
        inputs, hidden = _in_blocks(of_inputs), _in_blocks(of_hidden)
        return (
            np.ascontiguousarray(inputs.flatten(1).numpy()),
            np.ascontiguousarray(hidden.transpose(0, 1).numpy()),
        )


def _in_blocks(gates: tuple[Tensor, ...]) -> Tensor:
    """Gates `[n, H]` each, to `[n, b, 4 L]`."""
    padded = torch.stack([F.pad(gate, [0, -gate.shape[1] % LANES]) for gate in gates], 1)
    return padded.unflatten(2, (-1, LANES)).transpose(1, 2).flatten(2)


@kernel
def variable_sequences(
    turns: Any,
    ids: Any,
    starts: Any,
    ends: Any,
    cell: Any,
    tables: Any,
    policy: Any,
    shift: Any,
    pooling: Any,
    pooled: Any,
    shares: Any,
    macs: Any,
) -> None:
    """Read some sequences.

    Args:
        turns: the sequences to read, see `turns`.
        ids: int64 `[N]`, the tokens of all sequences.
        starts, ends: int64 `[B]`, where each begins and ends there.
        cell: code of the cell, see `steps`.
        tables: of `block_tables`.
        policy: float32, the two parts of the share's logit: of words, bias included, `[V]`, and of
            the state `[H]`.
        shift: float32, added to the logit.
        pooling: code of the pooling, see `steps`.
        pooled: float32 `[B, H]`, written: what the classifier sees.
        shares: float32 `[N]`, written: n / H of each token.
        macs: int64 `[B]`, written: multiply-accumulates that ran.
    """
    inputs, hidden = tables
    num_blocks, size, columns = hidden.shape
    word_logit, hidden_logit = policy
    gates = np.empty(num_blocks * columns, np.float32)
    h = np.empty(size, np.float32)
    c = np.empty(size, np.float32)
    gathered = np.empty(size, np.float32)
    while True:
        s = next_turn(turns)
        if s < 0:
            break
        h[:] = 0
        c[:] = 0
        start_pool(pooling, gathered)
        work = 0
        for t in range(starts[s], ends[s]):
            logit = word_logit[ids[t]] + shift
            for i in range(size):
                logit += hidden_logit[i] * h[i]
            share = np.ceil(np.float32(size) / (_ONE + np.exp(-logit)))
            n = max(1, int(share)) if share == share else size  # what is NaN answers NaN
            shares[t] = np.float32(n) / np.float32(size)
            blocks = (n + LANES - 1) // LANES
            gates[: blocks * columns] = inputs[ids[t], : blocks * columns]
            for b in range(blocks):  # all gates, before any of the state changes
                add_rows(gates[b * columns : (b + 1) * columns], h, hidden[b], 0, n)
            for b in range(blocks):
                first = b * LANES
                count = min(LANES, n - first)
                of_block = gates[b * columns :]
                if cell == LSTM:
                    lstm_update(of_block, LANES, h[first:], c[first:], count)
                else:
                    gru_update(of_block, LANES, 3 * LANES, h[first:], count)
            work += num_gates(cell) * min(size, blocks * LANES) * n + size
            pool(pooling, gathered, h)
        finish_pool(pooling, pooled[s], gathered, h, ends[s] - starts[s])
        macs[s] = work
