"""A linear exit that does not mind how large its features are.

B sources, P pooled width, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class StandardisedExit(nn.Module):
    """A linear classifier on standardised features, so that one decay suits features of any scale.

    The statistics are buffers that are set once from the training features; see
    `FrameExit.set_statistics`.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, size: int, num_labels: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(size, num_labels)

    def forward(self, state_BP: Tensor) -> Tensor:
        """Logits `[B, K]` of pooled states `[B, P]`."""
        # The scale goes into the weights, which are far fewer than the states.
        dtype = self.linear.weight.dtype  # the statistics stay in float32 where it is smaller
        weight_KP = (self.linear.weight / self.scale).to(dtype)
        return F.linear(self.dropout(state_BP - self.mean).to(dtype), weight_KP, self.linear.bias)
