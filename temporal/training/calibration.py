"""Thresholds from held-out data: to a budget, or to a largest accuracy drop, certified or not.

N sources, E exits, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ..policies.halt import criterion as halting_criterion


@dataclass(frozen=True, kw_only=True, slots=True)
class OperatingPoint:
    """One way to run a reader, with what it did on held-out data."""

    policy: dict[str, Any]
    """Configuration fields to set, e.g. `{"criterion": "confidence", "thresholds": [...]}`."""
    cost_share: float
    """Cost over the cost of reading everything, 0 to 1."""
    accuracy: float
    """Share of right answers; agreement with the full reading where there were no labels."""
    drop: float
    """Accuracy of the full reading minus this accuracy; may be negative."""
    drop_bound: float
    """Upper bound on the share of sources that the full reading gets right and this does not, at
    `confidence`, for this point alone (Hoeffding-Bentkus)."""
    confidence: float
    """Confidence of `drop_bound`."""
    num_calibration: int
    """N, held-out sources it was measured on."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a configuration file."""
        return asdict(self)


def exits_taken(logits_NEK: Tensor, criterion: str, thresholds: Sequence[float]) -> Tensor:
    """The exit at which each source would halt: int64 `[N]`.

    Args:
        logits_NEK: all exits' logits.
        criterion: one of `temporal.policies.halt.CRITERIA`.
        thresholds: for each exit but the last; it always answers.
    """
    num_exits = logits_NEK.shape[1]
    if len(thresholds) != num_exits - 1:
        raise ValueError(f"thresholds ({len(thresholds)}) must be as many as exits - 1")
    return _first_certain(_certainties(logits_NEK, criterion), thresholds)


def _certainties(logits_NEK: Tensor, criterion: str) -> Tensor:
    """How certain each exit but the last is, given the exits before it: `[N, E - 1]`."""
    certainty = halting_criterion(criterion)
    logits_ENK = logits_NEK.transpose(0, 1)
    columns = [certainty(logits_ENK[: k + 1]) for k in range(len(logits_ENK) - 1)]
    return torch.stack(columns, 1) if columns else logits_NEK.new_zeros(len(logits_NEK), 0)


def _first_certain(certainty_NE: Tensor, thresholds: Sequence[float]) -> Tensor:
    """The first exit that reaches its threshold, else the last, which none precedes."""
    last_N1 = torch.ones(len(certainty_NE), 1, dtype=torch.bool)
    halts_NE = torch.cat([certainty_NE >= certainty_NE.new_tensor(list(thresholds)), last_N1], 1)
    return halts_NE.int().argmax(1)


def exit_frontier(
    logits_NEK: Tensor,
    labels_N: Tensor | None,
    exit_costs: Sequence[float],
    criterion: str,
    *,
    weights_N: Tensor | None = None,
    min_exit: int = 0,
    class_balanced: bool = False,
    grid_size: int = 100,
    confidence: float = 0.95,
) -> list[OperatingPoint]:
    """Operating points over a grid of thresholds, one threshold for all exits, safest first.

    Args:
        logits_NEK: all exits' logits on held-out sources.
        labels_N: int64; None: the full reading's answers stand in for them.
        exit_costs: share of the full cost that is spent when exit e answers, `[E]`.
        criterion: one of `temporal.policies.halt.CRITERIA`.
        weights_N: full cost of each source (its length, say); default: all alike.
        min_exit: exits before this one never answer.
        class_balanced: accuracy is the mean over the labels' classes, so that rare ones count.
        grid_size: thresholds that are tried, at quantiles of the certainty.
        confidence: of each point's `drop_bound`.

    Raises:
        ValueError: no sources, or shapes do not fit.
    """
    num_sources, num_exits, _ = logits_NEK.shape
    if not 0 <= min_exit < num_exits - 1:
        raise ValueError(f"min_exit ({min_exit}) must be >= 0 and < exits - 1 ({num_exits - 1})")
    if not num_sources or len(exit_costs) != num_exits:
        raise ValueError(
            f"logits {tuple(logits_NEK.shape)} must hold at least one source and as many exits as "
            f"exit_costs ({len(exit_costs)})"
        )
    answers_NE = logits_NEK.argmax(-1)
    labels_N = answers_NE[:, -1] if labels_N is None else labels_N
    weights_N = torch.ones(num_sources) if weights_N is None else weights_N.float()
    right_NE = answers_NE == labels_N[:, None]
    shares_N = torch.full((num_sources,), 1 / num_sources, dtype=torch.float64)
    if class_balanced:
        counts = torch.bincount(labels_N).double()
        shares_N = 1 / (counts[labels_N] * (counts > 0).sum())
    full_accuracy = (right_NE[:, -1] * shares_N).sum().item()
    costs_E = torch.tensor(list(exit_costs), dtype=torch.float64)
    certainty_NE = _certainties(logits_NEK, criterion)
    grid = torch.linspace(1, 0, grid_size, dtype=torch.float64)
    levels = torch.quantile(certainty_NE[:, min_exit:].double().flatten(), grid)
    points = []
    for level in [math.inf, *levels.unique().flip(0).tolist()]:
        thresholds = [math.inf] * min_exit + [level] * (num_exits - 1 - min_exit)
        taken_N = _first_certain(certainty_NE, thresholds)
        right_N = right_NE[torch.arange(num_sources), taken_N]
        lost = int((right_NE[:, -1] & ~right_N).sum())
        cost_N = costs_E[taken_N] * weights_N
        accuracy = (right_N * shares_N).sum().item()
        points.append(
            OperatingPoint(
                policy={
                    "criterion": criterion,
                    "thresholds": [_finite(value) for value in thresholds],
                },
                cost_share=(cost_N.sum() / weights_N.sum()).item(),
                accuracy=accuracy,
                drop=full_accuracy - accuracy,
                drop_bound=risk_bound(lost, num_sources, 1 - confidence),
                confidence=confidence,
                num_calibration=num_sources,
            )
        )
    return points


def within_drop(points: Sequence[OperatingPoint], max_drop: float) -> OperatingPoint:
    """The cheapest point whose measured drop is within `max_drop`."""
    safe = [point for point in points if point.drop <= max_drop + 1e-12]
    return min(safe, key=lambda point: point.cost_share)


def certified(points: Sequence[OperatingPoint], max_drop: float) -> OperatingPoint:
    """The cheapest point that is certified to lose at most `max_drop`.

    Learn-then-Test with fixed-sequence testing (Angelopoulos et al., arXiv 2110.01052, section
    3.2): points are tested from the safest on, each at full level, until one fails. With the
    probability `confidence` over the held-out data, the point returned loses at most `max_drop`.

    Args:
        points: safest first; the first reads everything and is safe by definition.
        max_drop: share of sources that the full reading gets right and the point may not.
    """
    chosen = points[0]
    for point in points[1:]:
        if point.drop_bound > max_drop:
            break
        chosen = point
    return chosen


def risk_bound(num_losses: int, num_sources: int, delta: float) -> float:
    """The smallest risk that the test rejects: an upper bound on it with confidence 1 - delta.

    Inverts the Hoeffding-Bentkus p-value (Bates et al., "Distribution-free, Risk-controlling
    Prediction Sets", 2021, Theorem 3) by bisection.
    """
    low, high = num_losses / num_sources, 1.0
    if hoeffding_bentkus(num_losses, num_sources, high - 1e-12) > delta:
        return 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if hoeffding_bentkus(num_losses, num_sources, middle) > delta:
            low = middle
        else:
            high = middle
    return high


def hoeffding_bentkus(num_losses: int, num_sources: int, risk: float) -> float:
    """p-value for "the true risk is at least `risk`", given so many losses among the sources."""
    mean = num_losses / num_sources
    if mean >= risk:
        return 1.0
    hoeffding = math.exp(-num_sources * _binary_kl(mean, risk))
    bentkus = math.e * _binomial_cdf(num_losses, num_sources, risk)
    return min(hoeffding, bentkus, 1.0)


def _binary_kl(a: float, b: float) -> float:
    first = 0.0 if a == 0 else a * math.log(a / b)
    second = 0.0 if a == 1 else (1 - a) * math.log((1 - a) / (1 - b))
    return first + second


def _binomial_cdf(k: int, n: int, p: float) -> float:
    """P(X <= k) for X ~ Binomial(n, p), summed in logs."""
    if p <= 0:
        return 1.0
    if p >= 1:
        return float(k >= n)
    terms = [
        math.lgamma(n + 1)
        - math.lgamma(i + 1)
        - math.lgamma(n - i + 1)
        + i * math.log(p)
        + (n - i) * math.log1p(-p)
        for i in range(k + 1)
    ]
    largest = max(terms)
    return min(1.0, math.exp(largest) * sum(math.exp(term - largest) for term in terms))


def _finite(value: float) -> float:
    """JSON has no infinity; no certainty reaches this."""
    return 1e9 if value == math.inf else value
