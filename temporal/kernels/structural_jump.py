"""Structural-Jump-LSTM on a CPU: each word is read or skipped, and a read word may end a clause.

Hansen et al., "Neural Speed Reading with Structural-Jump-LSTM" (ICLR 2019). While words are skipped
the state stays as it is, and so does its share of the skip agent's features: a skipped word costs
P multiply-accumulates.

N tokens of all sequences, B sequences, V vocabulary entries, H state size, P features of an agent.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .compiled import kernel
from .steps import finish_pool, num_gates, pool, read_token, start_pool
from .turns import next_turn
from .vectors import add_rows


@kernel
def structural_jump_sequences(
    turns: Any,
    ids: Any,
    starts: Any,
    ends: Any,
    cell: Any,
    tables: Any,
    skip_agent: Any,
    jump_agent: Any,
    num_features: Any,
    kinds: Any,
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
        skip_agent: the token's share of the features `[V, P]`, the state's weight `[H, P]`, the
            weight `[P]` and the bias of the logit of reading, P padded to whole vectors.
        jump_agent: weight `[H, P]` and bias `[P]` of the features, weight `[4, P]` and bias `[4]`
            of the logits: on to the next word, clause or sentence, or to the end.
        num_features: P without the padding.
        kinds: int8 `[V]`, whether a token ends a clause (1) or a sentence (2).
        threshold: float32, the logit above which a word is read, and above which the next word's
            lead over all jumps takes it.
        pooling: code of the pooling, see `steps`.
        pooled: float32 `[B, H]`, written: what the classifier sees.
        marks: int32 `[N]`, written: -1 where a word was skipped, and where it was read as which of
            all reads, from 1.
        macs: int64 `[B]`, written: multiply-accumulates that ran.
    """
    inputs, hidden = tables
    skip_inputs, skip_hidden, skip_weight, skip_bias = skip_agent
    jump_hidden, jump_hidden_bias, jump_weight, jump_bias = jump_agent
    size = hidden.shape[0]
    gates = np.empty(inputs.shape[1], np.float32)
    features = np.empty(len(jump_hidden_bias), np.float32)
    kept = np.empty(len(skip_weight), np.float32)  # the state's share of the skip agent's features
    logits = np.empty(4, np.float32)
    h = np.empty(size, np.float32)
    c = np.empty(size, np.float32)
    read_macs = size * num_gates(cell) * size + (size + 4) * num_features
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
        t = starts[s]
        kept_is_old = True
        while t < ends[s]:
            if t > starts[s]:
                if kept_is_old:
                    kept[:] = 0
                    add_rows(kept, h, skip_hidden, 0, size)
                    work += size * num_features
                    kept_is_old = False
                logit = skip_bias
                for i in range(len(kept)):
                    feature = kept[i] + skip_inputs[ids[t], i]
                    logit += skip_weight[i] * max(feature, np.float32(0))
                work += num_features
                if not logit > threshold:
                    marks[t] = -1
                    t += 1
                    continue
            read_token(cell, ids[t], inputs, hidden, gates, h, c)
            pool(pooling, gathered, h)
            num_read += 1
            marks[t] = num_read
            work += read_macs
            kept_is_old = True
            features[:] = jump_hidden_bias
            add_rows(features, h, jump_hidden, 0, size)
            for k in range(4):
                logits[k] = jump_bias[k]
                for i in range(len(features)):
                    logits[k] += jump_weight[k, i] * max(features[i], np.float32(0))
            best = 1
            for k in range(2, 4):
                best = k if logits[k] > logits[best] else best
            t += 1
            if logits[best] - logits[0] > -threshold:
                while t < ends[s] and kinds[ids[t]] < best:
                    t += 1
                t += 1
        finish_pool(pooling, pooled[s], gathered, h, num_read)
        macs[s] = work
