"""A recurrent cell's weights as the CPU kernels want them: the input's share by vocabulary entry.

A token's share of all gates depends on the token alone, so it is computed once for each entry of
the vocabulary and then looked up, as an embedding is. Sigmoid gates come first and halved, since
`sigmoid(x) = (1 + tanh(x / 2)) / 2` makes one activation serve all gates.

V vocabulary entries, D embedding width, H state size, S updated size (H, or what skimming
updates), G columns: the gates and perhaps a policy's logit, padded to whole vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .cells import NUM_GATES
from .compiled import LANES

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
        inputs = input_layer(embedding_VD).float()
        hidden = hidden_layer.weight.T.float()
        size = hidden.shape[1] // NUM_GATES[cell]
        columns = _columns(cell, inputs, size), _columns(cell, hidden, size)
        new_VS = inputs[:, 2 * size :] if cell == "gru" else inputs[:, :0]
        if cell == "gru":
            columns[0][:, 2 * size :] = 0  # the new gate's hidden share: it has no bias
        if policy_input_V is not None and policy_hidden_H is not None:
            columns = (
                torch.cat([columns[0], policy_input_V.float()[:, None]], 1),
                torch.cat([columns[1], policy_hidden_H.float()[:, None]], 1),
            )
        padding = -columns[0].shape[1] % LANES
        inputs, hidden = (nn.functional.pad(part, [0, padding]) for part in columns)
        return CellTables(
            np.ascontiguousarray(torch.cat([inputs, new_VS], 1).numpy()),
            np.ascontiguousarray(hidden.numpy()),
        )


def layer_tables(layer: nn.Linear) -> tuple[Floats, Floats]:
    """A layer of the state as kernels want it: weight `[H, G]` and bias `[G]`, G whole vectors."""
    with torch.no_grad():
        padding = [0, -layer.out_features % LANES]
        parts = (layer.weight.T.float(), layer.bias.float())
        weight, bias = (nn.functional.pad(part, padding).contiguous().numpy() for part in parts)
        return weight, bias


def _columns(cell: str, gates: Tensor, size: int) -> Tensor:
    """Gates in the kernels' order, the sigmoid ones halved."""
    if cell == "gru":
        return torch.cat([gates[:, : 2 * size] / 2, gates[:, 2 * size :]], 1)
    i, f, g, o = gates.split(size, dim=1)
    return torch.cat([i / 2, f / 2, o / 2, g], 1)


def fits(vocab_size: int, hidden_size: int) -> bool:
    """Whether a cell's table would be of a reasonable size."""
    return 4 * 4 * vocab_size * hidden_size <= MOST_BYTES


class TableCache:
    """Tables that are made once and made anew when a weight has changed.

    Copies of a model share them, since they are a function of weights that the copies share;
    a pickled model leaves them behind.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[Any, ...], Any] = {}

    def get(self, module: nn.Module, make: Callable[[], Any]) -> Any:
        """What `make()` returned for these weights."""
        key = tuple(
            (weight.data_ptr(), 0 if weight.is_inference() else weight._version)
            for weight in module.parameters()
        )
        if key not in self._made:
            made = make()
            self._made.clear()
            self._made[key] = made
        return self._made[key]

    def __deepcopy__(self, memo: dict[int, Any]) -> TableCache:
        return self

    def __reduce__(self) -> tuple[type[TableCache], tuple[()]]:
        return TableCache, ()
