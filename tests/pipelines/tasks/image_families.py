"""A small random model, and its processor, of every image and video family of transformers.

A family that transformers adds appears by itself, built from the sizes that most families share;
one that cannot be built so gets a line in `SIZES`, and one that needs what is not installed a line
in `NOT_BUILT`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import transformers
from transformers import AutoConfig, PreTrainedModel
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
    MODEL_FOR_VIDEO_CLASSIFICATION_MAPPING_NAMES,
)

LABELS = {0: "bad", 1: "fair", 2: "good"}
FRAMES = 8
"""Frames of a clip."""

NOT_BUILT = {
    "dinat": "needs natten",
    "timm_wrapper": "needs timm",
    "shieldgemma2": "reads images together with texts, and is refused",
}

_TOWER = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "image_size": 32,
    "patch_size": 8,
}
_SWIN = {
    **{"embed_dim": 16, "depths": [1, 1], "num_heads": [2, 2]},
    **{"window_size": 4, "image_size": 32, "patch_size": 4},
}
_STAGES = {"hidden_sizes": [16, 16, 32, 32], "depths": [1, 1, 1, 1]}
_HEADS = {**_STAGES, "num_attention_heads": [1, 1, 2, 2]}
_TOWERS = {"vision_config": _TOWER, "text_config": _TOWER}
_PERCEIVER = {
    **{"num_latents": 8, "d_latents": 32, "d_model": 32, "num_self_attends_per_block": 1},
    **{"num_self_attention_heads": 2, "num_cross_attention_heads": 1, "image_size": 32},
}
SIZES: dict[str, dict[str, Any]] = {
    "timesformer": {**_TOWER, "num_frames": FRAMES},
    "videomae": {
        **{**_TOWER, "num_frames": FRAMES, "decoder_num_hidden_layers": 1},
        **{"decoder_hidden_size": 32, "decoder_num_attention_heads": 4},
    },
    "videoprism_vision_model": {
        **{**_TOWER, "num_frames": FRAMES, "tubelet_size": [1, 8, 8]},
        **{"num_spatial_layers": 1, "num_temporal_layers": 1, "num_auxiliary_layers": 1},
    },
    "vivit": {**_TOWER, "num_frames": FRAMES, "tubelet_size": [2, 8, 8]},
    "vjepa2": {
        **{"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "patch_size": 8},
        **{"crop_size": 32, "frames_per_clip": FRAMES, "mlp_ratio": 1, "num_pooler_layers": 1},
        **{"pred_hidden_size": 32, "pred_num_attention_heads": 4, "pred_num_hidden_layers": 1},
    },
    "bit": {"embedding_size": 16, "num_groups": 8, "hidden_sizes": [16, 32], "depths": [1, 1]},
    "clip": {**_TOWERS, "projection_dim": 16},
    "convnext": _STAGES,
    "convnextv2": _STAGES,
    "cvt": {"embed_dim": [16, 16, 32], "num_heads": [1, 2, 4], "depth": [1, 2, 3]},
    "donut-swin": _SWIN,
    "efficientnet": {
        **{"width_coefficient": 0.3, "depth_coefficient": 0.3, "hidden_dim": 384},
        "image_size": 32,
    },
    "focalnet": {
        **{"embed_dim": 16, "hidden_sizes": [16, 32], "depths": [1, 1], "focal_levels": [1, 1]},
        **{"focal_windows": [3, 3], "image_size": 32, "patch_size": 4},
    },
    "hiera": {
        **{"image_size": [64, 64], "embed_dim": 16, "depths": [1, 1, 1], "num_heads": [1, 2, 4]},
        **{"num_query_pool": 2, "masked_unit_attention": [True, True, False]},
    },
    "hgnet_v2": {},
    "imagegpt": {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64, "vocab_size": 9},
    "levit": {
        **{"hidden_sizes": [32, 32, 32], "num_attention_heads": [2, 2, 2], "depths": [1, 1, 1]},
        **{"key_dim": [8, 8, 8], "image_size": 64, "down_ops": [["Subsample", 8, 4, 4, 2, 2]] * 2},
    },
    "metaclip_2": {**_TOWERS, "projection_dim": 16},
    "mobilenet_v1": {"depth_multiplier": 0.125, "image_size": 32},
    "mobilenet_v2": {"depth_multiplier": 0.25, "image_size": 32},
    "mobilevit": {
        **{"hidden_sizes": [16, 16, 16], "neck_hidden_sizes": [8, 8, 8, 8, 8, 8, 16]},
        **{"image_size": 32, "num_attention_heads": 2},
    },
    "mobilevitv2": {
        **{"width_multiplier": 0.25, "base_attn_unit_dims": [32, 32, 32], "image_size": 64},
        "n_attn_blocks": [1, 1, 1],
    },
    "perceiver": _PERCEIVER,
    "poolformer": _STAGES,
    "pp_lcnet": {"scale": 0.25},
    "pvt": {**_HEADS, "image_size": 32, "num_labels": 3},  # its own default is 1,000
    "pvt_v2": {**_HEADS, "image_size": [32, 32]},
    "regnet": {**_STAGES, "groups_width": 8, "embedding_size": 8},
    "resnet": {**_STAGES, "embedding_size": 8},
    "segformer": {**_HEADS, "decoder_hidden_size": 16},
    "siglip": _TOWERS,
    "siglip2": {"vision_config": {**_TOWER, "num_patches": 16}, "text_config": _TOWER},
    "swiftformer": {"depths": [1, 1, 1, 1], "embed_dims": [16, 16, 16, 16], "image_size": 32},
    "swin": _SWIN,
    "swinv2": _SWIN,
    "textnet": {"image_size": [64, 64]},
}

_LARGER = ("hiera", "levit", "textnet", "mobilevitv2")
"""Families that halve an image too often for 32 pixels."""


def model_classes() -> list[tuple[str, str]]:
    """Every family with each of its classes, as transformers lists them."""
    listed = {
        **MODEL_FOR_VIDEO_CLASSIFICATION_MAPPING_NAMES,
        **MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
    }
    pairs = []
    for family, names in listed.items():
        names = (names,) if isinstance(names, str) else names
        ours = names and getattr(transformers, names[0], None)
        if ours is None or ours.__module__.startswith("transformers"):  # not registered by others
            pairs += [(family, name) for name in names]
    return pairs


def make_model(family: str, class_name: str) -> PreTrainedModel:
    """A random model with answers that differ from input to input."""
    labels = {"id2label": LABELS, "label2id": {name: k for k, name in LABELS.items()}}
    sizes = dict(SIZES.get(family, _TOWER))
    if class_name == "PerceiverForImageClassificationConvProcessing":
        sizes["image_size"] = 56
    config = AutoConfig.for_model(family, **sizes, **labels)
    torch.manual_seed(0)
    model = getattr(transformers, class_name)(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                weight.normal_(std=(2.0 / max(1, weight[0].numel())) ** 0.5)
            elif not ("norm" in name.lower() and name.endswith("weight")):
                weight.add_(0.1 * torch.randn_like(weight))
    return model


def make_processor(family: str, class_name: str) -> Any:
    """The processor that transformers lists for a family, for small images."""
    edge = 64 if family in _LARGER else 32
    square, crop = {"height": edge, "width": edge}, {"shortest_edge": edge}
    names = IMAGE_PROCESSOR_MAPPING_NAMES.get(family) or {}
    is_video = class_name.endswith("ForVideoClassification")
    other = "VideoMAEImageProcessorPil" if is_video else "BitImageProcessorPil"
    name = names.get("pil") or names.get("torchvision") or other
    if class_name == "PerceiverForImageClassificationConvProcessing":
        square = {"height": 224, "width": 224}
    fields: dict[str, Any] = {
        "ConvNextImageProcessorPil": {"size": crop, "crop_pct": 0.8},
        "ImageGPTImageProcessorPil": {
            "size": {"height": 8, "width": 8},
            "clusters": np.random.default_rng(0).uniform(-1, 1, (8, 3)),
        },
        "PerceiverImageProcessorPil": {"size": square, "crop_size": square},
        "Siglip2ImageProcessorPil": {"patch_size": 8, "max_num_patches": 16},
        "TextNetImageProcessorPil": {"size": crop},
    }.get(name, {"size": square})
    kind = getattr(transformers, name)
    cropped = getattr(kind, "crop_size", None) is not None or is_video
    if cropped and not name.startswith(("Perceiver", "ConvNext", "TextNet")):
        fields = {"size": crop, "crop_size": square}
    return kind(**fields)
