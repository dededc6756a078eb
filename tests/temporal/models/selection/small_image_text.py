"""A small model that matches images and texts, with random weights, and films it tells apart."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
)

SIDE = 32
QUERY = "a red car at night"
_WORDS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "a", "red", "car", "at", "night", "two", "dogs"]
_PART = {
    **{"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2},
    "intermediate_size": 48,
}
_TEXT = {
    **{**_PART, "vocab_size": 40, "max_position_embeddings": 80, "projection_size": 32},
    **{"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0},
}
_VISION = {**_PART, "image_size": SIDE, "patch_size": 8}


class Processor:
    """Both halves of a processor, as transformers' own has them."""

    def __init__(self, tokenizer: Any, image_processor: Any) -> None:
        self.tokenizer, self.image_processor = tokenizer, image_processor


def make_tokenizer() -> PreTrainedTokenizerFast:
    inner = Tokenizer(models.WordLevel({w: k for k, w in enumerate(_WORDS)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]")


def make(family: str = "CLIP", seed: int = 0) -> tuple[Any, Processor]:
    """A model and its processor."""
    torch.manual_seed(seed)
    square = {"height": SIDE, "width": SIDE}
    if family == "CLIP":
        config = CLIPConfig(text_config=_TEXT, vision_config=_VISION, projection_dim=16)
        model: Any = CLIPModel(config)
        images: Any = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=square)
    else:
        model = SiglipModel(SiglipConfig(text_config=_TEXT, vision_config=_VISION))
        images = SiglipImageProcessorPil(size=square)
    return model.eval(), Processor(make_tokenizer(), images)


def save(folder: Path, family: str = "CLIP") -> str:
    """The same in a folder."""
    model, processor = make(family)
    model.save_pretrained(folder)
    processor.tokenizer.save_pretrained(folder)
    processor.image_processor.save_pretrained(folder)
    return str(folder)


def film(
    path: Path, num_frames: int, lit: range, *, gop: int = 25, rate: int = 25, codec: str = "mpeg4"
) -> Path:
    """A grey room that is bright for some frames."""
    random = np.random.default_rng(0)
    room = random.integers(20, 60, (48, 64, 3))
    with av.open(str(path), "w") as container:
        options = {"bf": "0", "sc_threshold": "1000000000", "g": str(gop)}
        if codec == "libx264":
            options |= {"sc_threshold": "0", "keyint_min": str(gop)}
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size = gop
        stream.bit_rate = 400_000
        for number in range(num_frames):
            image = room + (150 if number in lit else 0) + random.integers(0, 6)
            frame = av.VideoFrame.from_ndarray(image.astype(np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def brightness(frames: torch.Tensor) -> torch.Tensor:
    """A question that needs no model."""
    return frames.float().mean((1, 2, 3)) / 255
