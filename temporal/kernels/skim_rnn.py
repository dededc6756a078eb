"""Skim-RNN on a CPU: every sequence on its own path, one token after another.

Seo et al., "Neural Speed Reading via Skim-RNN" (ICLR 2018). While tokens are skimmed only the first
S entries of the state change, so the others' share of the small cell's gates is kept until the
next read: a skimmed token costs S x (4 S + 1) multiply-accumulates, not H x (4 S + 1).

N tokens of all sequences, B sequences, H state size, S skim size.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .compiled import kernel
from .steps import MAX, finish_pool, num_gates, pool, read_token, start_pool, update
from .turns import next_turn
from .vectors import add, add_rows, dot, keep_larger, set_row


@kernel
def skim_sequences(
    turns: Any,
    ids: Any,
    starts: Any,
    ends: Any,
    cell: Any,
    skim_size: Any,
    big: Any,
    small: Any,
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
        skim_size: S.
        big, small: `CellTables`; the small cell's have the policy's logit after the gates.
        threshold: float32, the logit above which a token is read.
        pooling: code of the pooling, see `steps`.
        pooled: float32 `[B, H]`, written: what the classifier sees.
        was_read: bool `[N]`, written.
        macs: int64 `[B]`, written: multiply-accumulates that ran.
    """
    big_inputs, big_hidden = big
    small_inputs, small_hidden = small
    size = big_hidden.shape[0]
    small_columns = small_hidden.shape[1]
    policy = num_gates(cell) * skim_size
    big_gates = np.empty(big_inputs.shape[1], np.float32)
    small_gates = np.empty(small_inputs.shape[1], np.float32)
    kept = np.empty(small_columns, np.float32)  # the share of the entries that skimming keeps
    policy_hidden = small_hidden[:, policy].copy()
    h = np.empty(size, np.float32)
    c = np.empty(size, np.float32)
    gathered = np.empty(size, np.float32)
    while True:
        s = next_turn(turns)
        if s < 0:
            break
        h[:] = 0
        c[:] = 0
        kept[:] = 0
        start_pool(pooling, gathered)
        kept_is_old = False
        work = 0
        for t in range(starts[s], ends[s]):
            token = ids[t]
            if kept_is_old:
                logit = small_inputs[token, policy] + dot(policy_hidden, h)
                work += size
            else:
                set_row(small_gates, small_inputs, token)
                add(small_gates, kept)
                add_rows(small_gates, h, small_hidden, 0, skim_size)
                logit = small_gates[policy]
                work += skim_size * (policy + 1)
            was_read[t] = not logit <= threshold  # what is NaN is read, and answers NaN
            if was_read[t]:
                read_token(cell, token, big_inputs, big_hidden, big_gates, h, c)
                work += size * num_gates(cell) * size
                kept_is_old = True
            else:
                if kept_is_old:
                    kept[:] = 0
                    add_rows(kept, h, small_hidden, skim_size, size)
                    set_row(small_gates, small_inputs, token)
                    add(small_gates, kept)
                    add_rows(small_gates, h, small_hidden, 0, skim_size)
                    work += size * (policy + 1)
                    kept_is_old = False
                update(cell, small_gates, small_columns, h, c, skim_size)
            if pooling == MAX and not kept_is_old and t > starts[s]:
                keep_larger(gathered, h, skim_size)  # the others are as they were
            else:
                pool(pooling, gathered, h)
        finish_pool(pooling, pooled[s], gathered, h, ends[s] - starts[s])
        macs[s] = work
