"""FrameExit: read frames coarse to fine, answer as soon as an exit is certain.

Ghodrati, Bejnordi & Habibian, "FrameExit: Conditional Early Exiting for Efficient Video
Recognition" (CVPR 2021, arXiv 2104.13400). Frames are decoded when they are asked for, so a video
that is clear after two frames has two frames decoded.

B videos, S steps (frames read, in reading order), C, H, W, D feature width, P pooled width,
K classes.
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

from ...backbones.efficientnet_lite import load_imagenet_weights
from ...backbones.image import ImageBackbone, describe
from ...backbones.pixels import ProcessorPixels
from ...backbones.processors import describe_processor
from ...checks import check_finite, num_classes
from ...handle import Handle
from ...policies.halt import LearnedGate
from ...stage import Stage
from ..depth.standardised_exit import StandardisedExit
from ..exit_reader import ExitsOutput
from ..halting import certainty_reached, confidences
from .configuration_frame_exit import FrameExitConfig
from .frame_knobs import FrameKnobs
from .frame_votes import answer_of, votes
from .motion_evidence import profile_size, profile_weights
from .pooling import POOLINGS, pooled_size
from .reading import Groups


@dataclass
class FrameExitOutput(ExitsOutput):
    """What `FrameExit.forward` returns; the loss has the gates' part if there are any."""

    gate_logits: Tensor | None = None
    """`[B, S - 1]`, positive where the gate would halt; None without a gate."""


class FrameExit(FrameKnobs, PreTrainedModel):
    """Any image backbone, read over frames with an exit after each.

    "FrameExit", Ghodrati et al., CVPR 2021, arXiv 2104.13400.

    `FrameExit.from_classifier(image_classifier)` needs no training: it averages the classifier's
    probabilities over the frames read so far.

    Args:
        config: see `FrameExitConfig`.
        classifier: what the backbone is taken from, used as it is; default: a new one.
        processor: what came with the classifier's checkpoint, see `ProcessorPixels`.
    """

    config_class = FrameExitConfig
    base_model_prefix = "frame_exit"
    feature_fields = (*FrameKnobs.feature_fields, "feature_power")

    def __init__(
        self, config: FrameExitConfig, classifier: nn.Module | None = None, processor: Any = None
    ) -> None:
        super().__init__(config)
        with_classes = config.head == "classifier"
        described = config.backbone or {}
        self.backbone = ImageBackbone(described, with_classes=with_classes, model=classifier)
        processor = processor or config.processor
        self.pixels = ProcessorPixels(processor, self.backbone.model) if processor else None
        self.pool = POOLINGS[config.pooling]
        if not with_classes:
            size = pooled_size(config.pooling, self.backbone.num_features)
            size += profile_size(config.motion_bins)
            self.exits = nn.ModuleList(
                StandardisedExit(size, num_classes(config), config.dropout)
                for _ in range(config.num_frames)
            )
            gates = config.num_frames - 1 if config.gate else 0  # the last exit needs none
            self.gates = nn.ModuleList(LearnedGate(size) for _ in range(gates))
        if self.pixels is not None:
            self.prepare = Stage(self.pixels, name="pixels")
        self.features = Stage(self._features, name="backbone")
        self.post_init()

    @classmethod
    def from_classifier(
        cls, classifier: nn.Module, processor: Any = None, **config: Any
    ) -> FrameExit:
        """Read an existing image classifier over frames, without training.

        Args:
            classifier: an image classifier of transformers, or an `EfficientNetLite0`; used as it
                is, not copied.
            processor: the classifier's image processor, which then sees whole frames.
            **config: fields of `FrameExitConfig`, e.g. `criterion="stability"`.
        """
        own = getattr(classifier, "config", None)
        if own is not None:
            named = ("id2label", "label2id") if own.id2label else ("num_labels",)
            config = {name: getattr(own, name) for name in (*named, "problem_type")} | config
        fields = {"pooling": "mean", "head": "classifier", **config}
        if processor is not None:
            fields["processor"] = describe_processor(processor)
        for module in classifier.modules():
            module._is_hf_initialized = True  # type: ignore[assignment]  # keep its weights
        return cls(FrameExitConfig(backbone=describe(classifier), **fields), classifier, processor)

    @classmethod
    def from_installed_weights(cls, config: Any) -> Any:
        """As of `Reader`: a classifier of frames around the packaged EfficientNet-Lite0."""
        if config.head != "classifier" or config.backbone != {"model_type": "efficientnet_lite0"}:
            return None
        reader = cls(config)
        load_imagenet_weights(reader.backbone.model)
        return reader

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Linear) and any(module is e.linear for e in self._exits()):
            init.zeros_(module.weight)  # the fit is convex: start without an opinion
            init.zeros_(module.bias)
        if isinstance(module, StandardisedExit):
            init.zeros_(module.mean)
            init.ones_(module.scale)

    def forward(
        self,
        pixel_values: Tensor | None = None,
        times: Tensor | None = None,
        features: Tensor | None = None,
        states: Tensor | None = None,
        labels: Tensor | None = None,
        class_weights: Tensor | None = None,
        motion_profile: Tensor | None = None,
    ) -> FrameExitOutput:
        """Run all steps and all exits (training, and the dense reference for `read`).

        Args:
            pixel_values: `[B, S, 3, H, W]` in reading order, 0 to 255, any dtype; or
            features: `[B, S, D]` that the backbone computed before (a frozen backbone needs to
                see each frame only once); or
            states: `[B, S, P]` that `pooled_states` made of features before.
            times: `[B, S]`, each frame's index as a share of its video's length, in [0, 1]; states
                need none.
            labels: int64 `[B]`; or float `[B, K]`, see `answer_losses`.
            class_weights: `[K]`, for unbalanced classes.
            motion_profile: `[B, 2 M + 2]` of each video, with `motion_bins` (M); states have it.

        Raises:
            ValueError: not exactly one of pixel_values, features and states is given, or times
                or profiles are not.
        """
        if sum(given is not None for given in (pixel_values, features, states)) != 1:
            raise ValueError("give one of pixel_values, features and states")
        if pixel_values is not None:
            flat = pixel_values.flatten(0, 1)
            flat = self._features(*(self.pixels(flat) if self.pixels else (flat,)))
            features = flat.unflatten(0, pixel_values.shape[:2])
        if features is not None:
            if times is None:
                raise ValueError("times ([B, S], shares of the video's length) are needed")
            states = self.pooled_states(features, times, motion_profile)
        assert states is not None
        return self._answer_all(states, labels, class_weights)

    def _answer_all(
        self, states_BSP: Tensor, labels: Tensor | None, class_weights: Tensor | None
    ) -> FrameExitOutput:
        """All exits' answers to the pooled states, and their loss."""
        states = states_BSP.unbind(1)
        logits = [self._answer(step, state_BP) for step, state_BP in enumerate(states)]
        logits_BSK = torch.stack(logits, 1)
        gates_BS = self._gates(states)
        loss = None
        if labels is not None:
            loss_SB = torch.stack(
                [
                    self.answer_losses(step_BK, labels, class_weights)
                    for step_BK in logits_BSK.unbind(1)
                ]
            )
            loss = loss_SB.mean()
            if self.config.exit_decay:
                squares = [branch.linear.weight.square().sum() for branch in self._exits()]
                loss = loss + self.config.exit_decay * torch.stack(squares).mean()
            if gates_BS is not None:
                loss = loss + self._gate_loss(gates_BS, loss_SB.detach().T)
        return FrameExitOutput(
            loss=loss, logits=logits_BSK[:, -1], exit_logits=logits_BSK, gate_logits=gates_BS
        )

    @classmethod
    def exits_fit_convexly(cls, config: Any) -> bool:
        """Linear exits on standardised states do; learned gates do not."""
        return config.head == "exits" and not config.gate and not config.dropout

    def _exits_taken(self, output: ExitsOutput) -> Tensor:
        gates = getattr(output, "gate_logits", None)
        if gates is None:
            return super()._exits_taken(output)
        halts_BS = F.pad(gates > 0, (0, 1), value=True)  # the last exit always answers
        halts_BS[:, : self.config.min_frames - 1] = False
        return halts_BS.int().argmax(1)

    def prepare_training(
        self, features_NSD: Tensor, times_NS: Tensor, profiles_NM: Tensor | None = None
    ) -> None:
        """Standardise what each exit sees."""
        self.set_statistics(self.pooled_states(features_NSD, times_NS, profiles_NM))

    def set_statistics(self, states_NSP: Tensor) -> None:
        """Standardise what each exit sees by these pooled states `[N, S, P]`."""
        bins = self.config.motion_bins
        pooled = states_NSP.shape[-1] - profile_size(bins)
        for branch, state_NP in zip(self._exits(), states_NSP.unbind(1), strict=False):
            scale_P = state_NP.std(0, unbiased=False)
            if not self.config.standardise_each:  # but each kind of what was pooled by its own
                scale_D = scale_P[:pooled].unflatten(0, (-1, self.backbone.num_features))
                mean_D = scale_D.square().mean(1, keepdim=True).sqrt().expand_as(scale_D)
                scale_P = torch.cat([mean_D.flatten(), scale_P[pooled:]])
            branch.mean.copy_(state_NP.mean(0))
            branch.scale.copy_(scale_P.clamp(min=1e-5))
            if bins:
                # A few numbers beside a thousand: one decay is to hold them no tighter.
                weight = self.config.motion_weight * self.backbone.num_features**0.5
                weights = weight * profile_weights(bins).to(branch.scale)
                branch.scale[-profile_size(bins) :] /= weights

    def _exits(self) -> list[StandardisedExit]:
        """The exits, with their type."""
        exits = getattr(self, "exits", [])  # a classifier's own head needs none
        return [branch for branch in exits if isinstance(branch, StandardisedExit)]

    def pooled_states(
        self, features_BSD: Tensor, times_BS: Tensor, profiles_BM: Tensor | None = None
    ) -> Tensor:
        """The pooled state after each step, `[B, S, P]`, of features `[B, S, D]`."""
        steps = range(1, features_BSD.shape[1] + 1)
        states = [
            self._state(features_BSD[:, :step], times_BS[:, :step], profiles_BM) for step in steps
        ]
        return torch.stack(states, 1)

    def _state(self, features_BSD: Tensor, times_BS: Tensor, profiles_BM: Tensor | None) -> Tensor:
        """What an exit sees `[B, P]`: the frames so far and, with `motion_bins`, the profile."""
        pooled_BP = self.pool(features_BSD, times_BS)
        if not self.config.motion_bins:
            return pooled_BP
        size = profile_size(self.config.motion_bins)
        if profiles_BM is None or profiles_BM.shape[-1] != size:
            given = None if profiles_BM is None else tuple(profiles_BM.shape)
            raise ValueError(
                f"motion_profile ({given}) must be [B, {size}] with motion_bins "
                f"({self.config.motion_bins}): profile_from makes it"
            )
        return torch.cat([pooled_BP, profiles_BM.to(pooled_BP)], -1)

    def _features(self, *inputs: Tensor) -> Tensor:
        """0-255 frames, or what the processor made of them, to features or a classifier's votes."""
        if self.pixels is not None:
            backbone = self.backbone
            logits_BK = backbone.for_inference.run(self.pixels.call, backbone.model, inputs)
            return votes(self.config, logits_BK)
        features_BD = super()._features(*inputs)
        if self.config.head == "classifier":
            return votes(self.config, self.backbone.classify(features_BD))
        power = self.config.feature_power
        return features_BD if power == 1 else features_BD.sign() * features_BD.abs() ** power

    def _answer(self, step: int, state_BP: Tensor) -> Tensor:
        if self.config.head == "classifier":
            return answer_of(self.config, state_BP, is_only=step == 0)
        return self.exits[step](state_BP)

    def _gates(self, states: Sequence[Tensor]) -> Tensor | None:
        if not self.config.gate:
            return None
        return torch.stack(
            [
                gate(state_BP, states[max(step - 1, 0)])
                for step, (gate, state_BP) in enumerate(zip(self.gates, states, strict=False))
            ],
            1,
        )

    def _gate_loss(self, gates_BS: Tensor, loss_BS: Tensor) -> Tensor:
        """Teach the gates to halt where the exit's loss is small enough (FrameExit, equation 7).

        The bar rises with the step, `beta * exp(step / 2)`: the later, the less is accepted as a
        reason to go on.
        """
        bar_S = self.config.gate_beta * torch.exp(
            torch.arange(gates_BS.shape[1], device=gates_BS.device) / 2
        )
        target_BS = (loss_BS[:, : gates_BS.shape[1]] <= bar_S).to(gates_BS.dtype)
        return F.binary_cross_entropy_with_logits(gates_BS, target_BS)

    # Inference -----------------------------------------------------------------------------------

    async def read(self, video: Handle) -> Tensor:
        """Read frames of one video until an exit is certain. Returns its logits `[K]`."""
        num_frames = await video.open()
        size = self.frame_size if self.pixels is None else None  # None: whole
        order = await self.order_of(video)
        profile_1M = await self.profile_of(video)
        features: list[Tensor] = []
        times: list[float] = []
        past: list[Tensor] = []
        states: list[Tensor] = []
        # What is read in any case is read together.
        first = min(self.config.min_frames, len(order))
        groups = [order[:first], *([frame] for frame in order[first:])]
        async for group in Groups(video, groups, size=size):
            inputs = (group.pixels,) if self.pixels is None else await self.prepare(group.pixels)
            features_GD = await self.features(*inputs)
            for frame, feature_1D in zip(group.frames, features_GD.split(1), strict=True):
                features.append(feature_1D)
                times.append(frame / num_frames)
                times_1S = feature_1D.new_tensor([times])
                states.append(self._state(torch.stack(features, 1), times_1S, profile_1M))
                past.append(check_finite(self._answer(len(past), states[-1])).float())
            if group.is_last or len(past) < self.config.min_frames:
                continue
            if self._halts(past, states):
                video.note(halted_at=group.frames[-1])
                break
        video.confidences += confidences(self.config, past)
        video.note(exit=len(past) - 1, num_exits=len(order))
        return past[-1][0]

    def _halts(self, past: list[Tensor], states: list[Tensor]) -> bool:
        if self.config.gate:
            gate_B = self.gates[len(states) - 1](states[-1], states[max(len(states) - 2, 0)])
            return bool(gate_B > 0)
        return bool(certainty_reached(self.config, torch.stack(past)))
