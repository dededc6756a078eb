"""SCSampler: score frames by what costs little, and read the most salient ones.

Korbar, Tran & Torresani, "SCSampler: Sampling Salient Clips from Video for Efficient Action
Recognition" (ICCV 2019, arXiv 1904.04289).

B videos, S candidates, K classes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ...checks import check_in, check_range, num_classes
from .glancing import ScoredOutput, ScoringConfig, ScoringReader, running_means

SALIENCIES = ("ranking", "classifier")


class SCSamplerConfig(ScoringConfig):
    """Backbone, candidates, saliency and halting of an `SCSampler`."""

    model_type = "sc_sampler"

    saliency: str = "ranking"
    """`"ranking"` learns which frames the heavy model is right about; `"classifier"` classifies
    what it sees, and what it is surest of is salient."""
    margin: float = 0.1
    """By how much a better frame's score is to exceed a worse one's."""
    saliency_weight: float = 1.0
    """Of the saliency's loss beside that of the answers."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        check_in("saliency", self.saliency, SALIENCIES)
        check_range("margin", self.margin, 0.0, float("inf"))
        check_range("saliency_weight", self.saliency_weight, 0.0, float("inf"))
        if self.saliency == "classifier" and num_classes(self) < 2:
            raise ValueError(
                f"saliency ({self.saliency!r}) needs at least 2 classes to be surest of one: take "
                "'ranking'"
            )


class SCSampler(ScoringReader, PreTrainedModel):
    """Scores candidates by thumbnails or packets, and reads the best.

    "SCSampler: Sampling Salient Clips from Video for Efficient Action Recognition", Korbar et al.,
    ICCV 2019, arXiv 1904.04289.

    A small network sees thumbnails of all candidates, how much their packets say they move (which
    decodes nothing: `evidence="motion"`), or both. The `num_frames` of the highest saliency are
    read, the highest first, and their answers averaged, an exit after each.

    `forward` trains the heavy model on all candidates, each for itself, and the saliency against
    its losses (SAL-RANK, section 3.3): of two frames of a video, the one of the lower loss is to
    have the higher score, by a margin. `saliency="classifier"` (AC) trains the small network on the
    labels instead; its saliency is the probability of its likeliest class.
    """

    config_class = SCSamplerConfig
    base_model_prefix = "sc_sampler"

    def __init__(self, config: SCSamplerConfig) -> None:
        super().__init__(config)
        self.make_answers()
        classifies = config.saliency == "classifier"
        self.make_scorer(num_scores=num_classes(config) if classifies else 1)
        self.post_init()

    def _ranks(self, scores_nX: Tensor) -> Tensor:
        if self.config.saliency == "classifier":
            return scores_nX.log_softmax(-1).amax(-1)
        return super()._ranks(scores_nX)

    def forward(
        self,
        pixel_values: Tensor | None = None,
        glances: Tensor | None = None,
        features: Tensor | None = None,
        motion: Tensor | None = None,
        labels: Tensor | None = None,
        class_weights: Tensor | None = None,
    ) -> ScoredOutput:
        """Score all candidates, and answer by the best of them.

        Args:
            pixel_values: `[B, S, 3, H, W]` of the candidates, 0 to 255; or
            glances: `[B, S, 3, h, w]`, the candidates at `glance_size`, 0 to 255, where it glances.
            features: `[B, S, D]`, what `training_features` made of them before.
            motion: `[B, S]`, `Handle.motion` at the candidates, where it looks at that.
            labels: int64 `[B]`; or float `[B, K]`, see `answer_losses`.
            class_weights: `[K]`, for unbalanced classes.
        """
        logits_BSK = self.classify(self.sequence_features(pixel_values, features))
        scores_BSX = self.seen_scores(glances, motion)
        best_BE = self.best(self._ranks(scores_BSX))
        exits_BEK = running_means(torch.take_along_dim(logits_BSK, best_BE[..., None], 1))
        loss = None
        if labels is not None:
            losses_BS = self.frame_losses(logits_BSK, labels, class_weights)
            if self.config.saliency == "classifier":
                saliency = self.frame_losses(scores_BSX, labels, class_weights).mean()
            else:
                ranks_BS, heavy_BS = self._ranks(scores_BSX), losses_BS.detach()
                saliency = ranking_loss(ranks_BS, heavy_BS, margin=self.config.margin)
            loss = losses_BS.mean() + self.config.saliency_weight * saliency
        return ScoredOutput(
            loss=loss, logits=exits_BEK[:, -1], exit_logits=exits_BEK, picked=best_BE
        )


def ranking_loss(scores_BS: Tensor, losses_BS: Tensor, *, margin: float) -> Tensor:
    """How far scores are from falling with losses: the mean over pairs of a video, a scalar.

    `max(0, margin - (s_i - s_j))` for each pair of which i has the lower loss (SCSampler, equation
    2).

    Args:
        scores_BS: saliencies, with gradients.
        losses_BS: of the heavy model.
        margin: see `SCSamplerConfig`.
    """
    is_better_BSS = losses_BS[:, :, None] < losses_BS[:, None, :]
    gaps_BSS = scores_BS[:, :, None] - scores_BS[:, None, :]
    hinges_BSS = (margin - gaps_BSS).relu() * is_better_BSS
    return hinges_BSS.sum() / is_better_BSS.sum().clamp(min=1)
