"""Count the multiply-accumulates that a computation really runs.

torch's flop counter works below autograd, so what a dynamic model skips is not counted. It misses
two CPU kernels (scaled dot-product attention and the fused LSTM) and the fused encoder layer; the
formulas below close these holes.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

_aten = torch.ops.aten


def _attention_flops(
    query_shape: Any, key_shape: Any, value_shape: Any, *args: Any, **kwargs: Any
) -> int:
    """Two products per head: queries with keys, and weights with values."""
    batch, heads, queries, width = query_shape
    keys, value_width = key_shape[-2], value_shape[-1]
    return 2 * batch * heads * queries * keys * (width + value_width)


def _lstm_layer_flops(
    input_shape: Any, input_weight_shape: Any, hidden_weight_shape: Any, *args: Any, **kwargs: Any
) -> int:
    """One input and one hidden product per token. Shapes: `[T, B, D]`, `[4H, D]`, `[4H, H]`."""
    steps, batch, _ = input_shape
    gates, width = input_weight_shape
    return 2 * steps * batch * gates * (width + hidden_weight_shape[-1])


def _fused_convolution_flops(
    input_shape: Any, weight_shape: Any, *args: Any, out_shape: Any, **kwargs: Any
) -> int:
    """One product with the kernel per value. Shapes: `[B, C, ...]`, `[D, C / groups, ...]`."""
    return 2 * math.prod(out_shape) * math.prod(weight_shape[1:])


_MISSING_FORMULAS = {
    _aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
    _aten.mkldnn_rnn_layer: _lstm_layer_flops,
}
if hasattr(torch.ops.mkldnn, "_convolution_pointwise"):  # not public, and not everywhere
    _MISSING_FORMULAS[torch.ops.mkldnn._convolution_pointwise] = _fused_convolution_flops


class _NoModules:
    """Stands in for the counter's tracker of modules.

    The tracker costs time, and it cannot follow parameters that are passed as arguments while
    gradients are off.
    """

    parents = frozenset({"Global"})

    def __enter__(self) -> None: ...

    def __exit__(self, *exception: object) -> None: ...


@functools.cache
def load_counter() -> None:
    """Its first use imports for a second or two, which is no part of the time that is measured."""
    with FlopCounterMode(display=False):
        torch.zeros(1, 1) @ torch.zeros(1, 1)


def count_macs(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Any, int]:
    """Call `fn` and count its multiply-accumulates.

    Returns:
        The result of `fn(*args, **kwargs)`, and its MACs (half its FLOPs). Products of matrices,
        convolutions and attention count; additions, activations and norms do not, as is the
        convention of the papers.
    """
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # the fused encoder layer counts as nothing
    try:
        counter = FlopCounterMode(display=False, custom_mapping=_MISSING_FORMULAS)
        counter.mod_tracker = _NoModules()  # type: ignore[assignment]  # same three members
        with counter:
            result = fn(*args, **kwargs)
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return result, counter.get_total_flops() // 2


def count_macs_by_length(run: Callable[[int], Any]) -> Callable[[int], int]:
    """Count what a computation over a sequence takes, whatever the sequence's length.

    Args:
        run: computes on a sequence of so many units. Its MACs must be at most quadratic in that
            number, as those of a transformer's layers are.

    Returns:
        The MACs for a length, from Newton's polynomial through the counts for 1, 2 and 3 units.
    """
    one, two, three = (count_macs(run, length)[1] for length in (1, 2, 3))
    slope, bend = two - one, three - 2 * two + one
    return lambda length: one + (length - 1) * slope + (length - 1) * (length - 2) // 2 * bend


def count_macs_by_memory(run: Callable[[int, int], Any]) -> Callable[[int, int], int]:
    """Count what a computation takes that remembers the units before, however many these are.

    Args:
        run: computes on so many new units after so many remembered ones. Its MACs must be at most
            quadratic in both together, as those of attention over what is cached are.

    Returns:
        The MACs for (new, remembered), from the polynomial through six counts for 1 to 3 of each.
    """
    places = [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (1, 3)]
    first, n2, n3, c2, both, c3 = (count_macs(run, *place)[1] for place in places)
    slope_n, slope_c = n2 - first, c2 - first
    bend_n, bend_c = n3 - 2 * n2 + first, c3 - 2 * c2 + first
    cross = both - n2 - c2 + first

    def macs(new: int, cached: int) -> int:
        n, c = new - 1, cached - 1
        bends = n * (n - 1) // 2 * bend_n + c * (c - 1) // 2 * bend_c
        return first + n * slope_n + c * slope_c + n * c * cross + bends

    return macs
