"""Which device a pipeline computes on."""

from __future__ import annotations

from typing import Any

import torch


def pick_device(device: Any) -> torch.device:
    """As transformers does: an accelerator by number, by name, or the first one there is.

    Raises:
        ValueError: it is no device, or not one of this machine.
    """
    if device is None or device == "auto":
        found = torch.accelerator.current_accelerator(check_available=True)
        return found or torch.device("cpu")
    if isinstance(device, int):
        if device < 0:
            return torch.device("cpu")
        found = torch.accelerator.current_accelerator(check_available=True)
        if found is None:
            raise ValueError(f"device ({device}) must be -1 or 'cpu': there is no accelerator here")
        return torch.device(found.type, device)
    try:
        wanted = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device ({device!r}) must be a torch device: {error}") from error
    here = devices_here()
    if str(wanted) not in (*here, "cpu:0"):
        raise ValueError(f"device ({device!r}) must be one that is here: {', '.join(here)}")
    return wanted


def devices_here() -> list[str]:
    """Names of this machine's devices: `["cpu", "cuda", "cuda:0"]`."""
    here = ["cpu"]
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if accelerator is not None:
        count = torch.accelerator.device_count()
        here += [accelerator.type, *(f"{accelerator.type}:{k}" for k in range(count))]
    return here
