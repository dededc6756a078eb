"""A recurrent cell's weights as the CPU kernels want them: the input's share by vocabulary entry.

A token's share of all gates depends on the token alone, so it is computed once for each entry of
the vocabulary and then looked up, as an embedding is. Sigmoid gates come first and halved, since
`sigmoid(x) = (1 + tanh(x / 2)) / 2` makes one activation serve all gates.

V vocabulary entries, D embedding width, H state size, S updated size (H, or what skimming
updates), G columns: the gates and perhaps a policy's logit, padded to whole vectors.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .cells import NUM_GATES
from .vectors import LANES

Floats = NDArray[np.float32]

MOST_BYTES = 512 * 2**20
"""A table larger than this is not made (a vocabulary of 250,000 with a state of 128, say)."""


class CellTables(NamedTuple):
    """One cell's weights. LSTM columns: input, forget, output, cell. GRU: reset, update, new."""

    inputs: Floats
    """`[V, G]`; for a GRU `[V, G + S]`, since its new gate keeps the input's share apart."""
    hidden: Floats
    """`[H, G]`."""


def cell_tables(
    cell: str,
    embedding_VD: Tensor,
    input_layer: nn.Linear,
    hidden_layer: nn.Linear,
    *,
    policy_input_V: Tensor | None = None,
    policy_hidden_H: Tensor | None = None,
) -> CellTables:
    """Tables of a cell; a policy's logit may ride in the column after the gates.

    Args:
        cell: `"lstm"` or `"gru"`.
        embedding_VD: the word embeddings.
        input_layer: `[D -> gates x S]` with bias, gates in torch's order.
        hidden_layer: `[H -> gates x S]` without bias.
        policy_input_V, policy_hidden_H: the two shares of the logit.
    """
    with torch.no_grad():
        gates = input_layer(embedding_VD).float()
        size = hidden_layer.weight.shape[0] // NUM_GATES[cell]
        new_VS = gates[:, :0]
        if cell == "gru":  # its new gate's column is for the hidden share, which has no bias
            new_VS = gates[:, 2 * size :].clone()
            gates[:, 2 * size :] = 0
        inputs = columns(cell, gates, policy_input_V)
        hidden = columns(cell, hidden_layer.weight.T.float(), policy_hidden_H)
        inputs = torch.cat([inputs, new_VS], 1)
        return CellTables(inputs.contiguous().numpy(), hidden.contiguous().numpy())


def layer_tables(layer: nn.Linear) -> tuple[Floats, Floats]:
    """A layer of the state as kernels want it: weight `[H, G]` and bias `[G]`, G whole vectors."""
    return table(layer.weight.T), table(layer.bias)


def table(part: Tensor) -> Floats:
    """A tensor as kernels want it: float32, contiguous, its last dimension whole vectors."""
    return whole_vectors(part.detach()).float().contiguous().numpy()


def whole_vectors(part: Tensor) -> Tensor:
    """With zeros at the end of the last dimension, to a multiple of `LANES`."""
    return nn.functional.pad(part, [0, -part.shape[-1] % LANES])


def columns(cell: str, gates: Tensor, logit: Tensor | None = None) -> Tensor:
    """Gates in the kernels' order, the sigmoid ones halved, and the padding.

    Args:
        cell: `"lstm"` or `"gru"`.
        gates: float32 `[n, gates x S]`, in torch's order.
        logit: `[n]`, for the column after the gates.
    """
    if cell == "gru":
        size = gates.shape[1] // 3
        parts = [gates[:, : 2 * size] / 2, gates[:, 2 * size :]]
    else:
        i, f, g, o = gates.chunk(4, dim=1)
        parts = [i / 2, f / 2, o / 2, g]
    if logit is not None:
        parts.append(logit.float()[:, None])
    return whole_vectors(torch.cat(parts, 1))


def fits(vocab_size: int, hidden_size: int) -> bool:
    """Whether a cell's table would be of a reasonable size."""
    return 4 * 4 * vocab_size * hidden_size <= MOST_BYTES
