"""Convolutions with their activation inside, by the kernels that torch brings for its own compiler.

oneDNN computes an activation while a convolution's result is still in the processor's caches, and
takes weights in an order of its own, into which they are brought once. The operations have no
public name in torch: where they are missing, or do not say what the model says, nothing is fused.

B images, C channels, H and W.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .efficientnet_lite import SamePadConv
from .folding import Trial, copy_of, fold_chains, put
from .watch import CONVOLUTIONS, NORMS, Call, Chain, Operation
from .workers import beside

_aten = torch.ops.aten
_Scalars = list[float]
_Kind = tuple[str, _Scalars, str]
"""What the operation calls an activation, its numbers, and which way it is computed."""

_NONE: _Kind = ("none", [], "")


def _fixed(name: str, algorithm: str = "") -> Callable[..., _Kind]:
    return lambda *_: (name, [], algorithm)


def _gelu(x: Any, approximate: str = "none") -> _Kind:
    return "gelu", [], approximate


def _hardtanh(x: Any, low: float = -1.0, high: float = 1.0) -> _Kind:
    return "hardtanh", [low, high], ""


def _leaky_relu(x: Any, slope: float = 0.01) -> _Kind:
    return "leaky_relu", [slope], ""


_KINDS: dict[Any, Callable[..., _Kind]] = {
    **dict.fromkeys((_aten.relu, _aten.relu_), _fixed("relu")),
    **dict.fromkeys((_aten.silu, _aten.silu_), _fixed("swish")),
    **dict.fromkeys((_aten.hardswish, _aten.hardswish_), _fixed("hardswish")),
    **dict.fromkeys((_aten.hardsigmoid, _aten.hardsigmoid_), _fixed("hardsigmoid")),
    **dict.fromkeys((_aten.sigmoid, _aten.sigmoid_), _fixed("sigmoid")),
    **dict.fromkeys((_aten.tanh, _aten.tanh_), _fixed("tanh")),
    **dict.fromkeys((_aten.gelu, _aten.gelu_), _gelu),
    **dict.fromkeys((_aten.hardtanh, _aten.hardtanh_), _hardtanh),
    **dict.fromkeys((_aten.leaky_relu, _aten.leaky_relu_), _leaky_relu),
}


@dataclass(frozen=True, slots=True)
class Form:
    """A model in another form, for inference."""

    name: str = "as it is"
    """`"fused"`, `"folded"` or `"as it is"`."""
    model: nn.Module | None = None
    """None: the model as it is."""
    why: str = ""
    """Why it is not fused."""


def fastest_form(model: nn.Module, call: Call, inputs: Sequence[Tensor]) -> Form:
    """The fastest form of a model in evaluation that computes the same: fused, folded, or itself.

    Args:
        model: on a CPU; it is not changed.
        call: calls the model, or its other form.
        inputs: see `fold`.
    """
    modules = list(model.modules())
    convolutions = sum(isinstance(module, CONVOLUTIONS) for module in modules)
    if convolutions < 2 and not any(type(module) in NORMS for module in modules):
        return Form(why="it has no convolutions but for patches")  # worth no watched run
    return beside(_fastest_form, model, call, inputs)


@torch.no_grad()
def _fastest_form(model: nn.Module, call: Call, inputs: Sequence[Tensor]) -> Form:
    trial = Trial(model, call, inputs)
    folded = fold_chains(model, trial.chains)
    if folded is not None and not trial.is_passed_by(folded):
        folded, trial.chains = None, []
    name = "as it is" if folded is None else "folded"
    fused, why = None, missing(inputs[0].dtype)
    if not why:
        fused = _fuse(model if folded is None else folded, trial.chains)
        why = "no convolution is followed by an activation of its own"
    if fused is None:
        return Form(name, folded, why)
    if not trial.is_passed_by(fused):
        return Form(name, folded, "the fused form does not say what the model says")
    return Form("fused", fused)


def missing(dtype: torch.dtype) -> str:
    """What fused convolutions lack here for this type; empty: nothing."""
    own: Any = torch.ops.mkldnn
    if torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        return "it was not measured on such a processor"
    if not torch.backends.mkldnn.is_available() or not torch.backends.mkldnn.enabled:
        return "torch has no oneDNN"
    if not hasattr(own, "_convolution_pointwise") or not hasattr(
        own, "_reorder_convolution_weight"
    ):
        return "this torch has no fused convolutions"
    if dtype == torch.float32:
        return ""
    if dtype == torch.bfloat16 and own._is_mkldnn_bf16_supported():
        return ""
    return f"this processor has no fused convolutions in {str(dtype).removeprefix('torch.')}"


def _fuse(model: nn.Module, chains: Sequence[Chain]) -> nn.Module | None:
    """A copy with each of these chains as one operation; their norms are folded already."""
    fusible = [c for c in chains if _is_fusible(model.get_submodule(c.convolution))]
    kinds = {chain.convolution: _kind(chain.operation) for chain in fusible}
    # A shared activation is taken out of all places or of none.
    kept = {c.activations for c in chains if kinds.get(c.convolution, _NONE) == _NONE}
    if all(chain.activations in kept for chain in fusible):
        return None
    fused = copy_of(model)
    for chain in fusible:
        convolution: Any = model.get_submodule(chain.convolution)
        kind = _NONE if chain.activations in kept else kinds[chain.convolution]
        if kind == _NONE and chain.norm is None:
            continue  # alone it gains nothing, and may lose half (PoolFormer)
        put(fused, chain.convolution, FusedConv(convolution, kind))
        for name in chain.activations if kind != _NONE else ():
            put(fused, name, nn.Identity())
    return fused


def _kind(operation: Operation | None) -> _Kind:
    if operation is None:
        return _NONE
    kind = _KINDS.get(operation.func.overloadpacket)
    return _NONE if kind is None else kind(*operation.args, **operation.kwargs)


def _is_fusible(module: nn.Module) -> bool:
    """Whether it computes as `nn.Conv2d` does, but for the margins."""
    if not isinstance(module, nn.Conv2d) or module.padding_mode != "zeros":
        return False
    own = type(module)
    changed = (
        own.forward is not nn.Conv2d.forward or {"forward", "_conv_forward"} & vars(module).keys()
    )
    return own is SamePadConv or (not changed and own._conv_forward is nn.Conv2d._conv_forward)


class FusedConv(nn.Conv2d):
    """A convolution in evaluation, and the activation after it.

    To who asks it is the convolution still: its sizes, and a weight of its shape and type, which
    takes no memory and holds zeros.

    Args:
        convolution: on a CPU; it is not kept.
        kind: of the activation.
    """

    def __init__(self, convolution: nn.Conv2d, kind: _Kind) -> None:
        nn.Module.__init__(self)
        own = convolution
        vars(self).update({**vars(own), "_parameters": dict(own._parameters)})
        self.kind = kind
        self.margins: Any = getattr(own, "margins", self._same_margins)
        weight = own.weight.detach()
        self.packed = self._pack(weight)
        # A kernel whose first row and column are zeros sees nothing of one pixel more on the left
        # and above: uneven margins become even ones, and the image need not be copied into a larger
        # one. Where each output sums over many channels the copy is cheaper than the products.
        is_depthwise = own.groups == own.in_channels > 1 and own.dilation == (1, 1)
        self.packed_for_even_margins = (
            self._pack(F.pad(weight, (1, 0, 1, 0))) if is_depthwise else None
        )
        nothing = torch.zeros((), dtype=own.weight.dtype).expand(own.weight.shape)
        self.weight = nn.Parameter(nothing, requires_grad=False)

    def _pack(self, weight: Tensor) -> Tensor:
        packed: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
            weight, [0, 0], self.stride, self.dilation, self.groups
        )
        return packed

    def _same_margins(self, height: int, width: int) -> Sequence[int]:
        return self._reversed_padding_repeated_twice

    def forward(self, input: Tensor) -> Tensor:
        """As the convolution's, and the activation's."""
        left, right, above, below = self.margins(*input.shape[-2:])
        packed = self.packed
        if (right, below) == (left + 1, above + 1) and self.packed_for_even_margins is not None:
            packed, left, above = self.packed_for_even_margins, right, below
        elif left != right or above != below:
            input = F.pad(input, (left, right, above, below))
            left = above = 0
        sizes = ([above, left], self.stride, self.dilation, self.groups)
        return torch.ops.mkldnn._convolution_pointwise(input, packed, self.bias, *sizes, *self.kind)
