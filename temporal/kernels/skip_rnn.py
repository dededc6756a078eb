"""Skip RNN on a CPU: from one token that is read straight to the next.

Campos et al., "Skip RNN: Learning to Skip State Updates in Recurrent Neural Networks" (ICLR 2018).

N tokens of all sequences, B sequences, H state size.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .compiled import kernel
from .steps import LSTM, finish_pool, num_gates, pool, read_token, start_pool
from .turns import next_turn


@kernel
def skip_sequences(
    turns: Any,
    ids: Any,
    starts: Any,
    ends: Any,
    cell: Any,
    tables: Any,
    policy: Any,
    policy_bias: Any,
    threshold: Any,
    pooling: Any,
    pooled: Any,
    was_read: Any,
    macs: Any,
) -> None:
    """Read some sequences.

    Args:
        turns: the sequences to read, see `turns`.
        ids: int64 `[N]`, the tokens of all sequences.
        starts, ends: int64 `[B]`, where each begins and ends there.
        cell: code of the cell, see `steps`.
        tables: the cell's `CellTables`.
        policy, policy_bias: float32 `[H]` and a number, the increment's logit of a state.
        threshold: float32, what increments must add up to before a token is read.
        pooling: code of the pooling, see `steps`.
        pooled: float32 `[B, H]`, written: what the classifier sees.
        was_read: bool `[N]`, written where a token was read.
        macs: int64 `[B]`, written: multiply-accumulates that ran.
    """
    inputs, hidden = tables
    size = hidden.shape[0]
    gates = np.empty(inputs.shape[1], np.float32)
    h = np.empty(size, np.float32)
    c = np.empty(size, np.float32)
    seen = c if cell == LSTM else h  # by the policy
    gathered = np.empty(size, np.float32)
    while True:
        s = next_turn(turns)
        if s < 0:
            break
        h[:] = 0
        c[:] = 0
        start_pool(pooling, gathered)
        work = 0
        t = starts[s]
        while t < ends[s]:
            was_read[t] = True
            read_token(cell, ids[t], inputs, hidden, gates, h, c)
            logit = policy_bias
            for i in range(size):
                logit += policy[i] * seen[i]
            work += size * num_gates(cell) * size + size
            # threshold / sigmoid(logit). A state of NaN must not end the loop: it answers NaN.
            jump = np.ceil(threshold * (np.float32(1) + np.exp(-logit)))
            left = ends[s] - t
            steps = left if jump > left else max(1, int(jump)) if jump == jump else 1
            pool(pooling, gathered, h, steps)
            t += steps
        finish_pool(pooling, pooled[s], gathered, h, ends[s] - starts[s])
        macs[s] = work
