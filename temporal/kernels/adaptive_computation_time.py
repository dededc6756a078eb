"""Adaptive computation time on a CPU: each token gets as many steps as it asks for.

Graves, "Adaptive Computation Time for Recurrent Neural Networks" (arXiv 1603.08983, 2016).

N tokens of all sequences, B sequences, H state size.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .compiled import kernel
from .steps import finish_pool, num_gates, pool, start_pool, update
from .turns import next_turn
from .vectors import add_rows


@kernel
def ponder_sequences(
    turns: Any,
    ids: Any,
    starts: Any,
    ends: Any,
    cell: Any,
    tables: Any,
    flag: Any,
    policy: Any,
    policy_bias: Any,
    threshold: Any,
    max_steps: Any,
    pooling: Any,
    pooled: Any,
    steps: Any,
    macs: Any,
) -> None:
    """Read some sequences.

    Args:
        turns: the sequences to read, see `turns`.
        ids: int64 `[N]`, the tokens of all sequences.
        starts, ends: int64 `[B]`, where each begins and ends there.
        cell: code of the cell, see `steps`.
        tables: the cell's `CellTables`.
        flag: float32, what a token's first step adds to the gates; of the inputs' width.
        policy, policy_bias: float32 `[H]` and a number, the halting unit's logit of a state.
        threshold: float32, what halting probabilities must add up to before a token is done.
        max_steps: of a token, at most.
        pooling: code of the pooling, see `steps`.
        pooled: float32 `[B, H]`, written: what the classifier sees.
        steps: int32 `[N]`, written: how many each token took.
        macs: int64 `[B]`, written: multiply-accumulates that ran.
    """
    inputs, hidden = tables
    size, columns = hidden.shape
    gates = np.empty(inputs.shape[1], np.float32)
    h = np.empty(size, np.float32)
    c = np.empty(size, np.float32)
    mean_h = np.empty(size, np.float32)
    mean_c = np.empty(size, np.float32)
    gathered = np.empty(size, np.float32)
    while True:
        s = next_turn(turns)
        if s < 0:
            break
        h[:] = 0
        c[:] = 0
        start_pool(pooling, gathered)
        num_steps = 0
        for t in range(starts[s], ends[s]):
            mean_h[:] = 0
            mean_c[:] = 0
            spent = np.float32(0)
            steps[t] = 0
            goes_on = True
            while goes_on:
                gates[:] = inputs[ids[t]]
                if steps[t] == 0:
                    for i in range(len(gates)):
                        gates[i] += flag[i]
                add_rows(gates, h, hidden, 0, size)
                update(cell, gates, columns, h, c, size)
                steps[t] += 1
                logit = policy_bias
                for i in range(size):
                    logit += policy[i] * h[i]
                halt = np.float32(1) / (np.float32(1) + np.exp(-logit))
                goes_on = spent + halt < threshold and steps[t] < max_steps
                weight = halt if goes_on else np.float32(1) - spent
                spent += halt
                for i in range(size):
                    mean_h[i] += weight * h[i]
                    mean_c[i] += weight * c[i]
            h[:] = mean_h
            c[:] = mean_c
            num_steps += steps[t]
            pool(pooling, gathered, h)
        finish_pool(pooling, pooled[s], gathered, h, ends[s] - starts[s])
        macs[s] = num_steps * (size * num_gates(cell) * size + size)
