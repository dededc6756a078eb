"""The two cells of a Skim-LSTM, as functions of rows: what skimming saves is not computed.

Seo et al., "Neural Speed Reading via Skim-RNN" (ICLR 2018), section 3.1. The big cell updates the
whole state of size H; the small one updates its first S entries and leaves the rest as they are.

B rows, D input width, H state size, S skim size. Gates are stacked in torch's order: input,
forget, cell, output.
"""

from __future__ import annotations

import torch
from torch import Tensor


def lstm_gates(gates_B4H: Tensor, c_BH: Tensor) -> tuple[Tensor, Tensor]:
    """One LSTM update from its gates' pre-activations. Returns the new `h` and `c`."""
    i_BH, f_BH, g_BH, o_BH = gates_B4H.chunk(4, dim=-1)
    c_BH = f_BH.sigmoid() * c_BH + i_BH.sigmoid() * g_BH.tanh()
    return o_BH.sigmoid() * c_BH.tanh(), c_BH


def read_cell(
    x_gates_B4H: Tensor, h_BH: Tensor, c_BH: Tensor, hidden_weight_4HH: Tensor
) -> tuple[Tensor, Tensor]:
    """Read: update all of the state.

    Args:
        x_gates_B4H: the input's share of the gates, `x @ W_ih.T + b`.
        h_BH, c_BH: the state before.
        hidden_weight_4HH: the recurrent weight.
    """
    return lstm_gates(x_gates_B4H + h_BH @ hidden_weight_4HH.T, c_BH)


def skim_cell(
    x_gates_B4S: Tensor, h_BH: Tensor, c_BH: Tensor, hidden_weight_4SH: Tensor
) -> tuple[Tensor, Tensor]:
    """Skim: update the first S entries of the state from all of it; keep the others.

    With S = 0 this is skipping. Arguments as for `read_cell`, with S for H in the gates.
    """
    size = x_gates_B4S.shape[-1] // 4
    if not size:
        return h_BH, c_BH
    h_BS, c_BS = lstm_gates(x_gates_B4S + h_BH @ hidden_weight_4SH.T, c_BH[:, :size])
    return torch.cat([h_BS, h_BH[:, size:]], -1), torch.cat([c_BS, c_BH[:, size:]], -1)
