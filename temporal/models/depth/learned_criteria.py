"""Halting criteria that are learned: small networks that say how certain an exit may be.

Each is a module `criterion(logits_EBK, seen_BD) -> logit_B`, asked after every exit but the last:
of the logits of the exits so far, oldest first, and of what the newest exit saw. The certainty is
the sigmoid of its logit, so it is compared with thresholds as the criteria of
`temporal.policies.halt` are.

E exits so far, B sources, D model width, K classes (1 in regression), F features.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .regimes import answers, closeness


class LearnedCriterion(Protocol):
    """A criterion with weights."""

    def __call__(self, logits_EBK: Tensor, seen_BD: Tensor) -> Tensor:
        """How certain the newest exit may be: logits `[B]`."""

    def loss(self, logit_B: Tensor, logits_BK: Tensor, last_BK: Tensor, labels_B: Tensor) -> Tensor:
        """What it should have said of an exit, given the last one's logits and the labels."""


class Certainty(nn.Module):
    """Is this exit right? One linear map of what it saw, shared by all exits.

    BERxiT's "learning to exit" module (Xin et al., EACL 2021, section 3.3). It learns beside the
    exits and works for regression.

    Args:
        num_exits: E, the last one included.
        hidden_size: D.
        num_labels: K.
    """

    def __init__(self, num_exits: int, hidden_size: int, num_labels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden_size, 1)

    def forward(self, logits_EBK: Tensor, seen_BD: Tensor) -> Tensor:
        """Returns logits `[B]`."""
        return self.linear(seen_BD).squeeze(-1)

    def loss(self, logit_B: Tensor, logits_BK: Tensor, last_BK: Tensor, labels_B: Tensor) -> Tensor:
        """Mean squared error of the certainty against being right (its section 3.3); a scalar."""
        return F.mse_loss(logit_B.sigmoid(), closeness(logits_BK.detach(), labels_B))


class Consistency(nn.Module):
    """Would the last exit answer the same? A small network for each exit, on the exits so far.

    The meta-classifier of CATs (Schuster et al., EMNLP 2021, section 4), which is trained on a
    reader that does not change any more. Labels are not needed.

    Args:
        num_exits: E, the last one included.
        hidden_size: D.
        num_labels: K.
    """

    WIDTH = 32

    def __init__(self, num_exits: int, hidden_size: int, num_labels: int) -> None:
        super().__init__()
        own = 1 if num_labels == 1 else num_labels + 2
        self.networks = nn.ModuleList(
            nn.Sequential(nn.Linear(own + k, self.WIDTH), nn.Tanh(), nn.Linear(self.WIDTH, 1))
            for k in range(num_exits - 1)
        )

    def forward(self, logits_EBK: Tensor, seen_BD: Tensor) -> Tensor:
        """Returns logits `[B]`."""
        network = self.networks[len(logits_EBK) - 1]
        return network(consistency_features(logits_EBK)).squeeze(-1)

    def loss(self, logit_B: Tensor, logits_BK: Tensor, last_BK: Tensor, labels_B: Tensor) -> Tensor:
        """Mean cross-entropy of the certainty against agreeing with the last exit; a scalar.

        In regression, where CATs asks for a difference within a tolerance, the target is how
        close both are (`closeness`).
        """
        target_B = closeness(logits_BK, answers(last_BK)).detach()
        return F.binary_cross_entropy_with_logits(logit_B, target_B)


def consistency_features(logits_EBK: Tensor) -> Tensor:
    """What the exits so far tell of the newest one's answer: `[B, F]`.

    Its probabilities, the largest of them and the lead of that over the second (F = K + 2), then
    the probability of the same answer at each exit before, oldest first (F grows by E - 1). In
    regression the newest output, and how far each earlier one was from it.
    """
    if logits_EBK.shape[-1] == 1:
        outputs_BE = logits_EBK.squeeze(-1).T
        return torch.cat([outputs_BE[:, -1:], outputs_BE[:, :-1] - outputs_BE[:, -1:]], 1)
    p_EBK = logits_EBK.softmax(-1)
    top_B2, order_B2 = p_EBK[-1].topk(2, dim=-1)
    answer_EB1 = order_B2[:, :1].expand(len(p_EBK), -1, 1)
    history_BE = p_EBK.gather(-1, answer_EB1).squeeze(-1).T[:, :-1]
    return torch.cat([p_EBK[-1], top_B2[:, :1], top_B2[:, :1] - top_B2[:, 1:], history_BE], 1)


LEARNED_CRITERIA: dict[str, type[Certainty] | type[Consistency]] = {
    "certainty": Certainty,
    "consistency": Consistency,
}
"""Learned criteria by name. A reader has those that its configuration lists."""
