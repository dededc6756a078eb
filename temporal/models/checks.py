"""Checks at the readers' boundary: parameters, and logits that are numbers."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor


class NonFiniteError(ArithmeticError):
    """A reader computed NaN or infinite logits."""


def check_finite(logits_K: Tensor) -> Tensor:
    """Return the logits, or say that they are none.

    Raises:
        NonFiniteError: an entry is NaN or infinite.
    """
    if not torch.isfinite(logits_K).all():
        raise NonFiniteError(
            "the model computed NaN or infinite logits: its weights or this input are broken"
        )
    return logits_K


def check_in(name: str, value: Any, allowed: Collection[Any]) -> None:
    """Raise ValueError unless a parameter has one of the allowed values."""
    if value not in allowed:
        raise ValueError(f"{name} ({value!r}) must be one of {sorted(allowed)}")


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Raise ValueError unless a number lies in [low, high]."""
    if not low <= value <= high:
        raise ValueError(f"{name} ({value!r}) must be between {low} and {high}")


def num_classes(config: Any) -> int:
    """How many classes a configuration names (`num_labels` may be None in its type)."""
    return len(config.id2label)
