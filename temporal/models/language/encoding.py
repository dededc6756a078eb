"""The vision half of a video-language model, unit by unit, so that each frame is encoded once.

A unit is what the encoder takes together: a frame, or a pair of frames (`temporal_patch_size`).
Where encoders do not look from one unit to another, the features of a video are those of its units
end to end, whatever other units there are, and an earlier look's are those of a later one.

U units, P rows of pixels (patches, or one frame), V visual tokens, D their width.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from ...macs import count_macs
from ...packed import Packed

_NEAR = {torch.float32: 1e-3, torch.float64: 1e-3}
"""How far features may differ, as a share of the largest; of types of less precision 0.05."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pixels:
    """What the encoder takes, unit by unit."""

    values: tuple[Tensor, ...]
    """Of each unit, `[P, ...]`."""

    grid: tuple[int, int] | None
    """Rows and columns of patches; None where frames have one size."""

    @property
    def form(self) -> tuple[Any, ...]:
        """Features of one form fit together."""
        return (self.grid, self.values[0].shape)


class Encoder:
    """Encodes units of videos, and hands their features to the language model.

    Args:
        model: a video-language model of transformers, which takes `mm_encoder_outputs`.

    Raises:
        ValueError: it does not.
    """

    def __init__(self, model: Any) -> None:
        inner = model.base_model
        takes = "mm_encoder_outputs" in inspect.signature(model.forward).parameters
        self.of_videos = hasattr(inner, "get_video_features")
        encode = getattr(inner, "get_video_features", getattr(inner, "get_image_features", None))
        if not takes or encode is None or model.config.is_encoder_decoder:
            raise ValueError(
                f"model ({type(model).__name__}) must be a decoder that takes videos or images and "
                "what was encoded of them before (mm_encoder_outputs of transformers >= 5.18)"
            )
        self.model = model
        self.name = "video" if self.of_videos else "image"
        self._encode = encode
        self._parts: int | None = None  # the token's own features, and those for deeper layers
        self._as_list = False
        self._is_checked = False

    @property
    def token_id(self) -> int:
        """The placeholder of a visual token in prompts."""
        config = self.model.config
        for name in (f"{self.name}_token_id", f"{self.name}_token_index"):
            if getattr(config, name, None) is not None:
                return int(getattr(config, name))
        raise ValueError(f"the configuration must have {self.name}_token_id")

    def pixels_of(self, inputs: Mapping[str, Any], num_units: int) -> Pixels:
        """Take a processor's pixels of one video apart.

        Raises:
            ValueError: they are none of this many units.
        """
        values = inputs.get("pixel_values_videos")
        values = inputs["pixel_values"] if values is None else values
        grid = inputs.get("video_grid_thw")
        if grid is not None:
            _, rows, columns = grid[0].tolist()
            parts = values.split(rows * columns)
            sides = (int(rows), int(columns))
        else:
            frames = values[0] if values.dim() == 5 else values
            parts, sides = frames.split(1), None
        if len(parts) != num_units:
            raise ValueError(
                f"the processor made {len(parts)} units of {num_units}: it must take the frames "
                "that it is given"
            )
        return Pixels(values=tuple(parts), grid=sides)

    def encode(self, pixels: Packed, grids_U2: Tensor) -> tuple[Packed, Tensor]:
        """A stage: features of units, `[V, parts * D]`, and the MACs of each."""
        lengths = pixels.lengths
        output, macs = count_macs(self._run, pixels.values, grids_U2)
        features = self._flat(output, len(lengths))
        share = macs / max(sum(lengths), 1)
        return features, torch.tensor([round(share * length) for length in lengths])

    def _run(self, values: Tensor, grids_U2: Tensor) -> Any:
        model = self.model
        values = values.to(model.device, model.dtype)
        if int(grids_U2[0, 0]):
            grid_U3 = torch.cat([torch.ones_like(grids_U2[:, :1]), grids_U2], 1)
            return self._encode(values, grid_U3.to(model.device), return_dict=True)
        if self.of_videos:  # one video of one frame each
            return self._encode(values[:, None], **self._settings(), return_dict=True)
        inner = inspect.signature(self._encode).parameters
        if "pixel_attention_mask" in inner:  # one sample of U images
            mask = torch.ones(1, *values[:, 0].shape, dtype=torch.bool, device=values.device)
            return self._encode(values[None], pixel_attention_mask=mask, return_dict=True)
        return self._encode(values, **self._settings(), return_dict=True)

    def _settings(self) -> dict[str, Any]:
        """What a family's `forward` would tell its encoder."""
        names = inspect.signature(self._encode).parameters
        config = self.model.config
        wanted = ("vision_feature_layer", "vision_feature_select_strategy")
        return {name: getattr(config, name) for name in wanted if name in names}

    def _flat(self, output: Any, num_units: int) -> Packed:
        pooled = output.pooler_output
        self._as_list = not isinstance(pooled, Tensor)
        flat = _rows(pooled)
        deeper = getattr(output, "deepstack_features", None) or ()
        parts = [flat, *(_rows(layer) for layer in deeper)]
        self._parts = len(parts)
        if isinstance(pooled, Tensor):
            lengths = [pooled.shape[1]] * num_units
        elif len(pooled) == num_units:
            lengths = [len(one) for one in pooled]
        else:
            lengths = [len(flat) // num_units] * num_units
        return Packed(torch.cat(parts, -1), tuple(lengths))

    def joined(self, units: Sequence[Tensor], num_tokens: int) -> Tensor:
        """The features of a video, `[V, ...]`, of those of its units.

        Args:
            units: `[v, ...]` of each unit, in the order of time.
            num_tokens: V, placeholders of the prompt.

        Raises:
            ValueError: they do not fit the prompt.
        """
        ends = num_ends(units, num_tokens)
        own = len(units[0]) - ends
        return torch.cat([*(unit[:own] for unit in units), units[-1][own:]])

    def given(self, features_VD: Tensor) -> dict[str, Any]:
        """Features as the model takes them instead of pixels."""
        assert self._parts is not None
        features_VD = features_VD.to(self.model.device, self.model.dtype)
        own, *deeper = features_VD.chunk(self._parts, -1)
        output: Any = BaseModelOutputWithPooling(pooler_output=self._held(own))
        if deeper:
            output.deepstack_features = [self._held(layer) for layer in deeper]
        return {"mm_encoder_outputs": {self.name: output}}

    def _held(self, flat_VD: Tensor) -> Any:
        return [flat_VD] if self._as_list else flat_VD[None]

    def check_units(self, pixels: Pixels) -> None:
        """Raise ValueError where the encoder looks from one unit to another.

        Two units together are compared with each alone, once.
        """
        if self._is_checked or len(pixels.values) < 2:
            return
        pair = pixels.values[:2]
        together = self.encode_video(pair, pixels.grid)
        grids = torch.tensor([pixels.grid or (0, 0)])
        alone = [
            self._flat(self._run(one, grids), 1).values.to(together.device, together.dtype)
            for one in pair
        ]
        difference = (self.joined(alone, len(together)) - together).abs().max()
        near = _NEAR.get(together.dtype, 0.05) * together.abs().max().clamp(min=1.0)
        if not difference <= near:
            raise ValueError(
                f"model ({type(self.model).__name__}) looks from frame to frame before its "
                "language model, so frames cannot be added to those that were encoded before"
            )
        self._is_checked = True

    def encode_video(self, units: Sequence[Tensor], grid: tuple[int, int] | None) -> Tensor:
        """Features `[V, ...]` of units as one video, as the model itself encodes it."""
        model = self.model
        values = torch.cat(list(units)).to(model.device, model.dtype)
        if grid is not None:
            grid_13 = torch.tensor([[len(units), *grid]], device=model.device)
            return self._flat(self._encode(values, grid_13, return_dict=True), 1).values
        if self.of_videos:
            output = self._encode(values[None], **self._settings(), return_dict=True)
            return self._flat(output, 1).values
        return self._flat(self._run(values, torch.zeros(len(units), 2, dtype=torch.long)), 1).values


def _rows(features: Any) -> Tensor:
    """Features of any container end to end, `[V, D]`."""
    parts = [features] if isinstance(features, Tensor) else list(features)
    return torch.cat([part.reshape(-1, part.shape[-1]) for part in parts])


def num_ends(units: Sequence[Tensor], num_tokens: int) -> int:
    """Tokens with which an encoder ends a video (a new line), and so each of its units alone.

    Args:
        units: `[v, ...]` of each unit.
        num_tokens: of all of them as one video.

    Raises:
        ValueError: there is no such number.
    """
    own, count = len(units[0]), len(units)
    ends = (own * count - num_tokens) // (count - 1) if count > 1 else 0
    if ends < 0 or own * count - ends * (count - 1) != num_tokens:
        raise ValueError(
            f"{count} units of {own} visual tokens do not make the {num_tokens} of the prompt"
        )
    return ends


def repeats(units: Sequence[Tensor], threshold: float) -> Tensor:
    """Which visual tokens look as the one of the same place in the unit before: bool `[V]`.

    The rule of EVS by cosines, with a threshold for a share: `cos(e[t, p], e[t-1, p]) > threshold`.
    Of the first unit none does, and of others at least one is kept.

    Args:
        units: `[v, D]` of each, v places in one order.
        threshold: of the cosine.
    """
    found = [torch.zeros(len(units[0]), dtype=torch.bool)]
    for before, now in zip(units, units[1:], strict=False):
        cosines = torch.cosine_similarity(before.float(), now.float(), dim=-1).cpu()
        same = cosines > threshold
        if bool(same.all()):
            same[int(cosines.argmin())] = False
        found.append(same)
    return torch.cat(found)
