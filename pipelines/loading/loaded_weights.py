"""Whether a checkpoint held the model's weights: transformers only warns, and draws others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

_SHOWN = 5


def check_loaded(place: str, model: Any, report: Mapping[str, Any]) -> None:
    """Raise ValueError unless the checkpoint held all weights of the model, and no layers beyond.

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
