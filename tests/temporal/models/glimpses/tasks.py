"""Toy videos whose class a reader can tell only from the right frames, and a training on them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

WIDTH = 16
"""Of the features of the small backbone of `video.video_readers`."""


def cue_and_answer(num_videos: int, num_candidates: int, *, cue: int, places: list[int]) -> Any:
    """One frame says where another is that shows the class; all others show nothing.

    Returns:
        features `[B, S, 16]`, times `[B, S]`, labels `[B]` of two classes, and where the class is
        shown, a rank `[B]`.
    """
    features = 0.1 * torch.randn(num_videos, num_candidates, WIDTH)
    which = torch.randint(len(places), (num_videos,))
    ranks = torch.tensor(places)[which]
    labels = torch.randint(2, (num_videos,))
    rows = torch.arange(num_videos)
    features[rows, cue, which] += 2
    features[rows, ranks, 8 + labels] += 2
    times = ((torch.arange(num_candidates) + 0.5) / num_candidates).expand(num_videos, -1)
    return features, times, labels, ranks


def train(reader: Any, make: Any, *, steps: int, rate: float = 0.01) -> Any:
    """Train on fresh batches, and return it in eval mode.

    Args:
        reader: a reader.
        make: a batch, as keywords of its `forward`.
        steps: of Adam.
        rate: of learning.
    """
    own = [p for name, p in reader.named_parameters() if not name.startswith("backbone")]
    optimizer = torch.optim.Adam(own, lr=rate)
    reader.train()
    for _ in range(steps):
        loss: Tensor = reader(**make()).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(own, 1.0)
        optimizer.step()
    return reader.eval()
