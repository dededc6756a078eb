"""Describe the families of `AutoModelForVideoClassification` whose tokens can be packed.

Composed, the parts below compute exactly what a family's own `forward` does, on the tokens that are
there: `temporal.models.clips.reduced_clips` composes them. The library's own modules compute; the
attention between them is a `Look`.

B clips, N tokens of all of them, R rows of a view, T patches of a whole clip, D model width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .clip_tokens import ClipTokens, Look
from .patches import Patch

Model = Any  # a transformers *ForVideoClassification; its attributes differ by family


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """An attention with what is around it."""

    view: str
    """Which rows see each other, see `ClipTokens.view`."""
    residual: Callable[[Any, Tensor, Look], Tensor]
    """`(layer, rows_RD, look) -> residual_RD`, what is added to the rows."""
    merges: bool = True
    """Whether tokens may be merged within its groups, where it is the last one of its layer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoFamily:
    """How one family of video classifiers computes."""

    patch: Callable[[Any], Patch]
    """`(config) -> (frames, rows, columns)` of a patch."""
    projection: Callable[[Model], Any]
    """The convolution that makes tokens of patches."""
    positions: Callable[[Model], Tensor] | None
    """`(model) -> [T, D]`, what is added to the tokens of a whole clip, in (time, place) order.
    None: nothing; the attentions know the positions, and a clip may have any number of frames."""
    first: Callable[[Model], Tensor] | None = None
    """`(model) -> [D]`: the first token of each clip, its position added; None: there is none."""
    layers: Callable[[Model], Sequence[Any]]
    """The model's layers, in order."""
    num_layers: Callable[[Any], int] = lambda config: int(config.num_hidden_layers)
    """How many there are, by the configuration."""
    steps: Callable[[Any, int], tuple[Step, ...]]
    """`(config, k) -> ` the attentions of layer k. Tokens are merged within the groups of the last;
    if layers differ, the groups of the first layer are those of all that merge."""
    before: Callable[[Model, int, Tensor, ClipTokens], Tensor] | None = None
    """`(model, k, hidden_ND, tokens) -> hidden_ND`: what happens before layer k, token by token;
    None: nothing."""
    feed: Callable[[Any, Tensor], Tensor]
    """`(layer, hidden_ND) -> hidden_ND`: the rest of a layer, token by token."""
    answers_by_patch: Callable[[Any], bool] = lambda config: False
    """Whether the answer looks at a clip's first patch alone, which then is never merged away."""
    answer: Callable[[Model, Tensor, ClipTokens], Tensor]
    """`(model, hidden_ND, tokens) -> logits_BK`."""


def _side(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


# VideoMAE ----------------------------------------------------------------------------------------


def _attend_videomae(layer: Any, rows_RD: Tensor, look: Look) -> Tensor:
    own, normed_RD = layer.attention.attention, layer.layernorm_before(rows_RD)
    found_RD = look(own, own.query(normed_RD), own.key(normed_RD), own.value(normed_RD))
    return layer.attention.output(found_RD, found_RD)


def _answer_videomae(model: Model, hidden_ND: Tensor, tokens: ClipTokens) -> Tensor:
    if model.fc_norm is None:
        return model.classifier(model.videomae.layernorm(hidden_ND[tokens.starts_B]))
    return model.classifier(model.fc_norm(tokens.mean(hidden_ND)))


_VIDEOMAE = VideoFamily(
    patch=lambda config: (int(config.tubelet_size), *_side(config.patch_size)),
    projection=lambda model: model.videomae.embeddings.patch_embeddings.projection,
    positions=lambda model: model.videomae.embeddings.position_embeddings[0],
    layers=lambda model: model.videomae.encoder.layer,
    steps=lambda config, k: (Step(view="clip", residual=_attend_videomae),),
    feed=lambda layer, hidden_ND: layer.output(
        layer.intermediate(layer.layernorm_after(hidden_ND)), hidden_ND
    ),
    answers_by_patch=lambda config: not config.use_mean_pooling,
    answer=_answer_videomae,
)

# ViViT -------------------------------------------------------------------------------------------


def _attend_vivit(layer: Any, rows_RD: Tensor, look: Look) -> Tensor:
    own, normed_RD = layer.attention, layer.layernorm_before(rows_RD)
    found_RD = look(own, own.q_proj(normed_RD), own.k_proj(normed_RD), own.v_proj(normed_RD))
    return layer.dropout(own.o_proj(found_RD))


_VIVIT = VideoFamily(
    patch=lambda config: tuple(config.tubelet_size),
    projection=lambda model: model.vivit.embeddings.patch_embeddings.projection,
    positions=lambda model: model.vivit.embeddings.position_embeddings[0, 1:],
    first=lambda model: (
        model.vivit.embeddings.cls_token[0, 0] + model.vivit.embeddings.position_embeddings[0, 0]
    ),
    layers=lambda model: model.vivit.layers,
    steps=lambda config, k: (Step(view="clip", residual=_attend_vivit),),
    feed=lambda layer, hidden_ND: (
        hidden_ND + layer.dropout(layer.mlp(layer.layernorm_after(hidden_ND)))
    ),
    answer=lambda model, hidden_ND, tokens: model.classifier(
        model.vivit.layernorm(hidden_ND[tokens.starts_B])
    ),
)

# TimeSformer -------------------------------------------------------------------------------------


def _attend_timesformer(attention: Any, normed_RD: Tensor, look: Look) -> Tensor:
    query_RD, key_RD, value_RD = attention.attention.qkv(normed_RD).chunk(3, -1)
    return attention.output(look(attention.attention, query_RD, key_RD, value_RD))


def _over_time(layer: Any, rows_RD: Tensor, look: Look) -> Tensor:
    normed_RD = layer.temporal_layernorm(rows_RD)
    found_RD = _attend_timesformer(layer.temporal_attention, normed_RD, look)
    return layer.temporal_dense(layer.drop_path(found_RD))


def _over_space(layer: Any, rows_RD: Tensor, look: Look) -> Tensor:
    normed_RD = layer.layernorm_before(rows_RD)
    return layer.drop_path(_attend_timesformer(layer.attention, normed_RD, look))


def _steps_timesformer(config: Any, k: int) -> tuple[Step, ...]:
    if config.attention_type == "joint_space_time":
        return (Step(view="clip", residual=_over_space),)
    if config.attention_type == "divided_space_time":
        return Step(view="place", residual=_over_time), Step(view="frame", residual=_over_space)
    raise ValueError(
        f"attention_type ({config.attention_type!r}) must be 'divided_space_time' or "
        "'joint_space_time': frames that do not see each other are no clip"
    )


def _positions_timesformer(model: Model) -> Tensor:
    own = model.timesformer.embeddings
    return (own.time_embeddings[0, :, None] + own.position_embeddings[0, None, 1:]).flatten(0, 1)


_TIMESFORMER = VideoFamily(
    patch=lambda config: (1, *_side(config.patch_size)),
    projection=lambda model: model.timesformer.embeddings.patch_embeddings.projection,
    positions=_positions_timesformer,
    first=lambda model: (
        model.timesformer.embeddings.cls_token[0, 0]
        + model.timesformer.embeddings.position_embeddings[0, 0]
    ),
    layers=lambda model: model.timesformer.encoder.layer,
    steps=_steps_timesformer,
    feed=lambda layer, hidden_ND: (
        hidden_ND
        + layer.drop_path(layer.output(layer.intermediate(layer.layernorm_after(hidden_ND))))
    ),
    answer=lambda model, hidden_ND, tokens: model.classifier(
        model.timesformer.layernorm(hidden_ND[tokens.starts_B])
    ),
)

# V-JEPA 2 ----------------------------------------------------------------------------------------


def _attend_vjepa2(layer: Any, rows_RD: Tensor, look: Look) -> Tensor:
    own, normed_RD = layer.attention, layer.norm1(rows_RD)
    tokens = look.view.tokens  # the rows are the tokens
    numbers_1R = (tokens.times_N * own.grid_size**2 + tokens.places_N)[None]
    places = own.get_position_ids(normed_RD[None], masks=numbers_1R)

    def rotated(x_RD: Tensor) -> Tensor:
        x_1HRd = x_RD.unflatten(1, (own.num_attention_heads, -1)).transpose(0, 1)[None]
        return own.apply_rotary_embeddings(x_1HRd, places)[0].transpose(0, 1).flatten(1)

    query_RD, key_RD = rotated(own.query(normed_RD)), rotated(own.key(normed_RD))
    return layer.drop_path(own.proj(look(own, query_RD, key_RD, own.value(normed_RD))))


def _answer_vjepa2(model: Model, hidden_ND: Tensor, tokens: ClipTokens) -> Tensor:
    """The pooler's own layers see the tokens of one clip at a time, each as one."""
    clips = model.vjepa2.encoder.layernorm(hidden_ND).split(tokens.lengths)
    return model.classifier(torch.cat([model.pooler(clip[None]) for clip in clips]))


_VJEPA2 = VideoFamily(
    patch=lambda config: (config.tubelet_size, *_side(config.patch_size)),
    projection=lambda model: model.vjepa2.encoder.embeddings.patch_embeddings.proj,
    positions=None,
    layers=lambda model: model.vjepa2.encoder.layer,
    steps=lambda config, k: (Step(view="clip", residual=_attend_vjepa2),),
    feed=lambda layer, hidden_ND: hidden_ND + layer.drop_path(layer.mlp(layer.norm2(hidden_ND))),
    answer=_answer_vjepa2,
)

# VideoPrism --------------------------------------------------------------------------------------


def _attend_videoprism(layer: Any, rows_RD: Tensor, look: Look) -> Tensor:
    own, normed_RD = layer.attention, layer.layernorm_before(rows_RD)
    found_RD = look(own, own.q_proj(normed_RD), own.k_proj(normed_RD), own.v_proj(normed_RD))
    return layer.dropout(own.o_proj(found_RD))


def _steps_videoprism(config: Any, k: int) -> tuple[Step, ...]:
    """Its first layers see a frame at a time, the others a place over time.

    Tokens of one place are of one frame each, and how many there are differs once some are merged.
    """
    if k < config.num_spatial_layers:
        return (Step(view="frame", residual=_attend_videoprism),)
    return (Step(view="place", residual=_attend_videoprism, merges=False),)


def _before_videoprism(model: Model, k: int, hidden_ND: Tensor, tokens: ClipTokens) -> Tensor:
    own = model.vision_model
    if k != model.config.num_spatial_layers:
        return hidden_ND
    times_TD = own.temporal_embeddings.position_embeddings[0]
    return own.temporal_embeddings.dropout(own.layernorm1(hidden_ND) + times_TD[tokens.times_N])


def _positions_videoprism(model: Model) -> Tensor:
    """Those of a frame, for each of the frames that the model was made for."""
    own = model.vision_model.spatial_embeddings.position_embeddings[0]
    return own.repeat(model.config.num_frames, 1)


def _answer_videoprism(model: Model, hidden_ND: Tensor, tokens: ClipTokens) -> Tensor:
    """The head sees the tokens of one clip at a time, each as one."""
    clips = model.vision_model.layernorm2(hidden_ND).split(tokens.lengths)
    seen_BD = torch.cat([model.head(clip[None])[0][:, 0] for clip in clips])
    return model.classifier(model.head_layernorm(seen_BD))


_VIDEOPRISM = VideoFamily(
    patch=lambda config: tuple(config.tubelet_size),
    projection=lambda model: model.vision_model.spatial_embeddings.patch_embeddings.projection,
    positions=_positions_videoprism,
    layers=lambda model: [*model.vision_model.spatial_layers, *model.vision_model.temporal_layers],
    num_layers=lambda config: config.num_spatial_layers + config.num_temporal_layers,
    steps=_steps_videoprism,
    before=_before_videoprism,
    feed=lambda layer, hidden_ND: (
        hidden_ND + layer.dropout(layer.mlp(layer.layernorm_after(hidden_ND)))
    ),
    answer=_answer_videoprism,
)

FAMILIES: dict[str, VideoFamily] = {
    "videomae": _VIDEOMAE,
    "vivit": _VIVIT,
    "timesformer": _TIMESFORMER,
    "vjepa2": _VJEPA2,
    "videoprism_vision_model": _VIDEOPRISM,
}


def family_of(model: Model, needs: str = "token_reduction") -> VideoFamily:
    """The family that a model or its configuration belongs to.

    Args:
        model: a classifier, or its configuration.
        needs: what it is asked for, for the message.

    Raises:
        ValueError: the family is not described here.
    """
    config: Any = getattr(model, "config", model)
    if config.model_type not in FAMILIES:
        raise ValueError(
            f"{needs} needs a classifier whose model_type is one of {sorted(FAMILIES)}, "
            f"not {config.model_type!r}: read this one by ClipReader, without {needs}"
        )
    return FAMILIES[config.model_type]
