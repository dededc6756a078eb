"""AdaFocus: glance at a video, and read of each frame the part that matters.

Wang, Chen, Jiang, Song, Han & Huang, "Adaptive Focus for Efficient Video Recognition" (ICCV 2021,
arXiv 2105.03245); Wang, Yue, Lin, Jiang, Lai, Kulikov, Orlov, Shi & Huang, "AdaFocus V2: End-to-End
Training of Spatial Dynamic Networks for Video Recognition" (CVPR 2022, arXiv 2112.14238).

B videos, S frames, P height and width of a crop, K classes, n rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from ...backbones.features import need_pixels
from ...backbones.glance import GlanceNet
from ...checks import check_count, check_finite, check_range, num_classes
from ...handle import Handle
from ...policies.read import coarse_to_fine
from ...stage import Stage
from ..exit_reader import ExitsOutput
from .glancing import GlancingConfig, GlancingReader, running_means
from .reading import glance

Box = tuple[int, int, int, int]
"""(top, left, height, width)."""


class AdaFocusConfig(GlancingConfig):
    """Backbone, glances, crops and halting of an `AdaFocus`."""

    model_type = "ada_focus"

    crop_share: float = 0.5
    """Height and width of a crop as a share of the frame's."""
    crop_pixels: int = 128
    """Height and width to which a crop is scaled."""
    auxiliary_weight: float = 1.0
    """Of the losses of glances alone and of crops alone, which teach each to tell what it can."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        need_pixels(self.backbone or {}, "AdaFocus")
        check_range("crop_share", self.crop_share, 0.01, 1.0)
        check_count("crop_pixels", self.crop_pixels, 1)
        check_range("auxiliary_weight", self.auxiliary_weight, 0.0, float("inf"))


class AdaFocus(GlancingReader, PreTrainedModel):
    """Glances at frames, and reads a crop of each where its policy looks.

    "Adaptive Focus for Efficient Video Recognition", Wang et al., ICCV 2021, arXiv 2105.03245, with
    the end-to-end training of "AdaFocus V2", CVPR 2022, arXiv 2112.14238.

    A small network sees all frames at low resolution. It answers, and says where to look: the mean
    position under a softmax over its last map (the papers have a fully connected layer there). The
    backbone sees that part of the frame alone, which is all that is cut out, scaled and computed.
    An exit adds the answer of all glances to the mean of those of the crops so far, coarse to fine,
    as one linear classifier of both would.

    `forward` cuts in training by bilinear interpolation, whose slope tells the policy in which
    direction the loss falls (V2, equation 6). It takes crops from frames of `image_size`; a reading
    takes them from the video's own, with all their detail. As crops move with the policy, there are
    no features that could be kept: it trains on pixels.
    """

    config_class = AdaFocusConfig
    base_model_prefix = "ada_focus"

    def __init__(self, config: AdaFocusConfig) -> None:
        super().__init__(config)
        self.make_answers()
        self.glance_net = GlanceNet(config.glance_features)
        self.focus = nn.Conv2d(self.glance_net.num_maps, 1, 1)
        self.glance_classifier = nn.Linear(config.glance_features, num_classes(config))
        self.look = Stage(self._look, name="look")
        self.post_init()

    @property
    def crop_size(self) -> tuple[int, int]:
        """(height, width) of what the backbone sees."""
        return self.config.crop_pixels, self.config.crop_pixels

    def training_frames(self, num_frames: int, keyframes: Sequence[int]) -> list[int]:
        """Coarse to fine, so that a halt has seen the whole video."""
        return coarse_to_fine(num_frames, self.config.num_frames)

    def _look(self, glances_nChw: Tensor) -> tuple[Tensor, Tensor]:
        """Where the crop begins, (top, left) as shares `[n, 2]`, and what glances say `[n, K]`."""
        maps_nChw = self.glance_net.maps(glances_nChw)
        weights_nhw = self.focus(maps_nChw).flatten(1).softmax(-1).unflatten(1, maps_nChw.shape[2:])
        rows_h, columns_w = (
            (torch.arange(count, device=maps_nChw.device) + 0.5) / count
            for count in maps_nChw.shape[2:]
        )
        middle_n2 = torch.stack(
            [(weights_nhw.sum(2) * rows_h).sum(1), (weights_nhw.sum(1) * columns_w).sum(1)], 1
        )
        share = self.config.crop_share
        corner_n2 = (middle_n2 - share / 2).clamp(0, 1 - share)
        return corner_n2, self.glance_classifier(self.glance_net.describe(maps_nChw).relu())

    def box(self, corner: Sequence[float], size: tuple[int, int]) -> Box:
        """The part of a frame of that size, in whole pixels, that begins at a corner of shares."""
        height, width = (max(1, round(self.config.crop_share * side)) for side in size)
        top, left = (
            min(round(share * side), side - part)
            for share, side, part in zip(corner, size, (height, width), strict=True)
        )
        return top, left, height, width

    def crops(self, frames_nCHW: Tensor, corner_n2: Tensor) -> Tensor:
        """The crops `[n, C, P, P]` of frames; with gradients to where they are in training."""
        frames_nCHW = frames_nCHW.to(corner_n2)
        if self.training:
            return soft_crops(frames_nCHW, corner_n2, self.config.crop_share, self.crop_size)
        cut = []
        for frame_CHW, corner in zip(frames_nCHW, corner_n2.tolist(), strict=True):
            top, left, height, width = self.box(corner, tuple(frame_CHW.shape[1:]))
            part_1CHW = frame_CHW[None, :, top : top + height, left : left + width]
            if (height, width) != self.crop_size:
                part_1CHW = F.interpolate(
                    part_1CHW, self.crop_size, mode="bilinear", antialias=True
                )
            cut.append(part_1CHW)
        return torch.cat(cut)

    def forward(
        self,
        pixel_values: Tensor,
        glances: Tensor,
        labels: Tensor | None = None,
        class_weights: Tensor | None = None,
    ) -> ExitsOutput:
        """Look at all frames, and answer by the crops.

        Args:
            pixel_values: `[B, S, 3, H, W]` in reading order, 0 to 255.
            glances: `[B, S, 3, h, w]`, the same frames at `glance_size`, 0 to 255.
            labels: int64 `[B]`; or float `[B, K]`, see `answer_losses`.
            class_weights: `[K]`, for unbalanced classes.
        """
        shape = pixel_values.shape[:2]
        corner_n2, seen_nK = self._look(glances.flatten(0, 1))
        crops_nCPP = self.crops(pixel_values.flatten(0, 1), corner_n2)
        crops_BSK = self._answers(crops_nCPP).unflatten(0, shape)
        seen_BK = seen_nK.unflatten(0, shape).mean(1)
        means_BSK = running_means(crops_BSK)
        exits_BSK = means_BSK + seen_BK[:, None]
        loss = None
        if labels is not None:
            loss = self.frame_losses(exits_BSK, labels, class_weights).mean()
            alone = self.answer_losses(seen_BK, labels, class_weights)
            alone = alone + self.answer_losses(means_BSK[:, -1], labels, class_weights)
            loss = loss + self.config.auxiliary_weight * alone.mean()
        return ExitsOutput(loss=loss, logits=exits_BSK[:, -1], exit_logits=exits_BSK)

    async def read(self, video: Handle) -> Tensor:
        """Glance at frames of one video, and read crops of them. Returns logits `[K]`."""
        count = await video.open()
        frames = self.training_frames(count, video.index.keyframes)
        frames, small_SChw = await glance(video, frames, size=self.glance_size)
        corner_S2, seen_SK = await self.look(small_SChw)
        size = video.index.height, video.index.width
        boxes = [self.box(corner, size) for corner in check_finite(corner_S2).tolist()]
        seen_1K = seen_SK.mean(0, keepdim=True)
        return await self.answer(
            video, frames, size=self.crop_size, regions=boxes, beside_1K=seen_1K
        )

    def dense_macs(self, units_total: int) -> int | None:
        """MACs of glancing at all frames and reading a crop of each."""
        model: Any = self
        count = min(units_total, model.config.num_frames)
        return self.macs_of([(model.look, count), (model.features, count)])


def soft_crops(
    frames_nCHW: Tensor, corner_n2: Tensor, share: float, size: tuple[int, int]
) -> Tensor:
    """Squares of `share` of each frame's sides, by bilinear interpolation.

    Args:
        frames_nCHW: floats.
        corner_n2: (top, left) of each, as shares; gets gradients.
        share: in (0, 1].
        size: (height, width) of the result.
    """
    rows_p, columns_p = (
        (torch.arange(side, device=corner_n2.device, dtype=corner_n2.dtype) + 0.5) / side * share
        for side in size
    )
    y_npp = (corner_n2[:, :1] + rows_p)[:, :, None].expand(-1, -1, size[1])
    x_npp = (corner_n2[:, 1:] + columns_p)[:, None, :].expand(-1, size[0], -1)
    grid_npp2 = 2 * torch.stack([x_npp, y_npp], -1) - 1
    return F.grid_sample(
        frames_nCHW, grid_npp2, mode="bilinear", padding_mode="border", align_corners=False
    )
