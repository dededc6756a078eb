"""Models inside the wrappers that people put around them."""

from __future__ import annotations

from typing import Any, cast

from torch import nn
from transformers import PreTrainedModel


def unwrapped(model: Any) -> Any:
    """The model of transformers in `torch.compile`'s, adapters' or several devices' wrappers.

    Anything else is returned as it is.
    """
    while not isinstance(model, PreTrainedModel) and isinstance(model, nn.Module):
        if hasattr(model, "_orig_mod"):  # torch.compile
            model = model._orig_mod
        elif hasattr(model, "get_base_model"):  # peft
            model = cast(Any, model).get_base_model()
        elif isinstance(getattr(model, "module", None), nn.Module):  # of several devices
            model = model.module
        else:
            break
    return model
