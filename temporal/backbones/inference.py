"""The form of a model in which it is run where nobody trains it: with its batch norms folded.

The model itself stays as it is, to be trained and saved: the folded form is a second one beside it,
made at the first use, and made anew when a weight has changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..watched import Watched, places_of
from .folding import Call, fold

_PIECE_PIXELS = 4 * 224 * 224
"""Images of so many pixels in all are run at a time, for each thread. What a layer of a mobile
network makes of 16 images is 80 MB, which is taken from the system and given back at each layer: by
4 at a time, a thread alone takes 0.8 of the time."""


@dataclass(frozen=True, slots=True)
class _Made:
    modules: tuple[int, ...]
    watched: Watched
    folded: nn.Module | None


class InferenceForm:
    """Keeps the folded form of one model. A copy of what holds it makes its own."""

    def __init__(self) -> None:
        self._made: _Made | None = None

    def run(self, call: Call, model: nn.Module, inputs: Sequence[Tensor]) -> Tensor:
        """`call(model, inputs)`, by the folded form of the model where there is one and it serves.

        It serves on a CPU, without gradients, in evaluation, and where no hook waits in the model
        for its own modules to be called.

        Args:
            call: calls the model; returns a tensor with a row for each row of the inputs.
            model: treats rows independently.
            inputs: of one batch.
        """
        folded = self._folded(call, model, inputs)
        if folded is None:
            return call(model, inputs)
        if len(inputs) > 1 or inputs[0].dim() != 4:
            return call(folded, inputs)
        height, width = inputs[0].shape[-2:]
        room = _PIECE_PIXELS * torch.get_num_threads()
        at_once = max(1, room // max(1, height * width))
        pieces = inputs[0].split(at_once)
        results = [call(folded, [piece]) for piece in pieces]
        return results[0] if len(results) == 1 else torch.cat(results)

    def _folded(self, call: Call, model: nn.Module, inputs: Sequence[Tensor]) -> nn.Module | None:
        if torch.is_grad_enabled() or model.training or torch.compiler.is_compiling():
            return None
        made = self._made
        if made is not None and made.folded is None and made.modules[0] == id(model):
            return None  # the model as it is always serves, whatever became of it
        modules: list[int] = []
        weights: list[Tensor] = []
        if not _gather(model, modules, weights):
            return None
        ids = tuple(modules)
        if (
            made is None
            or made.modules != ids
            or made.watched.places != places_of(weights)
            or not made.watched.unchanged(weights)
        ):
            if not all(map(_is_plain, weights)):
                return None
            watched = Watched.of(weights)  # before folding: what changes meanwhile is seen
            made = self._made = _Made(ids, watched, fold(model, call, inputs))
        return made.folded

    def __deepcopy__(self, memo: dict[int, Any]) -> InferenceForm:
        return InferenceForm()

    def __reduce__(self) -> tuple[type[InferenceForm], tuple[()]]:
        return InferenceForm, ()


def _gather(module: nn.Module, modules: list[int], weights: list[Tensor]) -> bool:
    """Note a model's modules and weights. False: its own modules have to be called."""
    if module.training or module._forward_hooks or module._forward_pre_hooks:
        return False
    modules.append(id(module))
    weights += [weight for weight in module._parameters.values() if weight is not None]
    weights += [buffer for buffer in module._buffers.values() if buffer is not None]
    for child in module._modules.values():
        if child is not None and not _gather(child, modules, weights):
            return False
    return True


def _is_plain(weight: Tensor) -> bool:
    is_dense = weight.layout is torch.strided and not weight.is_quantized
    return is_dense and weight.device.type == "cpu"
