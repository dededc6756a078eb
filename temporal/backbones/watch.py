"""What the layers of a model do with each other's results, seen while it runs once.

Which norm or activation follows which convolution is not read off a model's code, which differs
from family to family: one row is run, and each operation of torch is seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Call = Callable[[Any, Sequence[Tensor]], Any]
"""Calls a model on its inputs; returns tensors in any nesting."""

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of torch."""

    func: Any
    args: Sequence[Any]
    kwargs: dict[str, Any]
    result: Any


@dataclass(frozen=True, slots=True)
class Chain:
    """A convolution that runs once, with its own weights, and what alone takes its result."""

    convolution: str
    """The module's name."""
    norm: str | None = None
    """The batch norm that comes next."""
    activations: tuple[str, ...] = ()
    """Names of the module that comes next, which is one operation on the result before; it may be
    shared with other chains. Empty: there is no such module."""
    operation: Operation | None = None
    """What that module does."""


@dataclass(slots=True)
class _ModuleCall:
    module: nn.Module
    first: int  # of the operations that ran in it
    taken: Any = None
    given: Any = None
    end: int = -1


class Watch(TorchDispatchMode):
    """Sees what each operation takes and gives while a model runs once."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.names: dict[int, list[str]] = {}
        for name, module in model.named_modules(remove_duplicate=False):
            self.names.setdefault(id(module), []).append(name)
        self.operations: list[Operation] = []
        self.takers: dict[int, list[int]] = {}  # by tensor, the operations that take it, in order
        self.convolved: dict[int, Operation] = {}  # by result
        self.calls: list[_ModuleCall] = []  # of modules without parts, in the order of their end
        self.begun: list[_ModuleCall] = []
        self.alive: list[Any] = []  # so that no two tensors have one id

    def run(self, call: Call, inputs: Sequence[Tensor]) -> Any:
        """Run the model, watched."""
        hooks: list[Any] = []
        for module in self.model.modules():
            if isinstance(module, CONVOLUTIONS) or not any(True for _ in module.children()):
                hooks.append(module.register_forward_pre_hook(self._begin))
                hooks.append(module.register_forward_hook(self._end))
        try:
            with self:
                return call(self.model, inputs)
        finally:
            for hook in hooks:
                hook.remove()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        taken = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        for key in {id(x) for x in taken}:
            self.takers.setdefault(key, []).append(len(self.operations))
        self.alive += [*taken, result]
        self.operations.append(Operation(func, args, kwargs or {}, result))
        if func is torch.ops.aten.convolution.default:
            self.convolved[id(result)] = self.operations[-1]
        return result

    def _begin(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self.begun.append(_ModuleCall(module, len(self.operations), args[0] if args else None))

    def _end(self, module: nn.Module, args: tuple[Any, ...], result: Any) -> None:
        call = self.begun.pop()
        call.given, call.end = result, len(self.operations)
        self.calls.append(call)
        self.alive.append(result)

    def chains(self, outputs: Sequence[Tensor]) -> list[Chain]:
        """All convolutions that run once with their own weights, and what follows each.

        Args:
            outputs: what the model returned; a result that is among them is used, too.
        """
        times = Counter(id(call.module) for call in self.calls)
        shown = {id(x) for x in outputs}
        once = [c for c in self.calls if times[id(c.module)] == 1 and self._is_own(c.module)]
        norms = {id(call.taken): call for call in once if type(call.module) in NORMS}
        found: list[tuple[Chain, nn.Module | None]] = []
        for call in once:
            if not isinstance(call.module, CONVOLUTIONS) or not self._is_plain(call):
                continue
            chain, last = Chain(self.names[id(call.module)][0]), call.given
            norm = norms.get(id(last))
            if norm is not None and self._folds(norm) and id(last) not in shown:
                chain = replace(chain, norm=self.names[id(norm.module)][0])
                last = norm.given
            following = self._following(last, shown)
            if following is None:
                found.append((chain, None))
                continue
            names = tuple(self.names[id(following.module)])
            operation = self.operations[following.first]
            found.append((replace(chain, activations=names, operation=operation), following.module))
        # An activation may be shared; it goes when all that it is called on is found here.
        found_times = Counter(id(module) for _, module in found)
        return [
            chain
            if module is None or found_times[id(module)] == times[id(module)]
            else replace(chain, activations=(), operation=None)
            for chain, module in found
        ]

    def _is_plain(self, call: _ModuleCall) -> bool:
        """Whether a convolution's result is that of its own weights, which nothing else uses."""
        module: Any = call.module
        operation = self.convolved.get(id(call.given))
        if operation is None:
            return False
        own = operation.args[1] is module.weight and operation.args[2] is module.bias
        return own and len(self.takers[id(module.weight)]) == 1

    def _folds(self, call: _ModuleCall) -> bool:
        norm: Any = call.module
        alone = len(self.takers[id(call.taken)]) == 1
        return alone and norm.running_mean is not None and not norm.training

    def _following(self, value: Any, shown: set[int]) -> _ModuleCall | None:
        """The call of a module that is the one operation on a result, which nothing else uses."""
        takers = self.takers.get(id(value), [])
        if not takers:
            return None
        result = self.operations[takers[0]].result
        # Changed in place, the value itself is what all others take.
        if result is not value and (len(takers) > 1 or id(value) in shown):
            return None
        for call in self.calls:
            if (call.first, call.end) == (takers[0], takers[0] + 1):
                is_it = call.taken is value and call.given is result
                return (
                    call if is_it and not isinstance(call.module, (*CONVOLUTIONS, *NORMS)) else None
                )
        return None

    def _is_own(self, module: nn.Module) -> bool:
        """Whether a module has one place in the model, and weights that it does not compute."""
        return len(self.names[id(module)]) == 1 and not hasattr(module, "parametrizations")
