"""How much reading less may cost in accuracy: exact tests and bounds from held-out sources.

The sources are taken as independent draws from what the reader will read. Four risks:

- `"accuracy_drop"`: the full reading's accuracy minus the policy's, in [-1, 1];
- `"lost_answers"`: the share of sources that the full reading gets right and the policy does not;
- `"disagreement"`: the share that the policy answers otherwise than the full reading. No labels.
- `"missed_events"`: of readers that find events, the share that is not found. A source is an event.

A test gives a p-value for "the risk is at least `limit`": whatever the truth, so long as that
holds, the p-value is at most alpha with a probability of at most alpha. Answers are right or
wrong, so the tests can be exact. Hoeffding-Bentkus p-values (Bates et al., "Distribution-free,
Risk-controlling Prediction Sets", 2021, Theorem 3) are for any loss in [0, 1] and never smaller
than the binomial tail here; betting bounds (Waudby-Smith & Ramdas, "Estimating means of bounded
random variables by betting", 2023) for any loss in [-1, 1] were wider than the exact ones in every
case that was tried.

L sources lost, G gained, N sources.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

_NUISANCE_DELTA = 1e-4
"""gamma of Berger & Boos: the chance that the share of changed answers lies above its bound. No
p-value of a drop is smaller."""
_NUISANCE_STEPS = 32
"""Shares of changed answers at which the tail is computed; it is smooth in them."""
_PRECISION = 1e-4
"""Of a bound, which is rounded up to it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What a policy changed, of the full reading's losses on the same sources."""

    num_lost: int
    """Sources where the policy has a loss and the full reading has none."""
    num_gained: int
    """Sources where the full reading has a loss and the policy has none."""
    num_sources: int
    """All sources, those where nothing changed included."""

    @classmethod
    def between(cls, full_N: Tensor, policy_N: Tensor) -> Change:
        """Count, from the losses of both: bool `[N]`, true where the answer is wrong."""
        return cls(
            num_lost=int((policy_N & ~full_N).sum()),
            num_gained=int((full_N & ~policy_N).sum()),
            num_sources=len(full_N),
        )

    @property
    def drop(self) -> float:
        """The accuracy drop that was measured, in [-1, 1]."""
        return (self.num_lost - self.num_gained) / self.num_sources


def share_p_value(change: Change, limit: float) -> float:
    """p-value for "the share of lost sources is at least `limit`": the binomial tail."""
    return _binomial_tail(change.num_lost, change.num_sources, limit)


def drop_p_value(change: Change, limit: float) -> float:
    """p-value for "the accuracy drop is at least `limit`", from both lost and gained sources.

    The unconditional exact test of noninferiority for matched pairs (Hsueh, Liu & Chen,
    Biometrics 57, 2001): outcomes (L, G) are ordered by Tango's score statistic (Statistics in
    Medicine 17, 1998, equation 4), and the probability of what is at most as large as the outcome
    is maximised over the share of changed answers, which the hypothesis leaves open, at a drop of
    exactly `limit`. The share is searched up to its upper confidence bound, at the price of that
    bound's delta (Berger & Boos, JASA 89, 1994).
    """
    lost, gained, n = change.num_lost, change.num_gained, change.num_sources
    if change.drop >= limit:
        return 1.0
    highest = _highest_share(lost + gained, n, _NUISANCE_DELTA)
    if highest <= abs(limit):  # so large a drop changes more answers than were changed
        return _NUISANCE_DELTA
    changed_Q = torch.linspace(abs(limit), highest, _NUISANCE_STEPS, dtype=torch.float64)
    changed_Q = changed_Q.clamp(max=1 - 1e-11)
    lost_Q = ((changed_Q + limit) / 2).clamp(min=1e-12)  # their logs are taken
    gained_Q = ((changed_Q - limit) / 2).clamp(min=1e-12)
    lost_L1 = torch.arange(_largest_count(lost_Q, n) + 1, dtype=torch.float64)[:, None]
    gained_1G = torch.arange(_largest_count(gained_Q, n) + 1, dtype=torch.float64)[None]
    score_LG = _score(lost_L1, gained_1G, n, limit)
    observed = _score(lost_L1.new_tensor(lost), lost_L1.new_tensor(gained), n, limit)
    inside = (score_LG <= observed + 1e-9) & (lost_L1 + gained_1G <= n)
    lost_R, gained_R = (counts.to(torch.float64) for counts in inside.nonzero(as_tuple=True))
    same_R = n - lost_R - gained_R
    ways_R = math.lgamma(n + 1) - sum(
        torch.lgamma(counts + 1) for counts in (lost_R, gained_R, same_R)
    )
    tail_Q = torch.stack(
        [
            (ways_R + lost_R * math.log(a) + gained_R * math.log(b) + same_R * math.log1p(-a - b))
            .exp()
            .sum()
            for a, b in zip(lost_Q.tolist(), gained_Q.tolist(), strict=True)
        ]
    )
    return min(1.0, float(tail_Q.max()) + _NUISANCE_DELTA)


RISKS: dict[str, Callable[[Change, float], float]] = {
    "accuracy_drop": drop_p_value,
    "lost_answers": share_p_value,
    "disagreement": share_p_value,
    "missed_events": share_p_value,
}
"""The p-value of each risk."""


def upper_bound(risk: str, change: Change, delta: float) -> float:
    """The largest risk that is not rejected at level delta: the risk is below with 1 - delta.

    Args:
        risk: one of `RISKS`.
        change: at least one source.
        delta: in (1e-4, 1).

    Returns:
        A bound in [-1, 1] for `"accuracy_drop"`, in [0, 1] for shares.
    """
    p_value = RISKS[risk]
    low = change.drop if risk == "accuracy_drop" else change.num_lost / change.num_sources
    high = 1.0
    if p_value(change, high) > delta:
        return high
    while high - low > _PRECISION:
        middle = (low + high) / 2
        if p_value(change, middle) > delta:
            low = middle
        else:
            high = middle
    return high


def _score(lost: Tensor, gained: Tensor, n: int, limit: float) -> Tensor:
    """Tango's score statistic: the drop minus the limit, over its error where that were true."""
    b = (2 * n - lost + gained) * limit - lost - gained
    c = -gained * limit * (1 - limit)
    share = ((b * b - 8 * n * c).clamp(min=0).sqrt() - b) / (4 * n)  # gained, most likely
    variance = n * (2 * share + limit * (1 - limit))
    return (lost - gained - n * limit) / variance.clamp(min=1e-12).sqrt()


def _largest_count(share_Q: Tensor, n: int) -> int:
    """Beyond this a count of so likely sources has no weight: nine standard deviations."""
    share = float(share_Q.max())
    return min(n, math.ceil(n * share + 9 * math.sqrt(n * share * (1 - share)) + 12))


def _highest_share(count: int, n: int, delta: float) -> float:
    """Upper bound on a share of which `count` of n were seen (Clopper & Pearson, 1934)."""
    return upper_bound("lost_answers", Change(num_lost=count, num_gained=0, num_sources=n), delta)


def _binomial_tail(count: int, n: int, share: float) -> float:
    """P(X <= count) for X ~ Binomial(n, share), summed in logs."""
    if share <= 0 or share >= 1:
        return float(share <= 0 or count >= n)
    seen = torch.arange(count + 1, dtype=torch.float64)
    logs = math.lgamma(n + 1) - torch.lgamma(seen + 1) - torch.lgamma(n - seen + 1)
    logs += seen * math.log(share) + (n - seen) * math.log1p(-share)
    return min(1.0, float(logs.exp().sum()))
