"""A small CLIP of random weights, whole with tokenizer and processor, made from a seed.

It knows nothing, and what is measured with it is how much is read and how far two ways of reading
agree. What all images have in common is taken out of its texts' vectors, so that different images
have different answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, PreTrainedTokenizerFast

SIDE = 64
_SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]


def make_random_clip(
    folder: Path, words: Sequence[str], images: Sequence[Any], *, seed: int, logit_scale: float
) -> str:
    """Save a model, its tokenizer and its image processor; return the folder.

    Args:
        folder: where to.
        words: that its texts are made of.
        images: some of what it is to be shown, arrays `[H, W, 3]` of uint8.
        seed: of the weights.
        logit_scale: what cosines are multiplied by, as a power of e.
    """
    width = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4}
    text = {"vocab_size": 200, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    torch.manual_seed(seed)
    model = CLIPModel(
        CLIPConfig(
            projection_dim=32,
            text_config={**width, **text, "num_hidden_layers": 2},
            vision_config={**width, "num_hidden_layers": 3, "image_size": SIDE, "patch_size": 8},
        )
    ).eval()
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    )
    pixels = processor(list(images), return_tensors="pt").pixel_values
    with torch.no_grad():
        mean_D = model.get_image_features(pixels).pooler_output.mean(0)
        mean_D /= mean_D.norm()
        weight = model.text_projection.weight
        weight -= torch.outer(mean_D, mean_D @ weight)
        model.logit_scale.fill_(logit_scale)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    _tokenizer(words).save_pretrained(folder)
    return str(folder)


def _tokenizer(words: Sequence[str]) -> transformers.PreTrainedTokenizerFast:
    names = dict.fromkeys([*_SPECIAL, *words])
    inner = Tokenizer(models.WordLevel({w: k for k, w in enumerate(names)}, unk_token="[UNK]"))
    inner.normalizer = None
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]")
