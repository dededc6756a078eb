"""How the frames read so far become one vector: functions of features and times.

Every pooling takes the features of the frames read so far, in any order, with their times, and
returns one vector for each video. What it returns for a set of frames does not depend on the order
in which they were read.

B videos, S frames read, D feature width.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Pooling = Callable[[Tensor, Tensor], Tensor]


def max_pool(features_BSD: Tensor, times_BS: Tensor) -> Tensor:
    """The running maximum (FrameExit, equation 2): `[B, D]`."""
    return features_BSD.amax(1)


def mean_pool(features_BSD: Tensor, times_BS: Tensor) -> Tensor:
    """The running mean: `[B, D]`."""
    return features_BSD.mean(1)


def change_pool(features_BSD: Tensor, times_BS: Tensor) -> Tensor:
    """What is there, which way it goes, and how much it changes: `[B, 3 D]`.

    The mean over frames, the slope of the least-squares line of each feature over time, and the
    mean absolute difference between neighbours in time. A mean alone cannot tell an event from
    its reverse. With one frame the last two are zero.

    Args:
        features_BSD: features of the frames read so far.
        times_BS: their times, as shares of the video's length, in [0, 1].
    """
    mean_BD = features_BSD.mean(1)
    if features_BSD.shape[1] == 1:
        return torch.cat([mean_BD, torch.zeros_like(mean_BD), torch.zeros_like(mean_BD)], -1)
    times_BS, order_BS = times_BS.sort(1)
    features_BSD = features_BSD.gather(1, order_BS[..., None].expand_as(features_BSD))
    centred_BS = times_BS - times_BS.mean(1, keepdim=True)
    spread_B1 = centred_BS.square().sum(1, keepdim=True).clamp(min=1e-6)
    slope_BD = (features_BSD * centred_BS[..., None]).sum(1) / spread_B1
    change_BD = features_BSD.diff(dim=1).abs().mean(1)
    return torch.cat([mean_BD, slope_BD, change_BD], -1)


POOLINGS: dict[str, Pooling] = {"max": max_pool, "mean": mean_pool, "change": change_pool}


def pooled_size(pooling: str, num_features: int) -> int:
    """Width of what a pooling returns for features of a width."""
    return num_features * (3 if pooling == "change" else 1)
