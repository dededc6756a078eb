"""The form of a model in which it is run where nobody trains it: fused, or with its norms folded.

The model itself stays as it is, to be trained and saved: the other form is a second one beside it,
made at the first use, and made anew when a weight has changed.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..watched import Watched, places_of
from .fusing import Form, fastest_form
from .watch import Call
from .workers import map_rows

_PIECE_PIXELS = 4 * 224 * 224
"""Images of so many pixels in all are run at a time, by each thread. What a layer of a mobile
network makes of 16 images is 80 MB, which is taken from the system and given back at each layer: by
4 at a time, a thread alone takes 0.8 of the time."""


@dataclass(frozen=True, slots=True)
class _Made:
    modules: tuple[int, ...]
    watched: Watched
    form: Form


class InferenceForm:
    """Keeps the inference form of one model. A copy of what holds it makes its own."""

    def __init__(self) -> None:
        self._made: _Made | None = None

    @property
    def form(self) -> Form | None:
        """What was made of the model; None: it was not run yet where another form may serve."""
        return None if self._made is None else self._made.form

    def run(self, call: Call, model: nn.Module, inputs: Sequence[Tensor]) -> Tensor:
        """`call(model, inputs)`, by the model's inference form where there is one and it serves.

        It serves on a CPU, without gradients and autocast, in evaluation, where no hook waits in
        the model for its own modules to be called, and for rows that are finite: a fused activation
        may make a number of what is none.

        Args:
            call: calls the model; returns a tensor with a row for each row of the inputs.
            model: treats rows independently.
            inputs: of one batch.
        """
        form = self._form(call, model, inputs)
        if form is None or form.model is None or not len(inputs[0]):
            return call(model, inputs)
        if len(inputs) > 1 or inputs[0].dim() != 4:
            return call(form.model if _are_finite(inputs) else model, inputs)
        images = inputs[0].contiguous(memory_format=torch.channels_last)
        height, width = images.shape[-2:]
        at_once = max(1, _PIECE_PIXELS // max(1, height * width))
        at_once = min(at_once, -(-len(images) // torch.get_num_threads()))
        run = functools.partial(_run_piece, call, model, form.model)
        results = map_rows(run, images.split(at_once))
        return results[0] if len(results) == 1 else torch.cat(results)

    def _form(self, call: Call, model: nn.Module, inputs: Sequence[Tensor]) -> Form | None:
        if torch.is_grad_enabled() or model.training or torch.compiler.is_compiling():
            return None
        if torch.is_autocast_enabled("cpu"):
            return None
        made = self._made
        if made is not None and made.form.model is None and made.modules[0] == id(model):
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
            watched = Watched.of(weights)  # before it is made: what changes meanwhile is seen
            made = self._made = _Made(ids, watched, fastest_form(model, call, inputs))
        return made.form

    def __deepcopy__(self, memo: dict[int, Any]) -> InferenceForm:
        return InferenceForm()

    def __reduce__(self) -> tuple[type[InferenceForm], tuple[()]]:
        return InferenceForm, ()


def _run_piece(call: Call, model: nn.Module, form: nn.Module, images: Tensor) -> Tensor:
    if _are_finite([images]):
        return call(form, [images])
    if len(images) == 1:
        return call(model, [images])
    return torch.cat([_run_piece(call, model, form, image) for image in images.split(1)])


def _are_finite(inputs: Sequence[Tensor]) -> bool:
    """Whether no number is infinite or none; also no where their sum is too large to tell."""
    return all(bool(x.sum().isfinite()) for x in inputs if x.is_floating_point())


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
