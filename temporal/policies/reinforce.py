"""Learning from decisions that were sampled: REINFORCE, with what lowers its variance.

Williams, "Simple statistical gradient-following algorithms for connectionist reinforcement
learning" (Machine Learning, 1992): the gradient of the expected return is the expectation of
`(return - baseline) * grad log p(decision)` for any baseline that does not depend on the decision.

B sources, n decisions of all sources, A actions, E points at which a reading may stop, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def sample(logits_nA: Tensor) -> tuple[Tensor, Tensor]:
    """Draw an action of each row from its softmax: int64 `[n]`, and `log p` of it with gradients.

    Uses torch's global generator.
    """
    log_p_nA = logits_nA.log_softmax(-1)
    action_n = torch.multinomial(log_p_nA.detach().exp(), 1)
    return action_n.squeeze(1), log_p_nA.gather(1, action_n).squeeze(1)


def action_entropy(logits_nA: Tensor) -> Tensor:
    """Of each row's softmax, in nats, `[n]`. Rewarded a little, it keeps a policy exploring.

    Williams & Peng, "Function optimization using connectionist reinforcement learning algorithms"
    (Connection Science, 1991).
    """
    log_p_nA = logits_nA.log_softmax(-1)
    return -(log_p_nA.exp() * log_p_nA).sum(-1)


entropy = action_entropy  # its name before, which is also that of a criterion to halt by


def policy_loss(log_p_n: Tensor, returns_n: Tensor, baseline_n: Tensor, num_sources: int) -> Tensor:
    """A scalar whose gradient estimates that of minus the expected return, the sources' mean.

    Args:
        log_p_n: of the actions taken.
        returns_n: what came of each: the rewards after it (and before, which changes nothing).
        baseline_n: what was to be expected. Neither gets a gradient from here.
        num_sources: that the decisions belong to.
    """
    return -(log_p_n * (returns_n - baseline_n).detach()).sum() / num_sources


def baseline_loss(baseline_n: Tensor, returns_n: Tensor) -> Tensor:
    """Fits a baseline to the returns by least squares (Yu et al., ACL 2017, section 2.2)."""
    if not len(baseline_n):
        return baseline_n.sum()
    return F.mse_loss(baseline_n, returns_n.detach())


def right_or_wrong(logits_BK: Tensor, labels_B: Tensor) -> Tensor:
    """The reward of an answer: 1 where it is right, else -1 (Yu et al., ACL 2017). `[B]`."""
    return 2.0 * (logits_BK.argmax(-1) == labels_B) - 1.0


def right_or_likely(logits_BK: Tensor, labels_B: Tensor) -> Tensor:
    """The reward of an answer: 1 where it is right, else the probability of the right one, `[B]`.

    Hansen et al. (ICLR 2019), section 3.3: a wrong answer is worth more the closer it was.
    """
    right_B = logits_BK.argmax(-1) == labels_B
    likely_B = logits_BK.softmax(-1).gather(1, labels_B[:, None]).squeeze(1)
    return torch.where(right_B, torch.ones_like(likely_B), likely_B)


def right_margin(logits_BK: Tensor, labels: Tensor) -> Tensor:
    """By how much the right class leads over the likeliest other one, in [-1, 1]: `[B]`.

    AdaFrame (Wu et al., CVPR 2019), equation 5.

    Args:
        logits_BK: of an answer.
        labels: int64 `[B]`; or float `[B, K]`, 1 where a class is right: of several labels, the
            mean probability of the right ones leads over the likeliest of the others.
    """
    if labels.ndim == 1:
        is_right_BK = F.one_hot(labels, logits_BK.shape[-1]).bool()
        p_BK = logits_BK.softmax(-1)
    else:
        is_right_BK = labels > 0.5
        p_BK = logits_BK.sigmoid()
    right_B = (p_BK * is_right_BK).sum(-1) / is_right_BK.sum(-1).clamp(min=1)
    others_BK = p_BK.masked_fill(is_right_BK, 0.0)
    return right_B - others_BK.amax(-1)


def record_gains(worth_BE: Tensor) -> Tensor:
    """By how much each point but the first beats all before it, `[B, E - 1]`, at least 0.

    The reward of AdaFrame (equation 6) for what was read between two answers.
    """
    best_BE = worth_BE.cummax(1).values
    return (worth_BE[:, 1:] - best_BE[:, :-1]).clamp(min=0)


def discounted_returns(rewards_BE: Tensor, discount: float) -> Tensor:
    """What follows each decision: its reward, and those after it, each worth less. `[B, E]`."""
    returns: list[Tensor] = []
    for reward_B in reversed(rewards_BE.unbind(1)):
        returns.append(reward_B + discount * returns[-1] if returns else reward_B)
    return torch.stack(returns[::-1], 1) if returns else rewards_BE


def stop_log_probabilities(stop_BE: Tensor, may_stop_BE: Tensor, last_B: Tensor) -> Tensor:
    """The log of the probability of stopping at each point, `[B, E]`; minus infinity for none.

    A reading stops at a point if it does so there and did not at any before.

    Args:
        stop_BE: logits of stopping at each point, once it is reached.
        may_stop_BE: bool, the points at which it may stop.
        last_B: int64, the point at which each stops in any case.
    """
    points_E = torch.arange(stop_BE.shape[1], device=stop_BE.device)
    is_last_BE = points_E == last_B[:, None]
    before_BE = points_E < last_B[:, None]
    goes_on_BE = F.logsigmoid(-stop_BE) * (may_stop_BE & before_BE)
    reached_BE = goes_on_BE.cumsum(1) - goes_on_BE
    stops_BE = torch.where(is_last_BE, 0.0, F.logsigmoid(stop_BE))
    return (reached_BE + stops_BE).masked_fill(~(is_last_BE | may_stop_BE & before_BE), -torch.inf)


def contrastive_stop_loss(log_p_BE: Tensor, reward_BE: Tensor) -> Tensor:
    """Policy gradient over all points at which a reading may stop, against the source's own mean.

    Shen et al., "ReasoNet: Learning to Stop Reading in Machine Comprehension" (KDD 2017), equation
    7: `sum over e of p_e * grad log p_e * (r_e / b - 1)` with the baseline `b = sum of p_e r_e` of
    the same source. As the p_e add up to 1, that is the gradient of `log b`, whose negative this
    is: no stop needs to be sampled.

    Args:
        log_p_BE: of stopping at each point.
        reward_BE: of stopping there, >= 0; gets no gradient.
    """
    mean_B = (log_p_BE.exp() * reward_BE.detach()).sum(1)
    return -mean_B.clamp(min=1e-6).log().mean()
