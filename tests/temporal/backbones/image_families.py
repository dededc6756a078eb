"""Small image classifiers of transformers, of random weights, by family."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from torch import nn

SIDE = 64
"""Height and width of images that all of them take."""

_STAGES: dict[str, Any] = {"embedding_size": 8, "hidden_sizes": [8, 16, 16, 24], "num_labels": 5}
_VIT = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
_VIT |= {"intermediate_size": 16, "image_size": SIDE, "patch_size": 16, "num_labels": 5}
FAMILIES: dict[str, dict[str, Any]] = {
    "ResNet": {**_STAGES, "depths": [1, 2, 1, 1]},
    "RegNet": {**_STAGES, "depths": [1, 2, 1, 1], "groups_width": 8},
    "MobileNetV1": {"depth_multiplier": 0.25, "image_size": SIDE, "num_labels": 5},
    "MobileNetV2": {"depth_multiplier": 0.35, "image_size": SIDE, "num_labels": 5},
    "EfficientNet": {
        **{"width_coefficient": 0.25, "depth_coefficient": 0.3, "image_size": SIDE},
        **{"hidden_dim": 320, "num_labels": 5},
    },
    "Levit": {
        **{"image_size": SIDE, "hidden_sizes": [16, 24, 32], "num_attention_heads": [1, 2, 2]},
        **{"depths": [1, 1, 1], "key_dim": [8, 8, 8], "num_labels": 5},
    },
    "MobileViT": {
        **{"hidden_sizes": [16, 24, 32], "neck_hidden_sizes": [8, 8, 16, 16, 24, 24, 32]},
        **{"image_size": SIDE, "num_attention_heads": 2, "num_labels": 5},
    },
    "Cvt": {"embed_dim": [8, 16, 16], "num_heads": [1, 2, 2], "depth": [1, 2, 3]},
    "FocalNet": {"embed_dim": 8, "depths": [1, 1, 1, 1], "image_size": SIDE, "num_labels": 5},
    "PvtV2": {
        **{"hidden_sizes": [8, 16, 16, 24], "depths": [1, 1, 1, 1], "image_size": SIDE},
        **{"num_attention_heads": [1, 2, 2, 2], "num_labels": 5},
    },
    "ViT": _VIT,
    "Dinov2": _VIT,
    "ConvNext": {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "num_labels": 5},
    "ConvNextV2": {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "num_labels": 5},
    "Swin": {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "image_size": SIDE},
    "PoolFormer": {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "num_labels": 5},
    "Bit": {**_STAGES, "depths": [1, 1, 1, 1], "num_groups": 4},
}


def family(name: str) -> Any:
    torch.manual_seed(1)
    config = getattr(transformers, f"{name}Config")(**FAMILIES[name])
    return trained(getattr(transformers, f"{name}ForImageClassification")(config))


def norms_of(model: nn.Module) -> int:
    return sum(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())


@torch.no_grad()
def trained(model: nn.Module) -> nn.Module:
    """In evaluation, with norms whose statistics and weights are of no simple kind."""
    torch.manual_seed(3)
    for module in model.modules():
        if getattr(module, "running_mean", None) is not None:
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            if module.affine:
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.3)
    return model.eval()
