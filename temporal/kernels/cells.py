"""Recurrent cells as functions of rows: a big one that reads, and a small one that skims.

Seo et al., "Neural Speed Reading via Skim-RNN" (ICLR 2018), section 3.1: the big cell updates the
whole state of size H, the small one its first S entries, and leaves the rest as they are.

B sources, H state size, S skim size. Gates are stacked in torch's order: input, forget, cell,
output (LSTM); reset, update, new (GRU, whose hidden bias is left out).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

State = tuple[Tensor, ...]
"""`(h, c)` of an LSTM or `(h,)` of a GRU, each `[B, H]`."""

NUM_GATES = {"lstm": 4, "gru": 3}


def lstm_update(input_gates: Tensor, hidden_gates: Tensor, state: State) -> State:
    """One step of an LSTM (Gers et al., 2000) from the two shares of its gates, `[B, 4H]` each."""
    i_BH, f_BH, g_BH, o_BH = (input_gates + hidden_gates).chunk(4, dim=-1)
    c_BH = f_BH.sigmoid() * state[1] + i_BH.sigmoid() * g_BH.tanh()
    return o_BH.sigmoid() * c_BH.tanh(), c_BH


def gru_update(input_gates: Tensor, hidden_gates: Tensor, state: State) -> State:
    """One step of a GRU (Cho et al., 2014) from the two shares of its gates, `[B, 3H]` each."""
    input_r, input_z, input_n = input_gates.chunk(3, dim=-1)
    hidden_r, hidden_z, hidden_n = hidden_gates.chunk(3, dim=-1)
    n_BH = (input_n + (input_r + hidden_r).sigmoid() * hidden_n).tanh()
    return (torch.lerp(n_BH, state[0], (input_z + hidden_z).sigmoid()),)


UPDATES = {"lstm": lstm_update, "gru": gru_update}


def read_cell(cell: str, input_gates: Tensor, state: State, hidden_weight: Tensor) -> State:
    """Read: update all of the state.

    Args:
        cell: `"lstm"` or `"gru"`.
        input_gates: the input's share of the gates, `x @ W_ih.T + b`, `[B, 4H]` or `[B, 3H]`.
        state: before the token.
        hidden_weight: the recurrent weight, `[4H, H]` or `[3H, H]`.
    """
    return UPDATES[cell](input_gates, F.linear(state[0], hidden_weight), state)


def skim_cell(cell: str, input_gates: Tensor, state: State, hidden_weight: Tensor) -> State:
    """Skim: update the first S entries of the state from all of it; keep the others.

    With S = 0 this is skipping. Arguments as for `read_cell`, with S for H in the gates.
    """
    size = input_gates.shape[-1] // NUM_GATES[cell]
    if not size:
        return state
    first = tuple(part[:, :size] for part in state)
    new = UPDATES[cell](input_gates, F.linear(state[0], hidden_weight), first)
    return tuple(torch.cat([part, old[:, size:]], -1) for part, old in zip(new, state, strict=True))


def dense_states(
    cell: str, x_BTD: Tensor, input_weight: Tensor, input_bias: Tensor, hidden_weight: Tensor
) -> Tensor:
    """All states of a plain recurrent network that reads everything, by torch's fused kernel.

    Returns:
        `[B, T, H]`.
    """
    zeros_BH = x_BTD.new_zeros(len(x_BTD), hidden_weight.shape[1])
    state = (zeros_BH, zeros_BH) if cell == "lstm" else (zeros_BH,)
    return read_block(cell, x_BTD, state, input_weight, input_bias, hidden_weight)[0]


def read_block(
    cell: str,
    x_BTD: Tensor,
    state: State,
    input_weight: Tensor,
    input_bias: Tensor,
    hidden_weight: Tensor,
) -> tuple[Tensor, State]:
    """Read some tokens of each source, from a state on, by torch's fused kernel.

    Returns:
        The states after each token, `[B, T, H]`, and the last.
    """
    weights = [input_weight, hidden_weight, input_bias, torch.zeros_like(input_bias)]
    options = (weights, True, 1, 0.0, False, False, True)  # biases, layers, dropout, ..., B first
    first = tuple(part[None] for part in state)
    if cell == "lstm":
        states_BTH, *last = torch.lstm(x_BTD, first, *options)
    else:
        states_BTH, *last = torch.gru(x_BTD, first[0], *options)
    return states_BTH, tuple(part[0] for part in last)
