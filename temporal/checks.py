"""Checks at the readers' boundary: parameters, and logits that are numbers."""

from __future__ import annotations

import math
from collections.abc import Collection
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_OUT_OF_MEMORY = (
    "out of memory",  # of CUDA, HIP, XPU and MPS, as far as it has no class of its own
    "DefaultCPUAllocator:",  # says "can't allocate memory", or "not enough memory"
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


class NonFiniteError(ArithmeticError):
    """A reader computed NaN or infinite logits."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory did not suffice, of a device or of the machine."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    message = str(error)
    return isinstance(error, RuntimeError) and any(sign in message for sign in _OUT_OF_MEMORY)


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


def check_count(name: str, value: Any, fewest: int) -> None:
    """Raise ValueError unless a parameter is a whole number, at least `fewest`."""
    if not isinstance(value, Integral) or value < fewest:
        raise ValueError(f"{name} ({value!r}) must be a whole number >= {fewest}")


def check_threshold(policy: str, threshold: float | None) -> None:
    """Raise ValueError unless a policy's threshold is a finite number, or None."""
    if threshold is not None and not math.isfinite(threshold):
        raise ValueError(
            f"threshold ({threshold}) of policy {policy!r} must be a finite number; "
            "without one, nothing halts"
        )


def count_tokens(input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
    """How many tokens each row has, if this is a batch that recurrent readers can read.

    NumPy works in this thread alone. torch shares what has more than 32,768 entries out among its
    threads, which then keep their cores busy for milliseconds, when those of a kernel want to run.

    Args:
        input_ids: `[B, T]`.
        attention_mask: `[B, T]` of any type, 1 where a token exists; None: all exist.

    Returns:
        Int64 `[B]`, at least 1, where `input_ids` are.

    Raises:
        ValueError: there is no token, in the batch or in a row, or the mask is anything but ones
            followed by zeros.
    """
    if input_ids.ndim != 2 or not input_ids.numel():
        raise ValueError(f"input_ids {tuple(input_ids.shape)} must be [B, T] with B and T >= 1")
    everything = input_ids.new_full((len(input_ids),), input_ids.shape[1], dtype=torch.long)
    if attention_mask is None:
        return everything
    if attention_mask.shape != input_ids.shape:
        raise ValueError(
            f"attention_mask {tuple(attention_mask.shape)} must have the shape of input_ids "
            f"{tuple(input_ids.shape)}"
        )
    mask_BT = _as_array(attention_mask)
    if (mask_BT == 1).all():
        return everything
    lengths_B = (mask_BT != 0).sum(1)
    expected_BT = np.arange(input_ids.shape[1]) < lengths_B[:, None]
    if not ((expected_BT == mask_BT).all() and lengths_B.all()):
        raise ValueError(
            "attention_mask must be 1 for a row's tokens, at least one, and then 0: pad at the "
            "end (padding_side='right')"
        )
    return torch.from_numpy(lengths_B).to(input_ids.device)


def _as_array(tensor: Tensor) -> NDArray[Any]:
    tensor = tensor.detach().cpu()
    try:
        return tensor.numpy()
    except TypeError:  # a type that NumPy does not know, like bfloat16
        return tensor.double().numpy()


def num_classes(config: Any) -> int:
    """How many classes a configuration names (`num_labels` may be None in its type)."""
    return len(config.id2label) if config.id2label else int(config.num_labels)


def chooses_one_class(config: Any) -> bool:
    """Whether a classifier's scores are one answer: not a regression, not several labels."""
    several = config.problem_type in ("regression", "multi_label_classification")
    return num_classes(config) > 1 and not several
