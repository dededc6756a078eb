"""When to halt: how certain a reader is, from the exits that it has passed so far.

Every criterion has one signature: `criterion(logits_EBK) -> certainty_B`, where `logits_EBK` holds
the logits of the exits so far, oldest first (`[E, B, K]`, E >= 1). Higher is more certain, and a
reader halts when the certainty reaches its threshold. Thresholds come from calibration. What else
a criterion can be told (a window, a tolerance) are keywords with defaults; a reader's
configuration has fields of the same names.

In regression there is one output (K = 1) and no probability: only what compares the exits with one
another tells anything there, see `FOR_REGRESSION`.

E exits so far, B sources, K classes.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Criterion = Callable[..., Tensor]

_ROUNDING = 1e-6  # of float32 probabilities: what leads by less does not lead


def confidence(logits_EBK: Tensor) -> Tensor:
    """The largest probability of the newest exit, in [1/K, 1]."""
    return logits_EBK[-1].softmax(-1).amax(-1)


def margin(logits_EBK: Tensor) -> Tensor:
    """The lead of the best class over the second of the newest exit, in [0, 1].

    Schuster et al., "Confident Adaptive Language Modeling" (NeurIPS 2022), section 3.5.
    """
    top_B2 = logits_EBK[-1].softmax(-1).topk(2, dim=-1).values
    return top_B2[..., 0] - top_B2[..., 1]


def entropy(logits_EBK: Tensor) -> Tensor:
    """One minus the normalised entropy of the newest exit, in [0, 1].

    DeeBERT (Xin et al., ACL 2020) and FastBERT (Liu et al., ACL 2020) halt where the entropy is
    low; subtracting it from 1 keeps "higher is more certain".
    """
    log_p_BK = logits_EBK[-1].log_softmax(-1)
    entropy_B = -(log_p_BK.exp() * log_p_BK).sum(-1)
    return 1 - entropy_B / math.log(logits_EBK.shape[-1])


def patience(logits_EBK: Tensor, *, tolerance: float = 0.0) -> Tensor:
    """For how many exits in a row, the newest included, the answer has been the same (>= 1).

    PABEE (Zhou et al., NeurIPS 2020, section 3.2) halts when `patience` exits after the first
    agree with it, which is a threshold of `patience + 1` here. In regression an exit agrees with
    the one before if they differ by less than `tolerance`.
    """
    if logits_EBK.shape[-1] == 1:
        agrees_EB = (logits_EBK.diff(dim=0).abs() < tolerance).squeeze(-1)
    else:
        agrees_EB = logits_EBK.argmax(-1).diff(dim=0) == 0
    return 1 + agrees_EB.flip(0).to(logits_EBK.dtype).cumprod(0).sum(0)


def window(logits_EBK: Tensor, *, window_size: int = 3) -> Tensor:
    """How far the last `window_size` exits all point the same way, in [0, 1].

    The smallest probability, over the window, of what the newest exit answers; 0 before there are
    so many exits. ELBERT (Xie et al., arXiv 2107.00175, section 2.3) halts a source that is at no
    single exit certain enough where all exits of the window lean to one side by a margin: for two
    classes a threshold of 1/2 + margin here.

    In regression, 1 / (1 + s) where s is the largest minus the smallest output in the window:
    outputs that moved by less than tau exceed the threshold 1 / (1 + tau).
    """
    recent_WBK = logits_EBK[-window_size:]
    if len(recent_WBK) < window_size:
        return logits_EBK.new_zeros(logits_EBK.shape[1])
    if logits_EBK.shape[-1] == 1:
        return 1 / (1 + (recent_WBK.amax(0) - recent_WBK.amin(0)).squeeze(-1))
    answer_B = logits_EBK[-1].argmax(-1)
    return recent_WBK.softmax(-1).amin(0).gather(-1, answer_B[:, None]).squeeze(-1)


def stability(logits_EBK: Tensor) -> Tensor:
    """One minus the total variation distance between the newest two exits; 0 at the first.

    A running mean that no longer moves needs no more evidence, however unsure it is.
    """
    if len(logits_EBK) < 2:
        return logits_EBK.new_zeros(logits_EBK.shape[1])
    new_BK, old_BK = logits_EBK[-1].softmax(-1), logits_EBK[-2].softmax(-1)
    return 1 - (new_BK - old_BK).abs().sum(-1) / 2


def lead(
    logits_EBK: Tensor, *, problem_type: str | None = None, num_exits: int | None = None
) -> Tensor:
    """How sure it is that the best class of a running mean stays the best, in [0, 1].

    Of exits that are means of the probabilities of all units so far (an untrained classifier over
    frames or clips). What each unit said is had back from them; the leader's lead over another
    class is then a sample of as many values as units were read, of all that there are to be read,
    and this is Student's probability that the mean of all is above 0, for the class that comes
    closest. One value more, of no lead, stands for what may yet come: few units that agree prove
    little. So a small lead that every frame confirms is sure, and a large one of frames that differ
    is not. 0 where there is one class alone, of which the score is wanted.

    Args:
        problem_type: of the configuration; of several labels at a time each has a probability of
            its own.
        num_exits: units that are read when nothing halts, N; None: without end.
    """
    count, _, classes = logits_EBK.shape
    if classes < 2:
        return logits_EBK.new_zeros(logits_EBK.shape[1])
    logits_EBK = logits_EBK.double()  # units are differences of sums
    has_several = problem_type == "multi_label_classification"
    means_EBK = logits_EBK.sigmoid() if has_several else logits_EBK.softmax(-1)
    steps_E = torch.arange(1, count + 1, dtype=means_EBK.dtype, device=means_EBK.device)
    sums_EBK = means_EBK * steps_E[:, None, None]
    units_EBK = torch.cat([sums_EBK[:1], sums_EBK.diff(dim=0)])
    best_B = means_EBK[-1].argmax(-1)
    leads_EBK = units_EBK.gather(-1, best_B[None, :, None].expand(count, -1, 1)) - units_EBK
    leads_EBK = F.pad(leads_EBK, (0, 0, 0, 0, 0, 1))  # the value more
    left = 1.0 if num_exits is None else max(1 - count / num_exits, 0.0)
    error_BK = (leads_EBK.var(0) / (count + 1) * left).sqrt() + _ROUNDING
    t_BK = leads_EBK.mean(0) / error_BK
    # Abramowitz & Stegun, Handbook of Mathematical Functions, 26.7.8, of `count` degrees.
    z_BK = t_BK * (1 - 1 / (4 * count)) / (1 + t_BK.square() / (2 * count)).sqrt()
    sure_BK = torch.special.ndtr(z_BK).scatter(-1, best_B[:, None], 1.0)
    return sure_BK.amin(-1).float()


def utility_drop(utility_EB: Tensor, *, steps: int = 1) -> Tensor:
    """How far what is expected of reading on has stayed below its best for so many exits, `[B]`.

    AdaFrame (Wu et al., CVPR 2019, section 3.3) halts where the largest utility so far is above the
    present one by more than mu, `steps` times in a row.

    Args:
        utility_EB: the reward that each exit so far expected of what comes after it, oldest first.
        steps: exits in a row, p; before there are so many, nothing has dropped.
    """
    drop_EB = utility_EB.cummax(0).values - utility_EB
    if len(drop_EB) < steps:
        return torch.zeros_like(drop_EB[0])
    return drop_EB[-steps:].amin(0)


CRITERIA: dict[str, Criterion] = {
    "confidence": confidence,
    "margin": margin,
    "entropy": entropy,
    "lead": lead,
    "patience": patience,
    "stability": stability,
    "window": window,
}

FOR_REGRESSION = ("patience", "window")
"""Criteria that mean something for a single output that is no probability."""


def criterion(name: str, /, **settings: Any) -> Criterion:
    """Look a criterion up, with those of the settings that it knows.

    Raises:
        ValueError: the name is not one of `CRITERIA`.
    """
    if name not in CRITERIA:
        raise ValueError(f"criterion ({name!r}) must be one of {sorted(CRITERIA)}")
    rule = CRITERIA[name]
    known = settings.keys() & _settings_of(rule)
    return partial(rule, **{key: settings[key] for key in known}) if known else rule


@cache
def _settings_of(rule: Criterion) -> frozenset[str]:
    # Asked for at every exit of every batch; `inspect` takes as long as a small layer.
    return frozenset(inspect.signature(rule).parameters)


class LearnedGate(nn.Module):
    """FrameExit's gate: is the pooled state, beside the one before, enough to answer?

    Ghodrati et al., "FrameExit" (CVPR 2021), section 3.3. Both states go through one small
    network; their codes side by side give one logit. The gate's certainty is its sigmoid.
    """

    def __init__(self, state_size: int, hidden_size: int = 64) -> None:
        super().__init__()
        self.encode = nn.Sequential(
            nn.Linear(state_size, 2 * hidden_size),
            nn.ReLU(),
            nn.Linear(2 * hidden_size, hidden_size),
            nn.ReLU(),
        )
        self.decide = nn.Linear(2 * hidden_size, 1)

    def forward(self, state_BD: Tensor, previous_BD: Tensor) -> Tensor:
        """Returns logits `[B]`; positive means halt."""
        codes = torch.cat([self.encode(state_BD), self.encode(previous_BD)], dim=-1)
        return self.decide(codes).squeeze(-1)
