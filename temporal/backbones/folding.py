"""Fold batch norms into the convolutions before them, which is what inference may do.

In evaluation a batch norm multiplies and shifts each channel by constants, and the convolution
before it can do that by other weights. A third of the time of a mobile network on a CPU goes.

Which norm follows which convolution is not read off a model's code, which differs from family to
family: one row is run, and each operation of torch is seen. A pair is folded only where the
convolution's operation takes the module's own weights, and nothing but the norm takes its result.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Call = Callable[[Any, Sequence[Tensor]], Any]
"""Calls a model on its inputs; returns tensors in any nesting."""

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_TOLERANCE = 1e-4
"""By how much of the largest output the folded model may differ; in half precision 16 roundings."""


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
    if not any(type(module) in _NORMS for module in model.modules()):
        return None
    # In a thread of its own, where nobody counts or records operations.
    with ThreadPoolExecutor(1) as apart:
        return apart.submit(_fold, model, call, inputs).result()


@torch.no_grad()
def _fold(model: nn.Module, call: Call, inputs: Sequence[Tensor]) -> nn.Module | None:
    trial = [_drawn(x) for x in inputs]
    watch = _Watch(model)
    try:
        want = [x for x in tree_leaves(watch.run(call, trial)) if isinstance(x, Tensor)]
        pairs = watch.pairs(want)
        if not pairs:
            return None
        folded = _copy(model)
        for convolution, norm in pairs:
            _fold_pair(folded, convolution, norm)
        got = [x for x in tree_leaves(call(folded, trial)) if isinstance(x, Tensor)]
    except Exception:  # a stranger's model may do anything; whether it runs is not told here
        return None
    same = len(got) == len(want) and all(map(_is_close, got, want))
    return folded if same else None


def _drawn(x: Tensor) -> Tensor:
    if not x.is_floating_point():
        return x[:1].clone()
    seeded = torch.Generator().manual_seed(0)
    return torch.randn(1, *x.shape[1:], generator=seeded).to(x.device, x.dtype)


def _is_close(got: Tensor, want: Tensor) -> bool:
    if got.shape != want.shape or got.dtype != want.dtype or not want.numel():
        return False
    if not want.is_floating_point():
        return torch.equal(got, want)
    tolerance = max(_TOLERANCE, 16 * torch.finfo(want.dtype).eps)
    tolerance = _TOLERANCE if want.dtype in (torch.float32, torch.float64) else tolerance
    got, want = got.double(), want.double()
    return bool((got - want).abs().max() <= tolerance * want.abs().max())  # NaN is not


class _Watch(TorchDispatchMode):
    """Sees what each operation takes and gives while a model runs once."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.names: dict[int, list[str]] = {}
        for name, module in model.named_modules(remove_duplicate=False):
            self.names.setdefault(id(module), []).append(name)
        self.uses: Counter[int] = Counter()  # by tensor, of operations that take it
        self.convolved: dict[int, tuple[Any, Any]] = {}  # by result, weight and bias
        self.calls: list[tuple[nn.Module, Tensor, Tensor]] = []  # module, what it took and gave
        self.alive: list[Any] = []  # so that no two tensors have one id

    def run(self, call: Call, inputs: Sequence[Tensor]) -> Any:
        """Run the model, watched."""
        hooks = [
            module.register_forward_hook(self._called)
            for module in self.model.modules()
            if isinstance(module, _CONVOLUTIONS) or type(module) in _NORMS
        ]
        try:
            with self:
                return call(self.model, inputs)
        finally:
            for hook in hooks:
                hook.remove()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        taken = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        self.uses.update({id(x) for x in taken})
        self.alive += [*taken, result]
        if func is torch.ops.aten.convolution.default:
            self.convolved[id(result)] = (args[1], args[2])
        return result

    def _called(self, module: nn.Module, args: tuple[Any, ...], result: Any) -> None:
        taken = args[0] if args else None
        self.calls.append((module, taken, result))  # type: ignore[arg-type]  # or None: no pair
        self.alive.append(result)

    def pairs(self, outputs: Sequence[Tensor]) -> list[tuple[str, str]]:
        """Names of a convolution and the norm that alone takes its result."""
        times = Counter(id(module) for module, _, _ in self.calls)
        shown = {id(x) for x in outputs}
        once = [call for call in self.calls if times[id(call[0])] == 1 and self._is_own(call[0])]
        convolutions = {id(y): m for m, _, y in once if isinstance(m, _CONVOLUTIONS)}
        found = []
        for norm, taken, _ in once:
            convolution: Any = convolutions.get(id(taken))
            if type(norm) not in _NORMS or convolution is None or id(taken) in shown:
                continue
            weight, bias = self.convolved.get(id(taken), (None, None))
            is_plain = weight is convolution.weight and bias is convolution.bias
            alone = self.uses[id(taken)] == 1 and self.uses[id(weight)] == 1
            if is_plain and alone and norm.running_mean is not None and not norm.training:
                found.append((self.names[id(convolution)][0], self.names[id(norm)][0]))
        return found

    def _is_own(self, module: nn.Module) -> bool:
        """Whether a module has one place in the model, and weights that it does not compute."""
        return len(self.names[id(module)]) == 1 and not hasattr(module, "parametrizations")


def _copy(model: nn.Module) -> nn.Module:
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
    parent, _, own = norm_name.rpartition(".")
    setattr(model.get_submodule(parent), own, nn.Identity())
