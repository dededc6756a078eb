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


def entropy(logits_nA: Tensor) -> Tensor:
    """Of each row's softmax, in nats, `[n]`. Rewarded a little, it keeps a policy exploring.

    Williams & Peng, "Function optimization using connectionist reinforcement learning algorithms"
    (Connection Science, 1991).
    """
    log_p_nA = logits_nA.log_softmax(-1)
    return -(log_p_nA.exp() * log_p_nA).sum(-1)


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
