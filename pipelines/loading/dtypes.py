"""The type of numbers that a reader runs in, beside the one in which it was calibrated.

Thresholds and bounds hold for the answers that they were measured on, and half precision gives
others.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch

from temporal.models.operating_points import calibrated_dtype


def dtype_of(module: Any) -> torch.dtype:
    """The type of a model's floating-point weights; float32 without any."""
    floating = (weight.dtype for weight in module.parameters() if weight.is_floating_point())
    return next(floating, torch.float32)


def default_dtype(config: Any) -> torch.dtype:
    """The type in which a saved reader runs unless another is asked for."""
    return getattr(torch, calibrated_dtype(config) or "float32")


def warn_of_dtype(module: Any, device: torch.device) -> None:
    """Warn where a reader does not run as it was calibrated, or slowly for that."""
    dtype = dtype_of(module)
    name, calibrated = str(dtype).removeprefix("torch."), calibrated_dtype(module.config)
    if calibrated is None:
        return
    if name != calibrated:
        warnings.warn(
            f"this reader was calibrated in {calibrated} and runs in {name}: its thresholds, "
            f"costs and bounds are those of {calibrated}; pass dtype={calibrated!r}, or "
            f"calibrate it with --dtype {name}",
            stacklevel=3,
        )
    elif dtype == torch.bfloat16 and device.type == "cpu" and not has_bfloat16_units():
        warnings.warn(
            "this reader was calibrated in bfloat16, for which this processor has no units, so "
            "it may be slow here: calibrate it with --dtype float32",
            stacklevel=3,
        )


def has_bfloat16_units() -> bool:
    """Whether this processor multiplies in bfloat16 itself (AVX512-BF16 or AMX)."""
    asked = [
        getattr(torch.cpu, name, None)
        for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    ]
    return any(bool(ask()) for ask in asked if ask is not None)
