"""A small network for frames at low resolution, by which a policy looks before it reads.

N frames, C, h, w, D width of what it says.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from .features import are_given

_WIDTHS = (16, 32, 64)


def halving_layers(num_channels: int) -> nn.Sequential:
    """Three convolutions with a step of two, after which a side is an eighth."""
    layers: list[nn.Module] = []
    for before, width in zip((num_channels, *_WIDTHS), _WIDTHS, strict=False):
        layers += [nn.Conv2d(before, width, 3, stride=2, padding=1), nn.ReLU()]
    return nn.Sequential(*layers)


class GlanceNet(nn.Module):
    """Three convolutions with a step of two, and the mean over the image.

    At 64 x 64 pixels it takes some 3 million multiply-accumulates a frame, less than a hundredth of
    an EfficientNet-Lite0 at 224 x 224.

    Args:
        num_features: D.
    """

    num_maps = _WIDTHS[-1]

    def __init__(self, num_features: int = 64) -> None:
        super().__init__()
        self.num_features = num_features
        self.layers = halving_layers(3)
        self.project = nn.Linear(self.num_maps, num_features)

    def maps(self, frames_NChw: Tensor) -> Tensor:
        """What is seen where: frames of 0 to 255, any dtype, to maps `[N, C, h / 8, w / 8]`."""
        weight = self.project.weight
        return self.layers(frames_NChw.to(weight.device, weight.dtype) / 127.5 - 1)

    def forward(self, frames_NChw: Tensor) -> Tensor:
        """Frames of 0 to 255, any dtype, to features `[N, D]`."""
        return self.describe(self.maps(frames_NChw))

    def describe(self, maps_NChw: Tensor) -> Tensor:
        """The features `[N, D]` of maps."""
        return self.project(maps_NChw.mean((2, 3)))


class RowGlanceNet(nn.Module):
    """The same for glances of features: two layers.

    Args:
        width: w, numbers of a row that are glanced at.
        num_features: D.
    """

    def __init__(self, width: int, num_features: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)  # features differ in their size
        self.layers = nn.Sequential(nn.Linear(width, _WIDTHS[-1]), nn.ReLU())
        self.project = nn.Linear(_WIDTHS[-1], num_features)

    def forward(self, rows_Nw: Tensor) -> Tensor:
        """Rows of any dtype to features `[N, D]`."""
        weight = self.project.weight
        rows_Nw = rows_Nw.to(weight.device, weight.dtype)
        said_ND: Tensor = self.project(self.layers(self.norm(rows_Nw)))
        return said_ND


def glance_net(config: Any, num_features: int) -> GlanceNet | RowGlanceNet:
    """The network for glances at what a reader's backbone takes: pixels, or features.

    Args:
        config: with `backbone` and `glance_pixels`.
        num_features: D.
    """
    if are_given(config.backbone):
        return RowGlanceNet(config.glance_pixels, num_features)
    return GlanceNet(num_features)
