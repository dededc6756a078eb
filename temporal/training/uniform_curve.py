"""Does a learned policy choose better than nobody? Its answers beside those of uniform frames.

For each of several numbers of frames a linear classifier is fitted to what the same backbone saw of
so many frames, evenly spread over those that the policy chooses among. A policy that is right no
more often than these at the same mean number of frames has learned nothing that a step size does
not give; it is said so.

N clips, S frames, D feature width, K classes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ..policies.read import uniform
from .linear_probe import fit_linear

Pool = Callable[[Tensor, Tensor], Tensor]
"""Features `[N, k, D]` and times `[N, k]` of k frames to `[N, P]`."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class UniformCurve:
    """What uniform frames answer."""

    counts: list[int]
    """Numbers of frames, increasing."""
    right: Tensor
    """How right each is about each clip, `[len(counts), N]`, 0 to 1."""

    def at(self, frames: float) -> Tensor:
        """How right uniform frames are about each clip at a mean number of frames, `[N]`.

        Between two numbers, some clips get one and some the other; the mixture costs as much.
        """
        after = bisect_left(self.counts, frames)
        if after == 0:
            return self.right[0]
        if after == len(self.counts):
            return self.right[-1]
        low, high = self.counts[after - 1], self.counts[after]
        share = (frames - low) / (high - low)
        return (1 - share) * self.right[after - 1] + share * self.right[after]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """A policy beside uniform frames at its cost."""

    frames: float
    """Mean number of frames that the policy read at full size; glances are not counted."""
    accuracy: float
    uniform_accuracy: float
    difference_interval: tuple[float, float]
    """95 % interval of the difference, over the clips."""
    verdict: str
    """`"better"`, `"no better"` or `"worse"` than uniform frames at equal cost."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def uniform_curve(
    features: tuple[Tensor, Tensor],
    times: tuple[Tensor, Tensor],
    labels: tuple[Tensor, Tensor],
    num_labels: int,
    pool: Pool,
    *,
    counts: Sequence[int] = (1, 2, 4, 8, 16, 32),
    class_weights: Tensor | None = None,
) -> UniformCurve:
    """Fit and ask classifiers of uniform frames.

    Args:
        features: `[N, S, D]` of training and of held-out clips.
        times: `[N, S]` of them.
        labels: int64 `[N]` of them, or 0 and 1 `[N, K]` of several labels.
        num_labels: K.
        pool: how frames become one vector.
        counts: numbers of frames; those above S are left out, S is added.
        class_weights: `[K]`.
    """
    total = features[0].shape[1]
    counts = sorted({count for count in counts if count < total} | {total})
    sorted_times, orders = zip(*(part.sort(1) for part in times), strict=True)
    in_time = [
        part.gather(1, order[..., None].expand_as(part))
        for part, order in zip(features, orders, strict=True)
    ]
    rows = []
    for count in counts:
        chosen = uniform(total, count)
        train, held = (
            pool(part[:, chosen].float(), when[:, chosen])
            for part, when in zip(in_time, sorted_times, strict=True)
        )
        probe = fit_linear(train, labels[0], num_labels, class_weights=class_weights)
        rows.append(how_right(probe(held), labels[1]))
    return UniformCurve(counts=counts, right=torch.stack(rows))


def how_right(logits_NK: Tensor, labels: Tensor) -> Tensor:
    """Of each clip 1 or 0; of several labels the share of them that is right. `[N]`."""
    if labels.ndim == 1:
        return (logits_NK.argmax(-1) == labels).float()
    return ((logits_NK > 0) == (labels > 0.5)).float().mean(-1)


def compare(right_N: Tensor, uniform_N: Tensor, frames: float) -> Comparison:
    """Hold a policy against uniform frames.

    Args:
        right_N: how right it is about each clip, 0 to 1.
        uniform_N: how right as many uniform frames are (`UniformCurve.at`).
        frames: mean number of frames that the policy used.
    """
    difference_N = right_N.double() - uniform_N.double()
    mean = difference_N.mean().item()
    spread = difference_N.std(unbiased=True).item() if len(difference_N) > 1 else float("inf")
    half = 1.96 * spread / len(difference_N) ** 0.5
    low, high = mean - half, mean + half
    return Comparison(
        frames=frames,
        accuracy=right_N.double().mean().item(),
        uniform_accuracy=uniform_N.double().mean().item(),
        difference_interval=(low, high),
        verdict="better" if low > 0 else "worse" if high < 0 else "no better",
    )
