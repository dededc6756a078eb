"""Hierarchical multiscale LSTM on a CPU: an upper layer computes only where a boundary asks for it.

Chung, Ahn & Bengio, "Hierarchical Multiscale Recurrent Neural Networks" (ICLR 2017).

N tokens of all sequences, B sequences, L layers, H state size of each, G columns: the gates of
`tables` and, in the column after them, the logit of the layer's own boundary.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .compiled import kernel
from .steps import LSTM, finish_pool, pool, start_pool, update
from .turns import next_turn
from .vectors import add_rows


@kernel
def multiscale_sequences(
    turns: Any,
    ids: Any,
    starts: Any,
    ends: Any,
    inputs: Any,
    biases: Any,
    hidden: Any,
    below: Any,
    above: Any,
    level: Any,
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
        inputs: float32 `[V, G]`, a word's share of the bottom layer.
        biases: float32 `[L - 1, G]`, of the upper layers.
        hidden: float32 `[L, H, G]`, each layer's share of its own state.
        below, above: float32 `[L - 1, H, G]`, the share of the layer below in the upper layers, and
            of the layer above in all but the top layer.
        level: float32, the logit from which on a boundary is detected.
        pooling: code of the pooling, see `steps`.
        pooled: float32 `[B, L H]`, written: what the classifier sees, the layers side by side.
        was_read: bool `[N]`, written: where an upper layer computed.
        macs: int64 `[B]`, written: multiply-accumulates that ran.
    """
    num_layers, size, columns = hidden.shape
    boundary = 4 * size
    per_product = size * (boundary + 1)
    gates = np.empty(columns, np.float32)
    h = np.empty(num_layers * size, np.float32)
    c = np.empty(num_layers * size, np.float32)
    ended = np.empty(num_layers, np.bool_)  # a boundary at the last token
    gathered = np.empty(num_layers * size, np.float32)
    while True:
        s = next_turn(turns)
        if s < 0:
            break
        h[:] = 0
        c[:] = 0
        ended[:] = False
        start_pool(pooling, gathered)
        work = 0
        for t in range(starts[s], ends[s]):
            was_read[t] = False
            asked = True  # by the layer below; the token always asks the bottom layer
            for layer in range(num_layers):
                if not asked and not ended[layer]:
                    continue  # COPY; and the layers above it may still have to flush
                own_h = h[layer * size : (layer + 1) * size]
                own_c = c[layer * size : (layer + 1) * size]
                top = layer == num_layers - 1
                # The top layer has no boundary to detect.
                per = size * boundary if top else per_product
                if layer == 0:
                    gates[:] = inputs[ids[t]]
                else:
                    was_read[t] = True
                    gates[:] = biases[layer - 1]
                    if asked:
                        add_rows(gates, h[(layer - 1) * size :], below[layer - 1], 0, size)
                        work += per
                add_rows(gates, own_h, hidden[layer], 0, size)
                work += per
                if ended[layer]:  # FLUSH; else UPDATE
                    own_c[:] = 0
                    if not top:
                        add_rows(gates, h[(layer + 1) * size :], above[layer], 0, size)
                        work += per
                logit = gates[boundary]
                update(LSTM, gates, columns, own_h, own_c, size)
                asked = logit >= level and not top
                ended[layer] = asked
            pool(pooling, gathered, h)
        finish_pool(pooling, pooled[s], gathered, h, ends[s] - starts[s])
        macs[s] = work
