"""EventReader: find what happens in a video of any length, and when, and read little of it.

Coarse to fine over places (`places.py`): packets of all of them, which decodes nothing; a glance at
the first and last frame of those that packets leave open; the same frames in full of those that the
glance leaves open. A place is scored by the mean and the difference of its two frames, by what its
packets say, and by how long it is. A head of its own, for borders, scores spans of any length: it
learned to say how much of the span between two frames lies in an event. So a border is found by
bisection: an event that begins between `a` and `c` begins before `b` if the shares of [a, b] and
[b, c] add up to more than one.

P places, n rows, C, H, W, D feature width, K labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput

from ...backbones.image import ImageBackbone
from ...checks import check_finite
from ...handle import Handle
from ...stage import Stage
from ..depth.standardised_exit import StandardisedExit
from ..on_backbone import OnBackbone
from ..saved_reader import SavedReader
from ..video.motion_evidence import profile_size
from .cascade import LEVELS
from .configuration_event_reader import EventReaderConfig as EventReaderConfig
from .event_knobs import EventKnobs
from .event_search import Search

_ALIKE = 4.0
"""Deviations of what packets said of videos in training, within which another is like these."""


@dataclass
class EventReaderOutput(ModelOutput):
    """What `EventReader.forward` returns."""

    loss: Tensor | None = None
    """Binary cross-entropy, the mean over levels and labels, a scalar; None without labels."""
    logits: Tensor | None = None
    """Of the level that decides, `[n, K]`."""
    level_logits: dict[str, Tensor] | None = None
    """Of each level that was given what it sees, `[n, K]`."""


class EventReader(EventKnobs, OnBackbone, SavedReader, PreTrainedModel):
    """Any image backbone, read where evidence is unsure; answers with events.

    `temporal.pipelines.training.events.train_events` trains one from a table of events.

    Args:
        config: see `EventReaderConfig`.
    """

    config_class = EventReaderConfig
    base_model_prefix = "event_reader"
    main_input_name = "features"
    unit = "frame"

    def __init__(self, config: EventReaderConfig) -> None:
        super().__init__(config)
        self.backbone = ImageBackbone(config.backbone or {}, with_classes=False)
        profile = profile_size(config.profile_bins)
        pair = 2 * self.backbone.num_features + 1 + profile
        self.heads = nn.ModuleDict(
            {
                name: StandardisedExit(
                    profile if name == "packets" else pair, len(self.labels), 0.0
                )
                for name in (*self.levels, "border")
            }
        )
        self.features = Stage(self._features, name="backbone")
        self.small_features = Stage(self._features, name="backbone_small")
        self.post_init()

    @property
    def levels(self) -> tuple[str, ...]:
        """Those of `LEVELS` that this reader has, the cheapest first."""
        config: Any = self.config
        has = {"packets": config.profile_bins > 0, "small": config.small_size is not None}
        return tuple(name for name in LEVELS if has.get(name, True))

    @property
    def labels(self) -> list[str]:
        """Names of the labels."""
        config: Any = self.config
        return [str(config.id2label[k]) for k in range(config.num_labels)]

    def size_at(self, level: str) -> tuple[int, int]:
        """(height, width) of the frames that a level sees; of features, (1, D)."""
        config: Any = self.config
        if self.backbone.takes_features:
            return (1, self.backbone.num_features)
        side = config.image_size if level == "full" else config.small_size
        return (side, side)

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, StandardisedExit):
            init.zeros_(module.mean)
            init.ones_(module.scale)
        heads: Any = getattr(self, "heads", {})
        if isinstance(module, nn.Linear) and any(module is heads[name].linear for name in heads):
            init.zeros_(module.weight)  # the fit is convex: start without an opinion
            init.zeros_(module.bias)

    def _features(self, frames_nCHW: Tensor) -> Tensor:
        """0-255 frames to features `[n, D]`, as the heads see them."""
        features_nD = super()._features(frames_nCHW)
        power = self.config.feature_power
        return features_nD if power == 1 else features_nD.sign() * features_nD.abs() ** power

    # Scores --------------------------------------------------------------------------------------

    def pair_states(
        self, first_nD: Tensor, last_nD: Tensor, seconds_n: Tensor, profiles_nM: Tensor
    ) -> Tensor:
        """What the heads of frames see of places: `[n, 2 D + 1 + M]`.

        Args:
            first_nD, last_nD: features of the first and the last frame.
            seconds_n: between the two.
            profiles_nM: what packets say of the frames from one to the other.
        """
        mean_nD, change_nD = (first_nD + last_nD) / 2, last_nD - first_nD
        lag_n1 = torch.log1p(seconds_n.to(mean_nD))[:, None]
        return torch.cat([mean_nD, change_nD, lag_n1, profiles_nM.to(mean_nD)], -1)

    def score(self, level: str, states_nX: Tensor) -> Tensor:
        """Scores of places by one level, or of spans by `"border"`, 0 to 1: `[n, K]`.

        Raises:
            NonFiniteError: they are none.
        """
        return check_finite(self.heads[level](states_nX)).float().sigmoid()

    def knows_packets(self, levels: Sequence[float]) -> bool:
        """Whether a video's packets are like those that the head of packets learned from.

        Those of another encoder or camera say something else by the same sizes, so they decide
        nothing: all places are looked at.

        Args:
            levels: `levels_of` the video: its bytes beside those of keyframes, and of pixels.
        """
        head: Any = self.heads["packets"]
        told = torch.tensor(levels, dtype=torch.float32)
        usual, deviation = (one[-len(told) :].float().cpu() for one in (head.mean, head.scale))
        return bool(((told - usual).abs() <= _ALIKE * deviation).all())

    def forward(
        self,
        profiles: Tensor | None = None,
        small_features: Tensor | None = None,
        features: Tensor | None = None,
        seconds: Tensor | None = None,
        labels: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> EventReaderOutput:
        """Score places, by all levels that are given what they see.

        The head of borders sees features of full size, too.

        Args:
            profiles: `[n, M]`, what packets say of the places; needed.
            small_features: `[n, 2, D]` of small frames, the first and the last of each place.
            features: `[n, 2, D]` of frames of full size.
            seconds: `[n]` between the two frames.
            labels: float `[n, K]`, how much of each place lies in an event, 0 to 1.
            weights: `[n, K]`, what each place counts for.

        Raises:
            ValueError: there are no profiles, or features without seconds.
        """
        if profiles is None:
            raise ValueError("profiles ([n, M], of Profiles.of) are needed; with M = 0, [n, 0]")
        given = {"small": small_features, "border": features, "full": features}
        logits: dict[str, Tensor] = {}
        if "packets" in self.levels:
            logits["packets"] = self.heads["packets"](profiles)
        for name, pair_n2D in given.items():
            if pair_n2D is None or name not in self.heads:
                continue
            if seconds is None:
                raise ValueError("seconds ([n], between the frames) are needed with features")
            states = self.pair_states(pair_n2D[:, 0], pair_n2D[:, 1], seconds, profiles)
            logits[name] = self.heads[name](states)
        loss = None
        if labels is not None:
            losses = [
                F.binary_cross_entropy_with_logits(one_nK.float(), labels.float(), weight=weights)
                for one_nK in logits.values()
            ]
            loss = torch.stack(losses).mean()
        last = next(reversed(logits.values()), None)
        return EventReaderOutput(loss=loss, logits=last, level_logits=logits)

    # Inference -----------------------------------------------------------------------------------

    async def read(self, video: Handle) -> Any:
        """Read a video until every place is decided. Returns an `EventsFound`."""
        search = await Search.begin(self, video)
        await search.score_places()
        return await search.found()

    async def scan(self, video: Handle) -> Any:
        """Score every place by every level, whatever the thresholds. Returns `Scores`.

        From these, `Scores.events` tells what any thresholds would have done.
        """
        search = await Search.begin(self, video)
        await search.score_places(skips=False)
        return search.scores

    def dense_macs(self, units_total: int) -> int | None:
        """Not told: how many places a video has depends on more than its length."""
        return None
