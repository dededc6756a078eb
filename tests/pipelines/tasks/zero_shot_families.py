"""Small image-text models with random weights, of the families of transformers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

WORDS = ["this", "is", "a", "photo", "of", ".", "cat", "two", "dogs", "bird", "at", "night"]
LABELS = ["cat", "two dogs", "bird at night"]
TEXT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "vocab_size": 40,
    "max_position_embeddings": 80,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
VISION = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "image_size": 32,
    "patch_size": 8,
}
FAMILIES = {
    "CLIP": {"projection_dim": 16},
    "MetaClip2": {"projection_dim": 16},
    "ChineseCLIP": {"projection_dim": 16, "text": {"sep_token_id": 2}},
    "AltCLIP": {"projection_dim": 16, "text": {"project_dim": 24}},
    "Siglip": {"text": {"projection_size": 32}},
    "Siglip2": {"text": {"projection_size": 32}, "vision": {"num_patches": 16}},
}
PROCESSORS = {"MetaClip2": "CLIP", "AltCLIP": "CLIP"}


def make_tokenizer() -> PreTrainedTokenizerFast:
    names = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *WORDS]
    inner = Tokenizer(models.WordLevel({w: k for k, w in enumerate(names)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]")


def save(family: str, folder: str, **processor: Any) -> str:
    """A small model with random weights, with its tokenizer and its image processor.

    Args:
        family: of `FAMILIES`.
        folder: where to.
        **processor: settings of the image processor.
    """
    fields = FAMILIES[family]
    vision = fields.get("vision", {})
    if family == "Siglip2":
        vision = {**{k: v for k, v in VISION.items() if k != "image_size"}, **vision}
    else:
        vision = {**VISION, **vision}
    config = getattr(transformers, f"{family}Config")(
        text_config={**TEXT, **fields.get("text", {})},
        vision_config=vision,
        **{k: v for k, v in fields.items() if k not in ("text", "vision")},
    )
    torch.manual_seed(0)
    model = getattr(transformers, f"{family}Model")(config).eval()
    with torch.no_grad():  # the labels' scores are far apart
        model.logit_scale.fill_(3.0)
    model.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    kind = getattr(transformers, f"{PROCESSORS.get(family, family)}ImageProcessorPil")
    square = {"height": 32, "width": 32}
    given: dict[str, Any] = {"size": square, "crop_size": square}
    if family == "Siglip2":
        given = {"patch_size": 8, "max_num_patches": 16}
    kind(**given | processor).save_pretrained(folder)
    return folder


def clip(num_frames: int, seed: int = 0) -> np.ndarray:
    """Coloured noise that changes with time, uint8 [T, height, width, 3]."""
    draws = np.random.default_rng(seed)
    base = (
        draws.integers(0, 256, (1, 40, 48, 3))
        * np.linspace(0.2, 1, num_frames)[:, None, None, None]
    )
    return base.astype(np.uint8)


def pattern(seed: int) -> np.ndarray:
    """Squares of colours, uint8 [40, 48, 3]."""
    colours = np.random.default_rng(seed).integers(0, 256, (5, 6, 3))
    return np.kron(colours, np.ones((8, 8, 1))).astype(np.uint8)


def balance(folder: str) -> str:
    """Make a saved CLIP of random weights answer with every label for about as many patterns.

    What all images have in common is taken out of the texts' vectors.
    """
    model = transformers.CLIPModel.from_pretrained(folder)
    processor = transformers.CLIPImageProcessorPil.from_pretrained(folder)
    pixels = processor([pattern(seed) for seed in range(64)], return_tensors="pt").pixel_values
    with torch.no_grad():
        mean_D = model.get_image_features(pixels).pooler_output.mean(0)
        mean_D /= mean_D.norm()
        weight = model.text_projection.weight
        weight -= torch.outer(mean_D, mean_D @ weight)
        model.logit_scale.fill_(4.0)
    model.save_pretrained(folder)
    return folder
