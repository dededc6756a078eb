"""Clips cut into the patches that become tokens: τ frames, h by w pixels each, none overlapping.

B clips, F frames, C channels, T tokens of a whole clip in the order (time, row, column).
"""

from __future__ import annotations

import torch
from torch import Tensor

Patch = tuple[int, int, int]
"""Frames, rows and columns of a patch."""


def grid_of(pixels_BFCHW: Tensor, patch: Patch) -> tuple[int, int, int]:
    """Patches of a clip over time, rows and columns; what fills no patch is left out."""
    _, frames, _, height, width = pixels_BFCHW.shape
    return frames // patch[0], height // patch[1], width // patch[2]


def patches_of(pixels_BFCHW: Tensor, patch: Patch) -> Tensor:
    """All patches, `[B, T, C, τ, h, w]`."""
    times, rows, columns = grid_of(pixels_BFCHW, patch)
    tau, height, width = patch
    whole = pixels_BFCHW[:, : times * tau, :, : rows * height, : columns * width]
    cut = (
        whole.unflatten(1, (times, tau)).unflatten(4, (rows, height)).unflatten(6, (columns, width))
    )
    # B times tau C rows height columns width
    return cut.permute(0, 1, 4, 6, 3, 2, 5, 7).flatten(1, 3)


def kept_by_run_length(pixels_BFCHW: Tensor, patch: Patch, threshold: float | None) -> Tensor:
    """Which patches say something new (Run-Length Tokenization, Choudhury et al. 2024).

    A patch stays where the last frame of its tubelet differs from the first frame of the tubelet
    before, |x[(t+1) τ + τ - 1] - x[t τ]|, by more than the threshold in the mean over channels and
    pixels. Those of the first tubelet always stay.

    Args:
        pixels_BFCHW: as the model sees them, normalised.
        patch: its size.
        threshold: in the unit of the pixels; None: all stay.

    Returns:
        bool `[B, T]`.
    """
    times, rows, columns = grid_of(pixels_BFCHW, patch)
    tau, height, width = patch
    kept = pixels_BFCHW.new_ones(len(pixels_BFCHW), times, rows, columns, dtype=torch.bool)
    if threshold is not None and times > 1:
        whole = pixels_BFCHW[:, : times * tau, :, : rows * height, : columns * width]
        first, last = whole[:, :-tau:tau], whole[:, tau + tau - 1 :: tau]
        change = (last - first).abs().unflatten(4, (columns, width)).unflatten(3, (rows, height))
        kept[:, 1:] = change.mean((2, 4, 6), dtype=torch.float32) > threshold
    return kept.flatten(1)
