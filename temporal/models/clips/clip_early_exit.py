"""ClipEarlyExit: a video transformer that answers for a clip as soon as a layer is certain.

The exits of DeeBERT (Xin et al., ACL 2020) and PABEE (Zhou et al., NeurIPS 2020) between the layers
of a video classifier, which `EarlyExit` has for texts. Layers are stages that all videos in flight
share, on packed tokens; a clip whose exit is certain leaves, and the layers above compute the
others. Halting over clips, and fewer tokens of each, are `ClipReader`'s, and are composed with it.

B clips, N tokens of all of them, E exits, A clips of a video, D model width, K classes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import initialization as init

from ...backbones.video import ClipTokens
from ...checks import check_finite, num_classes
from ...packed import Packed
from ...policies.halt import criterion
from ...source import Source
from ...stage import Stage
from ..depth.regimes import REGIMES, distillation_loss
from ..exit_reader import ExitsOutput, exits_output
from ..halting import threshold_of
from ..policy_space import PolicySpace
from .clip_knobs import clip_space, depth_space, token_knobs
from .clip_reader import ClipReader
from .clip_replay import ask_clips
from .configuration_clip_early_exit import ClipEarlyExitConfig
from .reduced_clips import ClipState, ReducedClips


class ClipExit(nn.Module):
    """An exit's own head: of the mean over the patches that a clip's tokens stand for."""

    def __init__(self, width: int, num_labels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, num_labels)

    def forward(self, state: ClipState) -> Tensor:
        """Logits `[B, K]`."""
        return self.linear(self.norm(state.tokens.mean(state.hidden_ND)))


class ClipEarlyExit(ClipReader):
    """A video classifier (VideoMAE, ViViT, TimeSformer, V-JEPA 2, VideoPrism) with exits in it.

    `ClipEarlyExit.from_classifier(classifier, exit_layers=[4, 8])` wraps one. Its exits have to be
    trained (`scripts/finetune_video.py --model clip_early_exit`); with nothing halted it answers as
    `ClipReader` does.
    """

    config_class = ClipEarlyExitConfig
    base_model_prefix = "clip_early_exit"

    def __init__(self, config: Any, *args: Any, **options: Any) -> None:
        super().__init__(config, *args, **options)
        config = self.config
        self.reduced: ReducedClips = self.reduced or ReducedClips(self.classifier)
        ends = [0, *config.exit_layers]
        self.layers_between = [range(start, end) for start, end in itertools.pairwise(ends)]
        width = self.classifier.config.hidden_size
        # The last exit is the classifier's own head, so it is no copy.
        self.exits = nn.ModuleList(
            ClipExit(width, num_classes(config)) for _ in config.exit_layers[:-1]
        )
        self.embed = Stage(self._embed, name="embed", counts_macs=True)
        self.segments = [
            Stage(partial(self._segment, k), name=f"segment{k}", counts_macs=True)
            for k in range(len(config.exit_layers))
        ]
        self.post_init()
        self.eval()

    def _init_weights(self, module: nn.Module) -> None:
        exits = getattr(self, "exits", ())
        if any(module is branch.norm for branch in exits):
            init.ones_(module.weight)  # type: ignore[arg-type]  # a LayerNorm
            init.zeros_(module.bias)  # type: ignore[arg-type]
        elif any(module is branch.linear for branch in exits):
            init.zeros_(module.weight)  # type: ignore[arg-type]  # without an opinion
            init.zeros_(module.bias)  # type: ignore[arg-type]
        else:
            super()._init_weights(module)

    def forward(
        self,
        pixel_values: Tensor,
        labels: Tensor | None = None,
        class_weights: Tensor | None = None,
    ) -> ExitsOutput:
        """Answer after every clip, as `ClipReader.forward`; in training all exits learn.

        In eval mode a clip is answered by the exit that `read` would stop at, in training by the
        last one.
        """
        if pixel_values.dim() == 5:
            pixel_values = pixel_values.unflatten(1, (-1, self.config.num_frames))
        vote, answers, losses = None, [], []
        for frames_BFCHW in pixel_values.unbind(1):
            inputs = (frames_BFCHW,) if self.pixels is None else self._prepare(frames_BFCHW)
            exits = self._all_exits(*inputs)
            taken_BK = exits[-1] if self.training else self._taken(torch.stack(exits))
            vote, answer_BK = self._vote(vote, taken_BK)
            answers.append(answer_BK)
            if labels is not None:
                losses.append(self._loss(exits, labels, class_weights))
        output = exits_output(answers)
        if losses:
            output.loss = torch.stack(losses).mean()
        return output

    def _all_exits(self, *inputs: Tensor) -> list[Tensor]:
        """What all exits say of clips, logits `[B, K]` each."""
        knobs = token_knobs(self.config)
        keep_share = knobs.get("keep_share", 1.0)
        state, _ = self.reduced.start(self._pixels_of(*inputs), **knobs)
        exits = []
        for k, layers in enumerate(self.layers_between):
            state, _, _ = self.reduced.through(layers, state, keep_share=keep_share)
            exits.append(self._answer(k, state)[0].float())
            if REGIMES[self.config.regime].separates:
                state = state._replace(hidden_ND=state.hidden_ND.detach())
        return exits

    def every_exit(self, clips_AFCHW: Tensor) -> Tensor:
        """What all exits say of clips of frames of 0 to 255: `[A, E, K]`."""
        inputs = (clips_AFCHW,) if self.pixels is None else self._prepare(clips_AFCHW)
        return torch.stack(self._all_exits(*inputs), 1)

    def _loss(self, exits: list[Tensor], labels: Tensor, class_weights: Tensor | None) -> Tensor:
        """The regime's loss over the exits of one clip, a scalar."""
        regime = REGIMES[self.config.regime]
        terms = []
        for weight, logits_BK in zip(regime.weights(len(exits), 0), exits, strict=True):
            if not weight:
                continue  # 0 times a loss has gradients, by which an optimizer decays weights
            if regime.distils:
                terms.append(weight * distillation_loss(logits_BK, exits[-1]))
            else:
                losses_B = self.answer_losses(logits_BK, labels, class_weights)
                terms.append(weight * losses_B.mean())
        return torch.stack(terms).sum() if terms else exits[-1].sum() * 0.0

    def _taken(self, logits_EBK: Tensor) -> Tensor:
        """The logits `[B, K]` of the exit that answers each clip."""
        taken_BK = logits_EBK[-1]
        for k in reversed(range(len(logits_EBK) - 1)):
            sure_B = self._is_certain(logits_EBK[: k + 1])
            taken_BK = torch.where(sure_B[:, None], logits_EBK[k], taken_BK)
        return taken_BK

    def _is_certain(self, logits_EBK: Tensor) -> Tensor:
        """Whether the newest exit of each clip answers, bool `[B]`; it is not the last one."""
        config = self.config
        level = threshold_of(config.depth_thresholds, len(logits_EBK) - 1)
        return criterion(config.criterion, **vars(config))(logits_EBK) >= level

    # What may be turned --------------------------------------------------------------------------

    def set_policy(self, name: str, threshold: float | None) -> None:
        """Halt within clips and over them when an answer reaches the criterion's threshold."""
        super().set_policy(name, threshold)
        count = len(self.config.exit_layers) - 1
        levels = None if threshold is None else [float(threshold)] * count
        self.config.depth_thresholds = levels

    def policy_space(self) -> PolicySpace:
        """Fewer layers of each clip, then what may be turned on a `ClipReader`."""
        return depth_space(self.config, clip_space(self.config))

    def answers(self, sources: Iterable[Source], *, batch_size: int = 32) -> Any:
        """What all exits say of all clips of videos, one after another.

        None with `token_reduction`: what a clip says and costs then depends on the policy.
        """
        return None if self.config.token_reduction else ask_clips(self, sources)

    def dense_macs(self, units_total: int) -> int | None:
        """MACs of reading all clips, each through all layers and exits."""
        per_clip = self.reduced.dense_macs
        if per_clip is None:
            return None
        per_clip += sum(branch.linear.weight.numel() for branch in self._branches())
        return per_clip * min(units_total, self.config.num_exits)

    # Inference -----------------------------------------------------------------------------------

    def _branches(self) -> list[ClipExit]:
        return [branch for branch in self.exits if isinstance(branch, ClipExit)]

    def _answer(self, k: int, state: ClipState) -> tuple[Tensor, Tensor]:
        """What exit k says, logits `[B, K]`, and its MACs, int64 `[B]`."""
        if k == len(self.exits):
            return self.reduced.answer(state)
        branch = self._branches()[k]
        macs = branch.linear.weight.numel()
        return branch(state), torch.full((len(state.tokens.lengths),), macs)

    def _embed(self, *inputs: Tensor) -> tuple[Any, ...]:
        """The state before the first layer, as a stage hands it on, and the MACs of each clip."""
        state, macs_B = self.reduced.start(self._pixels_of(*inputs), **token_knobs(self.config))
        return *_parts_of(state), macs_B

    def _segment(self, k: int, *parts: Any) -> tuple[Any, ...]:
        """Logits `[B, K]`, tokens computed, the state for the next segment, and MACs."""
        keep_share = token_knobs(self.config).get("keep_share", 1.0)
        state, token_layers_B, macs_B = self.reduced.through(
            self.layers_between[k],
            _state_of(parts, has_first=self.reduced.family.first is not None),
            keep_share=keep_share,
        )
        logits_BK, more_B = self._answer(k, state)
        return logits_BK, token_layers_B, *_parts_of(state), macs_B + more_B

    async def _ask(self, frames_FCHW: Tensor) -> tuple[Tensor, int]:
        """The logits `[1, K]` of the exit that answers for a clip, and the tokens computed."""
        inputs: tuple[Tensor, ...] = (frames_FCHW[None],)
        if self.pixels is not None:
            inputs = await self.prepare(*inputs)
        parts = await self.embed(*inputs)
        said: list[Tensor] = []
        token_layers = 0
        for segment in self.segments:
            logits_1K, computed_1, *parts = await segment(*parts)
            token_layers += int(computed_1)
            said.append(check_finite(logits_1K.float()))
            if len(said) < len(self.segments) and bool(self._is_certain(torch.stack(said))):
                break
        return said[-1], token_layers


def _parts_of(state: ClipState) -> tuple[Any, ...]:
    """A state as what a stage can join and split."""
    tokens = state.tokens
    places_N2 = torch.stack([tokens.times_N, tokens.places_N], -1)
    group_B = torch.full((len(tokens.lengths),), state.of_group)
    parts = [Packed(each, tokens.lengths) for each in (state.hidden_ND, places_N2)]
    if tokens.sizes_N is not None:
        parts.append(Packed(tokens.sizes_N, tokens.lengths))
    return group_B, *parts


def _state_of(parts: tuple[Any, ...], *, has_first: bool) -> ClipState:
    group_B, hidden, places, *sizes = parts
    tokens = ClipTokens(
        lengths=tuple(hidden.lengths),
        times_N=places.values[:, 0],
        places_N=places.values[:, 1],
        sizes_N=sizes[0].values if sizes else None,
        has_first=has_first,
    )
    return ClipState(hidden.values, tokens, int(group_B[0]))
