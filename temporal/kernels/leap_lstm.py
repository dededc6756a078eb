"""Leap-LSTM on a CPU: what follows each token, from the end; then the reading, from the start.

Huang, Shen & Deng, "Leap-LSTM: Enhancing Long Short-Term Memory for Text Categorization" (IJCAI
2019). What depends on words alone is looked up: their share of both cells' gates, of the
convolution at each offset, and of the policy. The state's share of the policy is kept while tokens
are skipped.

N tokens of all sequences, B sequences, V vocabulary entries, H state size, R size of the backward
cell, C convolution outputs, P policy units (padded, as C is, to whole vectors).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .compiled import kernel
from .steps import finish_pool, num_gates, pool, read_token, start_pool, update
from .turns import next_turn
from .vectors import add_rows


@kernel
def _relu(x: Any) -> Any:
    return np.float32(0) if x < np.float32(0) else x


@kernel
def leap_sequences(
    turns: Any,
    ids: Any,
    starts: Any,
    ends: Any,
    cell: Any,
    tables: Any,
    backward: Any,
    convolution: Any,
    policy: Any,
    sizes: Any,
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
        cell: code of both cells, see `steps`.
        tables: `CellTables` of the reading cell.
        backward: `CellTables` of the backward cell.
        convolution: float32 `[V, offsets, C]`, a word's share of the outputs at each offset from
            the token after which it follows, and their bias `[C]`.
        policy: float32, the first layer's shares of words, bias included, `[V, P]`, of what
            follows `[R + C, P]` and of the state `[H, P]`; the second layer, to the logit of
            reading, `[P]`, and its bias.
        sizes: of R, C and P without the padding, to count by.
        threshold: float32, the logit above which a token is read.
        pooling: code of the pooling, see `steps`.
        pooled: float32 `[B, H]`, written: what the classifier sees.
        was_read: bool `[N]`, written.
        macs: int64 `[B]`, written: multiply-accumulates that ran.
    """
    inputs, hidden = tables
    size = hidden.shape[0]
    backward_inputs, backward_hidden = backward
    backward_size, backward_columns = backward_hidden.shape
    by_offset, convolution_bias = convolution
    word_share, follow_share, hidden_share, second, second_bias = policy
    num_r, num_c, num_p = sizes
    longest = 0
    for s in turns[1:]:
        longest = max(longest, ends[s] - starts[s])
    known = np.empty((longest, len(second)), np.float32)  # the policy's share of words to come
    gates = np.empty(inputs.shape[1], np.float32)
    backward_gates = np.empty(backward_inputs.shape[1], np.float32)
    follow = np.empty(len(follow_share), np.float32)  # the backward state, then the convolution
    backward_c = np.empty(backward_size, np.float32)
    outputs = follow[backward_size:]
    kept = np.empty(len(second), np.float32)
    h = np.empty(size, np.float32)
    c = np.empty(size, np.float32)
    gathered = np.empty(size, np.float32)
    while True:
        s = next_turn(turns)
        if s < 0:
            break
        begin, end = starts[s], ends[s]
        follow[:] = 0
        backward_c[:] = 0
        for t in range(end - 1, begin - 1, -1):
            outputs[:] = convolution_bias
            for offset in range(min(by_offset.shape[1], end - 1 - t)):
                share = by_offset[ids[t + 1 + offset], offset]
                for i in range(len(outputs)):
                    outputs[i] += share[i]
            for i in range(len(outputs)):
                outputs[i] = _relu(outputs[i])
            row = known[t - begin]
            row[:] = word_share[ids[t]]
            add_rows(row, follow, follow_share, 0, len(follow))
            backward_gates[:] = backward_inputs[ids[t]]
            add_rows(backward_gates, follow, backward_hidden, 0, backward_size)
            update(cell, backward_gates, backward_columns, follow, backward_c, backward_size)
        work = (end - begin) * (num_r * num_gates(cell) * num_r + (num_r + num_c) * num_p + num_p)

        h[:] = 0
        c[:] = 0
        kept[:] = 0
        start_pool(pooling, gathered)
        for t in range(begin, end):
            row = known[t - begin]
            logit = second_bias
            for i in range(len(kept)):
                logit += second[i] * _relu(row[i] + kept[i])
            was_read[t] = not logit <= threshold  # what is NaN is read, and answers NaN
            if was_read[t]:
                read_token(cell, ids[t], inputs, hidden, gates, h, c)
                kept[:] = 0
                add_rows(kept, h, hidden_share, 0, size)
                work += size * (num_gates(cell) * size + num_p)
            pool(pooling, gathered, h)
        finish_pool(pooling, pooled[s], gathered, h, end - begin)
        macs[s] = work
