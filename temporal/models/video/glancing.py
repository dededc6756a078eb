"""What readers share that glance at a whole video, read frames of it, and average their answers.

Such a reader has a `GlancingConfig` and calls `make_answers` in its `__init__`. A frame is answered
alone, by the stage `features`; each exit is the mean of the answers so far, so that frames may come
in any order and a halt leaves a whole answer.

B videos, S candidates, E exits, D feature width, K classes, n rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import initialization as init

from ...backbones.glance import glance_net
from ...backbones.image import ImageBackbone
from ...checks import check_count, check_finite, check_in, check_range, num_classes
from ...handle import Handle
from ...policies.read import uniform
from ...policies.select import top_k
from ...stage import Stage
from ..exit_reader import ExitsOutput
from .configuration import FrameConfig
from .frame_reader import FrameReader
from .motion_evidence import motion_features
from .reading import Groups, glance

_LAYERS = (nn.Conv2d, nn.Linear)
EVIDENCE = ("glances", "motion", "both")
"""What a policy may look at: small frames, the sizes of packets (decodes nothing), or both."""


class GlancingConfig(FrameConfig):
    """Backbone, glances and halting of a reader that looks before it reads."""

    glance_pixels: int = 64
    """Height and width of a glance; of one at features, how many of a row's numbers it sees."""
    glance_features: int = 64
    """Width of what the small network says of a glance."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        check_count("glance_pixels", self.glance_pixels, 1)
        check_count("glance_features", self.glance_features, 1)


class ScoringConfig(GlancingConfig):
    """As of `GlancingConfig`, of a reader that gives each candidate a score."""

    num_candidates: int = 16
    """S: frames, evenly over a video, of which at most `num_frames` are read."""
    evidence: str = "glances"
    """What the scores are made of, one of `EVIDENCE`."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        check_range("num_candidates", self.num_candidates, self.num_frames, 10_000)
        check_in("evidence", self.evidence, EVIDENCE)


@dataclass
class ScoredOutput(ExitsOutput):
    """What `forward` returns of a reader that reads the best of its candidates."""

    picked: Tensor | None = None
    """The candidates that are read, best first, int64 `[B, E]`."""


class Scorer(nn.Module):
    """Scores of candidates by what a policy may look at.

    Args:
        config: with `evidence` and `glance_features`.
        num_scores: of each candidate.
        context: each candidate is seen beside the mean of all.
    """

    def __init__(self, config: Any, *, num_scores: int = 1, context: bool = False) -> None:
        super().__init__()
        self.sees = [name for name in EVIDENCE[:2] if config.evidence in (name, "both")]
        self.context = context
        size = 2 * ("motion" in self.sees)
        if "glances" in self.sees:
            self.net = glance_net(config, config.glance_features)
            size += config.glance_features
        self.hidden = nn.Linear(size * (1 + context), config.glance_features)
        self.score = nn.Linear(config.glance_features, num_scores)

    def look(self, glances_nChw: Tensor) -> Tensor:
        """What is seen in glances, `[n, X]`."""
        return self.net(glances_nChw).relu()

    def join(self, looks_BSX: Tensor | None, motion_BS: Tensor | None) -> Tensor:
        """All that is known of each candidate, `[B, S, X]`; see `sees`."""
        seen = [] if looks_BSX is None else [looks_BSX]
        if motion_BS is not None:
            seen.append(motion_features(motion_BS.to(self.score.weight)))
        seen_BSX = torch.cat(seen, -1)
        if self.context:
            mean_BSX = seen_BSX.mean(1, keepdim=True).expand_as(seen_BSX)
            seen_BSX = torch.cat([seen_BSX, mean_BSX], -1)
        return seen_BSX

    def forward(self, known_nX: Tensor) -> Tensor:
        """Scores of candidates, `[n, scores]`."""
        return self.score(self.hidden(known_nX).relu())


class GlancingReader(FrameReader):
    """Mixed into a reader that glances first; see the head of this file."""

    def make_answers(self) -> None:
        """Make backbone and classifier, and the stage `features`, which gives answers."""
        model: Any = self
        model.backbone = ImageBackbone(model.config.backbone or {}, with_classes=False)
        width = model.backbone.num_features
        model.norm = nn.LayerNorm(width)  # backbones differ in the size of what they say
        model.classifier = nn.Linear(width, num_classes(model.config))
        model.features = Stage(self._answers, name="answers")

    @property
    def glance_size(self) -> tuple[int, int]:  # type: ignore[override]  # it glances
        """(height, width) of a glance."""
        return self.glance_box(self.config.glance_pixels)  # type: ignore[attr-defined]

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.LayerNorm) and module is getattr(self, "norm", None):
            init.ones_(module.weight)
            init.zeros_(module.bias)

    def classify(self, features: Tensor) -> Tensor:
        """The answers of single frames, `[..., K]`, by their features `[..., D]`."""
        model: Any = self
        return model.classifier(model.norm(features))

    def _answers(self, frames_nCHW: Tensor) -> Tensor:
        return self.classify(self._features(frames_nCHW))

    def frame_losses(
        self, logits_BSK: Tensor, labels: Tensor, class_weights: Tensor | None = None
    ) -> Tensor:
        """How wrong the answer to each frame alone is, `[B, S]`; see `answer_losses`."""
        repeated = labels.repeat_interleave(logits_BSK.shape[1], 0)
        losses_n = self.answer_losses(logits_BSK.flatten(0, 1), repeated, class_weights)
        return losses_n.view(logits_BSK.shape[:2])

    async def answer(
        self,
        video: Handle,
        order: Sequence[int],
        *,
        size: tuple[int, int] | None = None,
        regions: Sequence[tuple[int, int, int, int]] | None = None,
        beside_1K: Tensor | None = None,
    ) -> Tensor:
        """Read frames in an order until an exit is certain. Returns its logits `[K]`.

        Args:
            video: which is read.
            order: frame indices.
            size: of the pixels; default: `frame_size`.
            regions: the part of each frame that is read; None: the whole.
            beside_1K: what each exit adds to the mean of the answers.
        """
        model: Any = self
        video.note(num_exits=len(order))
        groups = [[frame] for frame in order]
        total_1K: Any = 0
        async for group in Groups(video, groups, size=size or self.frame_size, regions=regions):
            total_1K = total_1K + await model.features(group.pixels)
            mean_1K = total_1K / (len(video.said) + 1)
            mean_1K = mean_1K if beside_1K is None else mean_1K + beside_1K
            if self.halts(video, mean_1K, at=group.frames[-1], is_last=group.is_last):
                break
        return video.said[-1][0]


class ScoringReader(GlancingReader):
    """Mixed into a reader that scores all candidates at once and reads the best, best first.

    It calls `make_scorer` after `make_answers`, and has `_ranks(scores_nX)`, one number for each
    candidate of what the scorer says.
    """

    def make_scorer(self, **options: Any) -> None:
        """Make the scorer, with options of `Scorer`, and the stages `look` and `rank`."""
        model: Any = self
        model.scorer = Scorer(model.config, **options)
        model.look = Stage(model.scorer.look, name="look")
        model.rank = Stage(lambda known_nX: self._ranks(model.scorer(known_nX)), name="rank")

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        scorer: Any = getattr(self, "scorer", None)
        if scorer is None or module is scorer.score or not isinstance(module, _LAYERS):
            return
        if any(module is part for part in scorer.modules()):
            # As small as transformers starts them, layer upon layer says next to nothing.
            init.kaiming_uniform_(module.weight, nonlinearity="relu")

    def _ranks(self, scores_nX: Tensor) -> Tensor:
        return scores_nX.squeeze(-1)

    def training_frames(self, num_frames: int, keyframes: Sequence[int]) -> list[int]:
        """The candidates, in the order of time."""
        return uniform(num_frames, self.config.num_candidates)  # type: ignore[attr-defined]

    def seen_scores(self, glances: Tensor | None, motion: Tensor | None) -> Tensor:
        """What the scorer says, `[B, S, scores]`, of what a `forward` is given.

        Raises:
            ValueError: what it sees is not given.
        """
        model: Any = self
        shapes = {"glances": "[B, S, 3, h, w], candidates at glance_size", "motion": "[B, S]"}
        given = {"glances": glances, "motion": motion}
        for name in model.scorer.sees:
            if given[name] is None:
                raise ValueError(
                    f"{name} ({shapes[name]}) are needed: evidence is {model.config.evidence!r}"
                )
        looks_BSX = None
        if "glances" in model.scorer.sees and glances is not None:
            looks_BSX = model.scorer.look(glances.flatten(0, 1)).unflatten(0, glances.shape[:2])
        used = motion if "motion" in model.scorer.sees else None
        return model.scorer(model.scorer.join(looks_BSX, used))

    def best(self, ranks_BS: Tensor) -> Tensor:
        """The candidates that are read, best first, int64 `[B, E]`."""
        order_BS = ranks_BS.argsort(dim=-1, descending=True, stable=True)
        return order_BS[:, : self.config.num_frames]  # type: ignore[attr-defined]

    @property
    def glances_at_all(self) -> bool:
        """As of `FrameTraining`: packets tell without it."""
        return "glances" in self.scorer.sees  # type: ignore[attr-defined]  # the model has it

    async def read(self, video: Handle) -> Tensor:
        """Score candidates of one video, and read the best of them. Returns logits `[K]`."""
        model: Any = self
        count = await video.open()
        frames = self.training_frames(count, video.index.keyframes)
        looks_1SX = motion_1S = None
        if "glances" in model.scorer.sees:
            frames, small_SChw = await glance(video, frames, size=self.glance_size)
            looks_1SX = (await model.look(small_SChw))[None]
        if "motion" in model.scorer.sees:
            motion_1S = torch.as_tensor(await video.motion())[frames][None]
        known_SX = model.scorer.join(looks_1SX, motion_1S)[0]
        ranks_S = check_finite(await model.rank(known_SX)).float().cpu()
        best = top_k(ranks_S, model.config.num_frames)
        best.sort(key=lambda rank: -float(ranks_S[rank]))
        return await self.answer(video, [frames[rank] for rank in best])

    def dense_macs(self, units_total: int) -> int | None:
        """MACs of scoring all candidates and reading `num_frames` of them."""
        model: Any = self
        candidates = min(units_total, model.config.num_candidates)
        rows = [(model.features, min(units_total, model.config.num_frames))]
        rows.append((model.rank, candidates))
        if "glances" in model.scorer.sees:
            rows.append((model.look, candidates))
        return self.macs_of(rows)


def running_means(logits_BEK: Tensor) -> Tensor:
    """The mean of the answers up to each, `[B, E, K]`."""
    counts_E1 = torch.arange(1, logits_BEK.shape[1] + 1, device=logits_BEK.device)[:, None]
    return logits_BEK.cumsum(1) / counts_E1
