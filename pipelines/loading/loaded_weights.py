"""Whether a checkpoint held the model's weights: transformers only warns, and draws others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

_SHOWN = 5
_PLAIN = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check_loaded(place: str, model: Any, report: Mapping[str, Any]) -> None:
    """Raise ValueError unless the checkpoint held the weights of the model, all of them finite.

    Args:
        place: where it came from, for the message.
        model: as `from_pretrained` returned it.
        report: its loading info.
    """
    missing = set(report.get("missing_keys") or ())
    unexpected = set(report.get("unexpected_keys") or ())
    mismatched = report.get("mismatched_keys") or ()
    if mismatched:
        names = [key[0] if isinstance(key, tuple | list) else str(key) for key in mismatched]
        raise ValueError(
            f"{place} has weights of other shapes than its configuration says: {_few(names)}"
        )
    if missing:
        found = f", and it holds others ({_few(unexpected)})" if unexpected else ""
        kind = type(model).__name__
        hint = "it was saved under another prefix or class" if unexpected else "it is not whole"
        if all("." not in name or _is_of_the_head(name) for name in missing):
            hint = f"it was not trained as a {kind}, and its answers would be drawn at random"
        raise ValueError(
            f"{place} lacks weights of the reader or classifier: {_few(missing)}{found}: {hint}"
        )
    sizes = {name: len(part) for name, part in model.named_modules() if _is_list(part)}
    beyond = {name for name in unexpected if _is_beyond(name, sizes)}
    if beyond:
        raise ValueError(
            f"{place} holds more layers than its configuration says: {_few(beyond)} would not be "
            "used; its config.json is of another model"
        )
    if report.get("error_msgs"):
        raise ValueError(f"{place} was not loaded: {report['error_msgs']}")
    masks = {name for name, _ in model.named_buffers()}  # may hold -inf, as some do
    broken = [
        name
        for name, weight in model.state_dict().items()
        if not _is_finite(weight, may_mask=name in masks)
    ]
    if broken:
        raise ValueError(
            f"{place} holds weights that are NaN or infinite, as its answers would be: "
            f"{_few(broken)}: the file is damaged, or its training went wrong"
        )


def _is_finite(weight: Tensor, *, may_mask: bool) -> bool:
    """Whether all numbers of a weight are some, as far as they are here and not packed."""
    if weight.is_meta or weight.dtype not in _PLAIN or not weight.numel():
        return True
    low, high = weight.detach().aminmax()  # NaN is both
    return bool(high.isfinite() & (low.isfinite() | (may_mask & low.isneginf())))


def _is_of_the_head(name: str) -> bool:
    return name.split(".")[0] in ("classifier", "score", "classification_head", "pre_classifier")


def _is_list(part: Any) -> bool:
    return isinstance(part, nn.ModuleList)


def _is_beyond(name: str, sizes: Mapping[str, int]) -> bool:
    """Whether a weight is of a layer whose number a list of layers does not reach.

    Other weights that are too many do no harm: another head, or what older models stored.
    """
    parts = name.split(".")
    return any(
        part.isdecimal() and int(part) >= sizes.get(".".join(parts[:k]), int(part) + 1)
        for k, part in enumerate(parts)
    )


def _few(names: Iterable[str]) -> str:
    names = sorted(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
