"""OCSampler: choose a set of frames in one step, by what the set is worth to the heavy model.

Lin, Duan, Chen, Lin & Wang, "OCSampler: Compressing Videos to One Clip with Single-step Sampling"
(CVPR 2022, arXiv 2201.04388).

B videos, M sets drawn of each, S candidates, E frames of a set, K classes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ...checks import check_count, check_range
from ...policies.read import uniform
from ...policies.reinforce import action_entropy, policy_loss
from ...policies.sets import sample_set, set_log_probability
from .glancing import ScoredOutput, ScoringConfig, ScoringReader, running_means


class OCSamplerConfig(ScoringConfig):
    """Backbone, candidates, policy and halting of an `OCSampler`."""

    model_type = "oc_sampler"

    num_draws: int = 4
    """Sets that a training draws of each video; the heavy model's answers to them cost nothing."""
    answer_weight: float = 1.0
    """Of the answers' loss. 0 trains the policy alone, as the paper does with a heavy model that
    was trained before."""
    policy_weight: float = 1.0
    """Of the policy gradient."""
    entropy_weight: float = 0.01
    """What a policy that still explores is worth, in nats. The paper's 0.1 is more than a frame
    well chosen is worth to a heavy model that is mostly right, and keeps the policy uniform."""
    any_size: bool = True
    """Sets of 1 to `num_frames` frames are drawn, as many in each batch, so that what is read
    first is worth most, and a reading that halts has read a good set of its size. False: sets of
    `num_frames`, as in the paper, which may be read in any order."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        check_count("num_draws", self.num_draws, 1)
        for name in ("answer_weight", "policy_weight", "entropy_weight"):
            check_range(name, getattr(self, name), 0.0, float("inf"))


class OCSampler(ScoringReader, PreTrainedModel):
    """Glances at all candidates, and chooses those that it reads as a set, at once.

    "OCSampler: Compressing Videos to One Clip with Single-step Sampling", Lin et al., CVPR 2022,
    arXiv 2201.04388.

    A small network sees each candidate beside the mean of all; a softmax over its scores is the
    policy. The `num_frames` likeliest are read, the likeliest first, and their answers averaged, an
    exit after each.

    `forward` draws sets without replacement. The reward of a set is by how much the heavy model
    gains confidence in the right class over as many frames read uniformly, and the policy gradient
    takes the probability of the set in whatever order it was drawn (`set_log_probability`), with a
    reward for entropy. No gradient of it reaches the heavy model, which is trained on all
    candidates, each for itself (`answer_weight`).
    """

    config_class = OCSamplerConfig
    base_model_prefix = "oc_sampler"

    def __init__(self, config: OCSamplerConfig) -> None:
        super().__init__(config)
        self.make_answers()
        self.make_scorer(context=True)
        self.post_init()

    def forward(
        self,
        pixel_values: Tensor | None = None,
        glances: Tensor | None = None,
        features: Tensor | None = None,
        motion: Tensor | None = None,
        labels: Tensor | None = None,
        class_weights: Tensor | None = None,
    ) -> ScoredOutput:
        """Choose among all candidates, and answer by what was chosen.

        Args:
            pixel_values: `[B, S, 3, H, W]` of the candidates, 0 to 255; or
            glances: `[B, S, 3, h, w]`, the candidates at `glance_size`, 0 to 255, where it glances.
            features: `[B, S, D]`, what `training_features` made of them before.
            motion: `[B, S]`, `Handle.motion` at the candidates, where it looks at that.
            labels: int64 `[B]`; or float `[B, K]`, see `answer_losses`.
            class_weights: `[K]`, for unbalanced classes.
        """
        logits_BSK = self.classify(self.sequence_features(pixel_values, features))
        policy_BS = self._ranks(self.seen_scores(glances, motion))
        best_BE = self.best(policy_BS)
        exits_BEK = running_means(_taken(logits_BSK, best_BE))
        loss = None
        if labels is not None:
            answers = self.frame_losses(logits_BSK, labels, class_weights).mean()
            loss = self.config.answer_weight * answers
            loss = loss + self._policy_loss(policy_BS, logits_BSK.detach(), labels)
        return ScoredOutput(
            loss=loss, logits=exits_BEK[:, -1], exit_logits=exits_BEK, picked=best_BE
        )

    def _policy_loss(self, policy_BS: Tensor, logits_BSK: Tensor, labels: Tensor) -> Tensor:
        """REINFORCE over sets, against the uniform set of the same size."""
        draws, size = self.config.num_draws, min(self.config.num_frames, policy_BS.shape[1])
        if self.config.any_size:
            size = int(torch.randint(1, size + 1, ()))
        policy_nS = policy_BS.repeat_interleave(draws, 0)
        drawn_nE = sample_set(policy_nS, size)
        each_nSK = logits_BSK.repeat_interleave(draws, 0)
        reward_n = self._confidence(_taken(each_nSK, drawn_nE), labels.repeat_interleave(draws, 0))
        middles = uniform(policy_BS.shape[1], size)
        usual_B = self._confidence(logits_BSK[:, middles], labels)
        gradient = policy_loss(
            set_log_probability(policy_nS, drawn_nE),
            reward_n,
            usual_B.repeat_interleave(draws, 0),
            num_sources=len(drawn_nE),
        )
        entropy = action_entropy(policy_BS).mean()
        return self.config.policy_weight * gradient - self.config.entropy_weight * entropy

    def _confidence(self, logits_nEK: Tensor, labels: Tensor) -> Tensor:
        """The probability of the right answer by the mean over frames, `[n]`.

        Of other tasks, what their losses make of it.
        """
        return (-self.answer_losses(logits_nEK.mean(1), labels)).exp()


def _taken(logits_BSK: Tensor, ranks_BE: Tensor) -> Tensor:
    return torch.take_along_dim(logits_BSK, ranks_BE[..., None], 1)
