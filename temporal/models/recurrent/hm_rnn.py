"""HM-RNN: upper layers that compute only at the boundaries that the layers below them detect.

Chung, Ahn & Bengio, "Hierarchical Multiscale Recurrent Neural Networks" (ICLR 2017, arXiv
1609.01704).

B sources, T tokens, D embedding width, L layers, H state size of each, K classes.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from ...checks import check_in, num_classes
from ...handle import Handle
from ...kernels.hm_rnn import multiscale_sequences
from ...kernels.tables import cell_tables, columns
from ...policies.estimators import annealed_slope, hard_sigmoid, straight_through_step
from ...stage import Stage
from .configuration import RecurrentConfig
from .kernel_runs import run_kernel
from .parts import make_answer, make_cell, make_kernel
from .readers import (
    READ_LEVELS,
    RecurrentReader,
    init_recurrent_weights,
    plain_macs,
    pool_densely,
    read_cohort,
)


class HMRNNConfig(RecurrentConfig):
    """Sizes and policy of an `HMRNN`; its cell is an LSTM."""

    model_type = "hm_rnn"
    policy_fields = ("read_threshold",)

    num_layers: int = 2
    """L, 2 or 3."""
    read_threshold: float = 0.5
    """A boundary is where the hard sigmoid (of slope 1) of its logit reaches this; 0.5 is what was
    trained. After training, more has the upper layers compute less. At 0 every token is a boundary;
    at 1 none is, and the bottom layer is a plain LSTM."""
    slope_rate: float = 1e-3
    """By how much the slope of the hard sigmoid grows with each training step (the paper: 0.04 an
    epoch), from 1 to 5 at most."""
    update_loss_weight: float = 0.0
    """What each update of an upper layer adds to the loss (the paper: nothing)."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        check_in("cell", self.cell, ("lstm",))
        check_in("num_layers", self.num_layers, (2, 3))


class HMRNN(RecurrentReader, PreTrainedModel):
    """Reads every token in its bottom layer, and whole segments in the upper ones.

    "Hierarchical Multiscale Recurrent Neural Networks", Chung et al., arXiv 1609.01704.

    Each layer but the top detects where a segment ends. At such a boundary the layer above takes
    the segment in (UPDATE), and at the next token the layer itself starts anew from what the layer
    above says (FLUSH). Elsewhere an upper layer keeps its state (COPY) and detects no boundary;
    nothing is computed. The classifier sees the pooled states of all layers, side by side.

    `forward` trains it with straight-through boundaries whose slope is annealed. With gradients off
    it computes on a CPU only what is not copied, by a compiled kernel; elsewhere, as in eval mode
    with gradients on, every layer at every token: a GPU needs as long for an upper layer's few rows
    as for all, so lock-step would gain nothing.

    In the trace, a token is read where an upper layer computed, and skimmed elsewhere.
    """

    config_class = HMRNNConfig
    base_model_prefix = "hm_rnn"
    # From 0.5 on, as it is trained: with more boundaries it computes more and answers worse, a weak
    # full reading to compare with.
    policy_levels = READ_LEVELS[READ_LEVELS.index(0.5) :]

    def __init__(self, config: HMRNNConfig) -> None:
        super().__init__(config)
        width, size, upper = config.embedding_size, config.hidden_size, range(config.num_layers - 1)
        make_cell(self)
        # Of the upper layers; `above` leads down to all but the top, from the layer above each.
        self.below = nn.ModuleList(nn.Linear(size, 4 * size) for _ in upper)
        self.hidden = nn.ModuleList(nn.Linear(size, 4 * size, bias=False) for _ in upper)
        self.above = nn.ModuleList(nn.Linear(size, 4 * size, bias=False) for _ in upper)
        # Of all layers but the top: from what is below, its own state, and what is above.
        self.policy = nn.ModuleList(
            nn.Linear((size if layer else width) + 2 * size, 1) for layer in upper
        )
        make_answer(self, config.num_layers * size)
        self.training_step = 0  # of the slope's schedule; set by the training script
        make_kernel(self)
        self.dense = Stage(partial(pool_densely, self, self._dense), name="dense", pad=True)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        init_recurrent_weights(module, "lstm", (self.read_input, *self.below))

    def _dense(self, x_BTD: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        num_layers, size = self.config.num_layers, self.config.hidden_size
        slope = annealed_slope(self.training_step, rate=self.config.slope_rate, most=5.0)
        first: Any = self.policy[0]
        of_word, of_rest = first.weight.split([x_BTD.shape[-1], 2 * size], 1)
        word_logits_BT1 = F.linear(x_BTD, of_word, first.bias)
        hidden: list[Any] = [self.read_hidden, *self.hidden]
        below: list[Any] = [None, *self.below]
        zeros_BH = x_BTD.new_zeros(len(x_BTD), size)
        h, c = [zeros_BH] * num_layers, [zeros_BH] * num_layers
        ended = [zeros_BH[:, :1]] * num_layers  # whether the last token ended a segment
        states, computed = [], []
        for gates_x, logit_x in zip(
            self.read_input(x_BTD).unbind(1), word_logits_BT1.unbind(1), strict=True
        ):
            asked, active = torch.ones_like(logit_x), []
            for layer in range(num_layers):
                layer_below, top = below[layer], layer == num_layers - 1
                gates = gates_x if layer_below is None else asked * layer_below(h[layer - 1])
                if layer_below is not None:  # the bias is there in a FLUSH, too
                    gates = gates + (1 - asked) * layer_below.bias
                gates = gates + hidden[layer](h[layer])
                above = zeros_BH if top else ended[layer] * h[layer + 1]
                if not top:
                    gates = gates + self.above[layer](above)
                    if layer:
                        seen = torch.cat([asked * h[layer - 1], h[layer], above], 1)
                        logit = self.policy[layer](seen)
                    else:
                        seen = torch.cat([h[layer], above], 1)
                        logit = logit_x + F.linear(seen, of_rest)
                i, f, g, o = gates.chunk(4, -1)
                old_c = (1 - ended[layer]) * c[layer]  # FLUSH forgets it
                new_c = f.sigmoid() * old_c + i.sigmoid() * g.tanh()
                computes = ended[layer] + (1 - ended[layer]) * asked  # else COPY
                c[layer] = torch.lerp(c[layer], new_c, computes)
                h[layer] = torch.lerp(h[layer], o.sigmoid() * new_c.tanh(), computes)
                active.append(computes)
                if not top:
                    boundary = straight_through_step(hard_sigmoid(logit - self._level(), slope))
                    asked = ended[layer] = computes * boundary
            states.append(torch.cat(h, 1))
            computed.append(torch.cat(active[1:], 1))
        computed_BTL = torch.stack(computed, 1)
        num_updates_B = (computed_BTL * mask_BT[..., None]).sum((1, 2))
        penalty = self.config.update_loss_weight * num_updates_B.mean()
        return torch.stack(states, 1), computed_BTL.amax(-1), penalty

    def _level(self) -> float:
        """The logit from which on a boundary is detected."""
        threshold = self.config.read_threshold
        ends = {0.0: -math.inf, 1.0: math.inf}  # all, none
        return ends.get(threshold, 2 * threshold - 1)

    def dense_macs(self, units_total: int) -> int | None:
        """MACs of a plain LSTM of as many layers, which updates all of them at every token.

        Its bottom layer as in `plain_macs`. Reading everything costs more: layers also see above.
        """
        size, upper = self.config.hidden_size, self.config.num_layers - 1
        more = upper * size * (8 * size * units_total + num_classes(self.config))
        return plain_macs(self, units_total) + more

    # Inference -----------------------------------------------------------------------------------

    async def read(self, documents: list[Handle]) -> list[Tensor]:
        """Read a cohort of documents, all tokens in the bottom layer and segments above it.

        Returns:
            Logits `[K]` for each document.
        """
        return await read_cohort(self, documents, self.dense)

    def _run(self, ids_BT: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        tables = self.tables.get(self, self._make_tables)
        level = np.float32(self._level())
        return run_kernel(self, multiscale_sequences, ids_BT, lengths_B, *tables, level)

    @torch.no_grad()
    def _make_tables(self) -> tuple[Any, ...]:
        words, size = self.embedding.weight, self.config.hidden_size
        # A boundary's share of what is below, of the layer itself, and of what is above.
        policies: list[Any] = list(self.policy)
        below: list[Any] = list(self.below)
        shares = [p.weight[0].split([len(p.weight[0]) - 2 * size, size, size]) for p in policies]
        of_below, of_own, of_above = map(list, zip(*shares, strict=True))
        bottom = cell_tables(
            "lstm",
            words,
            self.read_input,
            self.read_hidden,
            policy_input_V=words @ of_below[0] + policies[0].bias,
            policy_hidden_H=of_own[0],
        )
        nothing = torch.zeros(size)  # the top layer detects no boundary
        biases = [*(policy.bias for policy in policies[1:]), nothing[:1]]
        return (
            bottom.inputs,
            _stacked([layer.bias[None] for layer in below], biases)[:, 0],
            np.concatenate([bottom.hidden[None], _stacked(self.hidden, [*of_own[1:], nothing])]),
            _stacked(below, [*of_below[1:], nothing]),
            _stacked(self.above, of_above),
        )


def _stacked(gates: Any, logits: list[Tensor]) -> Any:
    """Layers (or gates `[n, 4 H]`) with logits `[n]` as the kernel takes them, `[L - 1, n, G]`."""
    weights = [layer.weight.T if isinstance(layer, nn.Linear) else layer for layer in gates]
    laid_out = [columns("lstm", *pair) for pair in zip(weights, logits, strict=True)]
    return np.ascontiguousarray(torch.stack(laid_out).float().numpy())
