"""ListenToLook: hear a whole video, which decodes no frame, and look where the sound says to.

Gao, Oh, Grauman & Torresani, "Listen to Look: Action Recognition by Previewing Audio" (CVPR 2020,
arXiv 1912.04487).

B videos, S candidates, E exits, M mel bands, L steps, K classes, X width of what is heard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ...backbones.sound import SoundNet
from ...checks import check_count, check_finite, check_in, check_range, num_classes
from ...handle import Handle
from ...policies.select import top_k
from ...stage import Stage
from ..exit_reader import ExitsOutput
from ..video.glancing import ScoredOutput, ScoringConfig, ScoringReader, running_means
from ..video.hearing import listen, sounds_at
from ..video.reading import glance
from ..video.sc_sampler import ranking_loss


class ListenToLookConfig(ScoringConfig):
    """Backbone, candidates, ears and halting of a `ListenToLook`.

    `evidence` is `"glances"`, the preview of a video without sound, or `"both"`: how much its
    packets say that it moves, beside sound or glances.
    """

    model_type = "listen_to_look"

    num_mels: int = 64
    """M: bands of the spectrum that it hears."""
    num_steps: int = 96
    """L: steps of 10 ms that it hears around each candidate."""
    silence: float = 0.25
    """Share of videos whose sound is taken away in training, so that it learns to do without."""
    margin: float = 0.1
    """By how much a better frame's score is to exceed a worse one's."""
    saliency_weight: float = 1.0
    """Of the scores' loss beside that of the answers."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        check_in("evidence", self.evidence, ("glances", "both"))
        check_count("num_mels", self.num_mels, 2)
        check_count("num_steps", self.num_steps, 1)
        check_range("silence", self.silence, 0.0, 1.0)
        check_range("margin", self.margin, 0.0, float("inf"))
        check_range("saliency_weight", self.saliency_weight, 0.0, float("inf"))


@dataclass
class HeardOutput(ScoredOutput):
    """What `ListenToLook.forward` returns."""

    heard: Tensor | None = None
    """Which videos were heard, and not glanced at: bool `[B]`."""


class ListenToLook(ScoringReader, PreTrainedModel):
    """Chooses frames by the sound of the container, where there is one.

    "Listen to Look: Action Recognition by Previewing Audio", Gao et al., CVPR 2020, arXiv
    1912.04487.

    The sound is decoded whole, which takes no frame. A small network hears a second around each of
    `num_candidates` frames and scores them, each beside the mean of all; the `num_frames` of the
    highest scores are read, the highest first. An exit adds what the sound says of the whole video
    to the mean answer of the frames so far, as one linear classifier of both would. A video without
    sound, or whose sound cannot be had, is glanced at instead, as by `SCSampler`; `Trace.preview`
    says which it was.

    The paper looks again after each frame, by an LSTM that asks an index of all moments; here one
    hearing ranks them all, so that nothing waits for a frame to choose the next. Scores are trained
    by SCSampler's ranking (Korbar et al., ICCV 2019, equation 2).
    """

    config_class = ListenToLookConfig
    base_model_prefix = "listen_to_look"
    scorer: Any
    look: Any
    rank: Any
    features: Any

    def __init__(self, config: ListenToLookConfig) -> None:
        super().__init__(config)
        self.make_answers()
        self.make_scorer(context=True)
        self.ears = SoundNet(config.glance_features)
        self.preview_classifier = nn.Linear(config.glance_features, num_classes(config))
        self.hear = Stage(self._hear, name="hear")
        self.preview = Stage(self.preview_classifier, name="preview")
        self.post_init()

    @property
    def sound_size(self) -> tuple[int, int]:  # type: ignore[override]  # it hears
        """(bands, steps) of what is heard around a frame."""
        return self.config.num_mels, self.config.num_steps

    def _hear(self, patches_nML: Tensor) -> Tensor:
        return self.ears(patches_nML).relu()

    def forward(
        self,
        pixel_values: Tensor | None = None,
        glances: Tensor | None = None,
        sounds: Tensor | None = None,
        features: Tensor | None = None,
        motion: Tensor | None = None,
        labels: Tensor | None = None,
        class_weights: Tensor | None = None,
    ) -> HeardOutput:
        """Score all candidates, and answer by the best of them.

        Args:
            pixel_values: `[B, S, 3, H, W]` of the candidates, 0 to 255; or
            glances: `[B, S, 3, h, w]`, the candidates at `glance_size`, 0 to 255; of videos without
                sound, and in training.
            sounds: `[B, S, M, L]`, `sounds_at` the candidates, NaN of a video without sound; None:
                none has any.
            features: `[B, S, D]`, what `training_features` made of them before.
            motion: `[B, S]`, `Handle.motion` at the candidates, where `evidence` is `"both"`.
            labels: int64 `[B]`; or float `[B, K]`, see `answer_losses`.
            class_weights: `[K]`, for unbalanced classes.
        """
        logits_BSK = self.classify(self.sequence_features(pixel_values, features))
        looks_BSX, heard_B = self._looks(glances, sounds)
        if "motion" in self.scorer.sees and motion is None:
            raise ValueError("motion ([B, S]) is needed: evidence is 'both'")
        used = motion if "motion" in self.scorer.sees else None
        ranks_BS = self._ranks(self.scorer(self.scorer.join(looks_BSX, used)))
        best_BE = self.best(ranks_BS)
        said_BK = self.preview_classifier(looks_BSX.mean(1))
        means_BEK = running_means(torch.take_along_dim(logits_BSK, best_BE[..., None], 1))
        exits_BEK = means_BEK + said_BK[:, None]
        loss = None
        if labels is not None:
            losses_BS = self.frame_losses(logits_BSK, labels, class_weights)
            saliency = ranking_loss(ranks_BS, losses_BS.detach(), margin=self.config.margin)
            answers = self.frame_losses(exits_BEK, labels, class_weights).mean()
            loss = losses_BS.mean() + answers + self.config.saliency_weight * saliency
        return HeardOutput(
            loss=loss,
            logits=exits_BEK[:, -1],
            exit_logits=exits_BEK,
            picked=best_BE,
            heard=heard_B,
        )

    def frames_seen(self, output: ExitsOutput, num_frames: int) -> Tensor:
        """As for any reader; of a video that was heard no more is seen than is read."""
        read_BS = self.frames_read(output, num_frames)
        heard = getattr(output, "heard", None)
        if heard is None:
            return torch.ones_like(read_BS)
        return read_BS | ~heard[:, None]

    def _looks(self, glances: Tensor | None, sounds: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """What is heard or, where that is nothing, seen of each candidate: `[B, S, X]`.

        And which videos are heard, `[B]`; None: none is.

        Raises:
            ValueError: glances are needed, and not given.
        """
        heard_BSX, has_B = None, None
        if sounds is not None:
            has_B = sounds.isfinite().flatten(1).all(1)
            if self.training:
                has_B = has_B & (torch.rand(len(has_B), device=has_B.device) >= self.config.silence)
            patches_nML = sounds.nan_to_num(0.0).flatten(0, 1)
            heard_BSX = self._hear(patches_nML).unflatten(0, sounds.shape[:2])
            if bool(has_B.all()) and not self.training:
                return heard_BSX, has_B
        if glances is None:
            raise ValueError(
                "glances ([B, S, 3, h, w], candidates at glance_size) are needed of videos without "
                "sound, and in training"
            )
        seen_BSX = self.scorer.look(glances.flatten(0, 1)).unflatten(0, glances.shape[:2])
        if heard_BSX is None or has_B is None:
            return seen_BSX, None
        return torch.where(has_B[:, None, None], heard_BSX, seen_BSX), has_B

    async def read(self, video: Handle) -> Tensor:
        """Hear one video, and read the best of its candidates. Returns logits `[K]`."""
        count = await video.open()
        frames = self.training_frames(count, video.index.keyframes)
        sound = await listen(video)
        if sound is None:
            video.note(preview="glances")
            frames, small_SChw = await glance(video, frames, size=self.glance_size)
            looks_SX = await self.look(small_SChw)
        else:
            video.note(preview="sound")
            times_S = video.index.timestamps_seconds[frames]
            looks_SX = await self.hear(sounds_at(sound, times_S, self.sound_size))
        motion_1S = None
        if "motion" in self.scorer.sees:
            motion_1S = torch.as_tensor(await video.motion())[frames][None]
        known_SX = self.scorer.join(looks_SX[None], motion_1S)[0]
        ranks_S = check_finite(await self.rank(known_SX)).float().cpu()
        best = top_k(ranks_S, self.config.num_frames)
        best.sort(key=lambda rank: -float(ranks_S[rank]))
        said_1K = await self.preview(looks_SX.mean(0, keepdim=True))
        return await self.answer(video, [frames[rank] for rank in best], beside_1K=said_1K)

    def dense_macs(self, units_total: int) -> int | None:
        """MACs of hearing (or glancing at) all candidates and reading `num_frames` of them."""
        candidates = min(units_total, self.config.num_candidates)
        # Videos without sound are glanced at; of both the dearer, where both have been.
        costs = [self.macs_of([(stage, candidates)]) for stage in (self.hear, self.look)]
        rest = self.macs_of(
            [
                (self.features, min(units_total, self.config.num_frames)),
                (self.rank, candidates),
                (self.preview, 1),
            ]
        )
        known = [cost for cost in costs if cost is not None]
        return None if rest is None or not known else rest + max(known)
