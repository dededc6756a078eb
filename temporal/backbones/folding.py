"""Fold batch norms into the convolutions before them, which is what inference may do.

In evaluation a batch norm multiplies and shifts each channel by constants, and the convolution
before it can do that by other weights. A third of the time of a mobile network on a CPU goes.

A pair is folded only where the convolution's operation takes the module's own weights, and nothing
but the norm takes its result: see `watch`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from .watch import NORMS, Call, Chain, Watch

_TOLERANCE = 1e-4
"""By how much of the largest output another form may differ; in half precision 16 roundings."""


def fold(model: nn.Module, call: Call, inputs: Sequence[Tensor]) -> nn.Module | None:
    """A copy of a model in evaluation with its batch norms folded; all else is shared with it.

    Args:
        model: it is not changed.
        call: calls the model, or the copy.
        inputs: of one batch. Their shapes count, and the values of whole numbers: floating-point
            values are drawn, the same each time, so that what is folded does not depend on them.

    Returns:
        None: nothing can be folded, or the copy does not compute the same.
    """
    if not any(type(module) in NORMS for module in model.modules()):
        return None
    # In a thread of its own, where nobody counts or records operations.
    with ThreadPoolExecutor(1) as apart:
        return apart.submit(_fold, model, call, inputs).result()


@torch.no_grad()
def _fold(model: nn.Module, call: Call, inputs: Sequence[Tensor]) -> nn.Module | None:
    trial = Trial(model, call, inputs)
    folded = fold_chains(model, trial.chains)
    return folded if folded is not None and trial.is_passed_by(folded) else None


class Trial:
    """One row of a model, watched, and whether another form of the model says the same.

    Args:
        model: see `fold`, as `call` and `inputs`. One that fails has no chains.
    """

    def __init__(self, model: nn.Module, call: Call, inputs: Sequence[Tensor]) -> None:
        self.call = call
        self.inputs = [_drawn(x) for x in inputs]
        self.want: list[Tensor] = []
        self.chains: list[Chain] = []
        watch = Watch(model)
        try:
            self.want = _tensors(watch.run(call, self.inputs))
            self.chains = watch.chains(self.want)
        except Exception:  # a stranger's model may do anything; whether it runs is not told here
            self.chains = []

    def is_passed_by(self, form: nn.Module) -> bool:
        """Whether another form gives what the model gave."""
        try:
            got = _tensors(self.call(form, self.inputs))
        except Exception:  # as above
            return False
        return len(got) == len(self.want) and all(map(_is_close, got, self.want))


def fold_chains(model: nn.Module, chains: Sequence[Chain]) -> nn.Module | None:
    """A copy of a model with the norms of these chains folded. None: there is none."""
    pairs = [(chain.convolution, chain.norm) for chain in chains if chain.norm is not None]
    if not pairs:
        return None
    folded = copy_of(model)
    for convolution, norm in pairs:
        _fold_pair(folded, convolution, norm)
    return folded


def _tensors(outputs: Any) -> list[Tensor]:
    return [x for x in tree_leaves(outputs) if isinstance(x, Tensor)]


def _drawn(x: Tensor) -> Tensor:
    if not x.is_floating_point():
        return x[:1].clone()
    seeded = torch.Generator().manual_seed(0)
    drawn = torch.randn(1, *x.shape[1:], generator=seeded).to(x.device, x.dtype)
    in_order = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
    return drawn.contiguous(memory_format=torch.channels_last) if in_order else drawn


def _is_close(got: Tensor, want: Tensor) -> bool:
    if got.shape != want.shape or got.dtype != want.dtype or not want.numel():
        return False
    if not want.is_floating_point():
        return torch.equal(got, want)
    tolerance = max(_TOLERANCE, 16 * torch.finfo(want.dtype).eps)
    tolerance = _TOLERANCE if want.dtype in (torch.float32, torch.float64) else tolerance
    got, want = got.double(), want.double()
    return bool((got - want).abs().max() <= tolerance * want.abs().max())  # NaN is not


def copy_of(model: nn.Module) -> nn.Module:
    """The same modules anew, around the same weights, and around what they keep computed."""
    held = tree_leaves([list(vars(module).values()) for module in model.modules()])
    return copy.deepcopy(model, memo={id(x): x for x in held if isinstance(x, Tensor)})


def _fold_pair(model: nn.Module, convolution_name: str, norm_name: str) -> None:
    convolution: Any = model.get_submodule(convolution_name)
    norm: Any = model.get_submodule(norm_name)
    weight, bias = convolution.weight, convolution.bias
    scale_C = (norm.running_var.double() + norm.eps).rsqrt()
    shift_C = norm.running_mean.double() if bias is None else norm.running_mean - bias.double()
    if norm.weight is not None:
        scale_C = scale_C * norm.weight
    bias_C = -shift_C * scale_C if norm.bias is None else norm.bias - shift_C * scale_C
    scaled = weight.double() * scale_C.view(-1, *[1] * (weight.ndim - 1))
    layout = torch.channels_last if weight.ndim == 4 and not weight.is_contiguous() else None
    scaled = scaled.to(weight.dtype, memory_format=layout or torch.contiguous_format)
    convolution.weight = nn.Parameter(scaled, requires_grad=False)
    convolution.bias = nn.Parameter(bias_C.to(weight.dtype), requires_grad=False)
    put(model, norm_name, nn.Identity())


def put(model: nn.Module, name: str, module: nn.Module) -> None:
    """Another module in the place of that name."""
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, module)
