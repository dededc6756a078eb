"""LSTM-Jump and LSTM-Shuttle on a CPU: blocks of tokens, and nothing of what lies between them.

Yu, Lee & Le, "Learning to Skim Text" (ACL 2017); Fu & Ma, "Speed Reading: Learning to Read
ForBackward via Shuttle" (EMNLP 2018).

N tokens of all sequences, B sequences, H state size, G columns of the jump's logits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .compiled import kernel
from .steps import finish_pool, num_gates, pool, read_token, start_pool
from .turns import next_turn
from .vectors import add_rows


@kernel
def jump_sequences(
    turns: Any,
    ids: Any,
    starts: Any,
    ends: Any,
    cell: Any,
    tables: Any,
    policy: Any,
    num_actions: Any,
    backward: Any,
    block: Any,
    max_jumps: Any,
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
        policy: weight `[H, G]` and bias `[G]` of the jump's logits.
        num_actions: how many of the G are logits.
        backward: how many of the actions go back; the next one stops, the others go forward.
        block: tokens read between two jumps.
        max_jumps: jumps of a sequence, at most.
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
        jumps = 0
        first = starts[s]
        while True:
            last = min(first + block, ends[s]) - 1
            for t in range(first, last + 1):
                read_token(cell, ids[t], inputs, hidden, gates, h, c)
                pool(pooling, gathered, h)
                num_read += 1
                marks[t] = num_read
            if last + 1 >= ends[s] or jumps == max_jumps:
                break
            logits[:] = policy_bias
            add_rows(logits, h, policy_hidden, 0, size)
            jumps += 1
            action = 0
            for k in range(1, num_actions):
                if logits[k] > logits[action]:
                    action = k
            first = (last if action > backward else first) + action - backward
            if action == backward or first < starts[s] or first >= ends[s]:
                break
        finish_pool(pooling, pooled[s], gathered, h, num_read)
        macs[s] = num_read * size * num_gates(cell) * size + jumps * size * num_actions
