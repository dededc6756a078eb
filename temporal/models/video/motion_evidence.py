"""Motion of packets as numbers that a network can take.

B videos, S frames.
"""

from __future__ import annotations

import torch
from torch import Tensor


def motion_features(motion_BS: Tensor) -> Tensor:
    """How much frames change, by themselves and beside the others of their video: `[B, S, 2]`.

    Args:
        motion_BS: `Handle.motion` at these frames, >= 0: bytes where they come from packets, so
            the second number, by which the encoder's quality cancels out, is the safer one.
    """
    mean_B1 = motion_BS.mean(1, keepdim=True).clamp(min=1e-6)
    return torch.stack([motion_BS.log1p() / 10, (motion_BS / mean_B1).log1p()], -1)
