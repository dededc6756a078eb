"""The last layer of recurrent readers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_FEW = 16
"""Classes up to which one product each is cheap."""


class ClassScores(nn.Linear):
    """`nn.Linear` to a logit for each class, which leaves torch's threads asleep on a CPU.

    Its one product of `[8, 100]` with `[100, 2]` is shared out among threads (by MKL, through
    OpenMP), and these then keep their cores busy for some 10 milliseconds, in which a kernel's
    threads have to wait: with it, SkimRNN's batches gained nothing from a second thread. A product
    with a single column is done by the calling thread.
    """

    def forward(self, x_BH: Tensor) -> Tensor:
        """Logits `[B, K]`."""
        one_row = x_BH.ndim == 1 or x_BH.shape[0] == 1  # is done by the calling thread anyway
        apart = self.out_features <= _FEW and self.bias is not None and not one_row
        if not apart or torch.is_grad_enabled() or self.weight.device.type != "cpu":
            return super().forward(x_BH)
        rows = zip(self.weight.split(1), self.bias.split(1), strict=True)
        return torch.cat([F.linear(x_BH, *row) for row in rows], -1)
