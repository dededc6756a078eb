"""Jumper on a CPU: token after token, until the answer seems sure enough.

Liu et al., "Jumper: Learning When to Make Classification Decision in Reading" (IJCAI 2018).

N tokens of all sequences, B sequences, V vocabulary entries, H state size, K classes, G columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .compiled import kernel
from .steps import finish_pool, num_gates, pool, read_token, start_pool
from .turns import next_turn
from .vectors import add_rows


@kernel
def jumper_sequences(
    turns: Any,
    ids: Any,
    starts: Any,
    ends: Any,
    cell: Any,
    tables: Any,
    policy: Any,
    num_classes: Any,
    every: Any,
    is_end: Any,
    threshold: Any,
    pooling: Any,
    pooled: Any,
    marks: Any,
    macs: Any,
) -> None:
    """Read some sequences.

    Args:
        turns: the sequences to read, see `turns`.
        ids: int64 `[N]`, the tokens of all sequences.
        starts, ends: int64 `[B]`, where each begins and ends there.
        cell: code of the cell, see `steps`.
        tables: the cell's `CellTables`.
        policy: weight `[H, G]` and bias `[G]` of the classes' logits and, after them, of waiting.
        num_classes: K.
        every: tokens between two decisions; 0: decide where a token of `is_end` was read.
        is_end: bool `[V]`.
        threshold: float32, the logit of stopping above which the reading halts.
        pooling: code of the pooling, see `steps`.
        pooled: float32 `[B, H]`, written: what the classifier sees.
        marks: int32 `[N]`, written where a token was read: as which of all reads, from 1.
        macs: int64 `[B]`, written: multiply-accumulates that ran.
    """
    inputs, hidden = tables
    policy_hidden, policy_bias = policy
    size = hidden.shape[0]
    gates = np.empty(inputs.shape[1], np.float32)
    logits = np.empty(len(policy_bias), np.float32)
    seen = np.empty(size, np.float32)
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
        num_read = 0
        work = 0
        for t in range(starts[s], ends[s]):
            read_token(cell, ids[t], inputs, hidden, gates, h, c)
            pool(pooling, gathered, h)
            num_read += 1
            marks[t] = num_read
            work += size * num_gates(cell) * size
            decides = num_read % every == 0 if every else is_end[ids[t]]
            if decides and t + 1 < ends[s]:
                finish_pool(pooling, seen, gathered, h, num_read)
                logits[:] = policy_bias
                add_rows(logits, seen, policy_hidden, 0, size)
                work += size * (num_classes + 1)
                largest = logits[0]
                for k in range(1, num_classes):
                    largest = max(largest, logits[k])
                total = np.float32(0)
                for k in range(num_classes):
                    total += np.exp(logits[k] - largest)
                if largest + np.log(total) - logits[num_classes] > threshold:
                    break
        finish_pool(pooling, pooled[s], gathered, h, num_read)
        macs[s] = work
