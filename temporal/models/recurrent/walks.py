"""What readers share that choose their own way through a text, and learn it by REINFORCE.

Such a reader is a `WalkReader` and has, besides what `readers` asks for:

- `walk(input_ids, lengths_B) -> Walk`, which takes all rows of a batch along in lock-step, each at
  its own position, and computes only what is read;
- `_run_kernel(ids_BT, lengths_B)`, as `_run`, by its compiled kernel;
- `reward(logits_BK, labels_B)`; and in its configuration `policy_weight` and `entropy_weight`.

Marks say what became of a token: 0, it was not touched; -1, it was looked at and skipped; above 0,
it was read, as which of all reads (as the last of several).

B sources, T tokens, H state size, K classes, A actions, F features, n rows or decisions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...handle import Handle
from ...policies.reinforce import action_entropy, baseline_loss, policy_loss, sample
from .kernel_runs import count_read, kernels_apply
from .readers import RecurrentOutput, RecurrentReader, likeliest, read_cohort


class Decisions:
    """The actions that were taken: sampled in training, the likeliest otherwise."""

    def __init__(self, *, sampled: bool) -> None:
        self.sampled = sampled
        self._taken: list[tuple[Tensor, ...]] = []

    def take(
        self,
        rows_n: Tensor,
        logits_nA: Tensor,
        features_nF: Tensor,
        baseline: nn.Module,
        spent_n: Tensor | None = None,
    ) -> Tensor:
        """Choose an action for each of some rows.

        Args:
            rows_n: whose decisions these are.
            logits_nA: of the actions.
            features_nF: what the baseline sees; it learns nothing into them.
            baseline: from features to the return that was to be expected, `[n, 1]`.
            spent_n: what the row's reading had cost before; None: reading costs nothing.

        Returns:
            Actions, int64 `[n]`.
        """
        if not self.sampled:
            return logits_nA.argmax(-1)
        action_n, log_p_n = sample(logits_nA)
        baseline_n = baseline(features_nF.detach()).squeeze(1)
        spent_n = torch.zeros_like(baseline_n) if spent_n is None else spent_n
        self._taken.append((rows_n, log_p_n, action_entropy(logits_nA), baseline_n, spent_n))
        return action_n

    def loss(self, worth_B: Tensor, *, policy_weight: float, entropy_weight: float) -> Tensor:
        """What the decisions add to the loss, a scalar.

        Args:
            worth_B: each source's reward less what its whole reading cost. An action's return is
                this, and what had been spent before the action.
            policy_weight: of the policy gradient.
            entropy_weight: of the mean entropy, which is to be large.
        """
        if not self._taken:
            return worth_B.new_zeros(())
        columns = zip(*self._taken, strict=True)
        rows_n, log_p_n, entropy_n, baseline_n, spent_n = map(torch.cat, columns)
        returns_n = worth_B[rows_n] + spent_n
        return (
            policy_weight * policy_loss(log_p_n, returns_n, baseline_n, len(worth_B))
            + baseline_loss(baseline_n, returns_n)
            - entropy_weight * entropy_n.mean()
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Walk:
    """How a batch was read."""

    pooled_BH: Tensor
    """What the classifier sees."""
    marks_BT: Tensor
    """int32; see the head of this file."""
    macs_B: Tensor
    """int64, multiply-accumulates that ran for each source."""
    decisions: Decisions
    """What led the way."""
    cost_B: Tensor | None = None
    """What the reading cost each source in the unit of its reward; None: nothing."""


class WalkReader(RecurrentReader):
    """Mixed into a reader that walks; see the head of this file."""

    def _classified(
        self, ids_BT: Tensor, lengths_B: Tensor, labels: Tensor | None
    ) -> RecurrentOutput:
        reader: Any = self
        loss = None
        if not reader.training and not torch.is_grad_enabled():
            pooled_BH, marks_BT, _ = reader.run.fn(ids_BT, lengths_B)
            num_read_B = count_read(marks_BT).to(lengths_B.device)
            logits_BK = reader.classifier(pooled_BH)
            if labels is not None:
                loss = F.cross_entropy(logits_BK, labels)
        else:
            reader.tables.forget()
            walk = reader.walk(ids_BT, lengths_B)
            num_read_B = (walk.marks_BT > 0).sum(1)
            logits_BK = reader.classifier(reader.dropout(walk.pooled_BH))
            if labels is not None:
                worth_B = reader.reward(logits_BK.detach(), likeliest(labels))
                worth_B = worth_B if walk.cost_B is None else worth_B - walk.cost_B
                config = reader.config
                loss = F.cross_entropy(logits_BK, labels) + walk.decisions.loss(
                    worth_B,
                    policy_weight=config.policy_weight,
                    entropy_weight=config.entropy_weight,
                )
        return RecurrentOutput(loss=loss, logits=logits_BK, read_share=num_read_B / lengths_B)

    async def read(self, documents: list[Handle]) -> list[Tensor]:
        """Read a cohort of documents, each on its own way.

        Returns:
            Logits `[K]` for each document.
        """
        return await read_cohort(self, documents, note=note_walk)

    def _run(self, ids_BT: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """By the compiled kernel (`_run_kernel`) where that applies, or else by `walk`."""
        reader: Any = self
        if kernels_apply(reader):
            return reader._run_kernel(ids_BT, lengths_B)
        walk = reader.walk(ids_BT.to(reader.device), lengths_B.to(reader.device))
        return walk.pooled_BH, walk.marks_BT.cpu(), walk.macs_B


def note_walk(document: Handle, marks_T: Tensor) -> None:
    """Write down what was read, in this order, what was skipped, and where the reading halted."""
    order = marks_T.argsort(stable=True)
    read = order[marks_T[order] > 0].tolist()
    touched = marks_T.nonzero().squeeze(1).tolist()
    document.note(read=read, skimmed=(marks_T < 0).nonzero().squeeze(1).tolist())
    if touched and touched[-1] < len(marks_T) - 1:
        document.note(halted_at=read[-1] if read else touched[-1])
