"""The image model that a reader of frames is put on, and how much of it is trained."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import transformers
from torch import nn
from transformers import AutoConfig, AutoImageProcessor

from ....backbones.efficientnet_lite import load_imagenet_weights
from ....models import EfficientNetLite0

LITE0 = "efficientnet_lite0"


def load_backbone(
    name: str, loader: str = "AutoModel", **classes: Any
) -> tuple[nn.Module, dict[str, Any]]:
    """A backbone, and what its checkpoint says of the frames that it takes.

    Args:
        name: `efficientnet_lite0`; or a folder or hub id of an image model of transformers; or a
            `config.json` (or a folder that has no weights beside it), for random weights.
        loader: name of the class of transformers that loads it.
        **classes: `id2label` and `label2id` of its head, where that class loads one.

    Returns:
        The model, and fields of the reader's configuration.

    Raises:
        ValueError: it is no image model.
    """
    auto: Any = getattr(transformers, loader)
    head = {} if loader == "AutoModel" else classes
    kinds = f"{LITE0}, a folder or hub id of an image model"
    if head:
        kinds = f"a folder or hub id of a model of {loader}"
        if name == LITE0:
            raise ValueError(f"--backbone ({name}) must be {kinds}, or its config.json")
    if name == LITE0:
        return load_imagenet_weights(EfficientNetLite0()).eval(), {}
    place = Path(name)
    if place.suffix == ".json" or (place.is_dir() and not _has_weights(place)):
        config = AutoConfig.from_pretrained(name, **head)
        return auto.from_config(config).eval(), _sizes(config)
    try:
        model = auto.from_pretrained(
            name, use_safetensors=True, ignore_mismatched_sizes=bool(head), **head
        )
    except (OSError, ValueError) as error:
        raise ValueError(
            f"--backbone ({name}) must be {kinds} of transformers with safetensors, or its "
            f"config.json: {error}"
        ) from error
    return model.eval(), {**_sizes(model.config), **_pixels(name)}


def freeze(reader: Any, unfreeze: str) -> None:
    """Leave a reader's backbone as it is, but for what is to be trained.

    Args:
        reader: with a `backbone`.
        unfreeze: `none`; `last:K`, the last K of the backbone's blocks and what follows them; or
            `all`.

    Raises:
        ValueError: it is none of these, or the backbone has fewer blocks.
    """
    backbone: nn.Module = reader.backbone
    match = re.fullmatch(r"none|all|last:([1-9]\d*)", unfreeze)
    if match is None:
        raise ValueError(f"--unfreeze ({unfreeze!r}) must be none, last:K or all")
    backbone.requires_grad_(unfreeze == "all")
    if match[1] is None:
        return
    count = int(match[1])
    path, blocks = _blocks(backbone)
    inside = list(blocks.children())
    if count > len(inside):
        raise ValueError(f"--unfreeze ({unfreeze}): the backbone has {len(inside)} blocks")
    for block in inside[-count:]:
        block.requires_grad_(True)
    # What was registered after the blocks, at each level, works on what they give.
    owner: nn.Module = backbone
    for name in path.split("."):
        children = list(owner.named_children())
        at = [child for child, _ in children].index(name)
        for _, later in children[at + 1 :]:
            later.requires_grad_(True)
        owner = children[at][1]


def _blocks(backbone: nn.Module) -> tuple[str, nn.Module]:
    """The list of blocks that holds most of the weights, and its name."""
    lists = [
        (sum(weight.numel() for weight in module.parameters()), path, module)
        for path, module in backbone.named_modules()
        if isinstance(module, (nn.ModuleList, nn.Sequential)) and len(list(module.children())) > 1
    ]
    if not lists:
        raise ValueError("--unfreeze last:K needs a backbone of blocks; give all")
    # Of lists inside each other that hold the same, the innermost is the finest.
    _, path, module = max(lists, key=lambda entry: (entry[0], entry[1].count(".")))
    return path, module


def _has_weights(folder: Path) -> bool:
    return any(folder.glob("*.safetensors")) or any(folder.glob("*.safetensors.index.json"))


def _sizes(config: Any) -> dict[str, Any]:
    side = getattr(config, "image_size", None)
    if isinstance(side, (list, tuple)):
        side = side[0] if len(set(side)) == 1 else None
    return {"image_size": int(side)} if side else {}


def _pixels(name: str) -> dict[str, Any]:
    """Mean and deviation of 0-255 pixels by the checkpoint's image processor, if it has one."""
    try:
        processor: Any = AutoImageProcessor.from_pretrained(name)
    except (OSError, ValueError, ImportError):
        return {}
    if not getattr(processor, "do_normalize", False):
        return {}
    scale = getattr(processor, "rescale_factor", 1 / 255)
    return {
        "pixel_mean": [value / scale for value in processor.image_mean],
        "pixel_std": [value / scale for value in processor.image_std],
    }
