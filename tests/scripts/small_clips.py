"""Clips that a training learns from in seconds, and a small image model to read them with."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from transformers import ViTConfig

CLASSES = ("falling", "rising")


def write_clip(path: Path, *, rising: bool, seed: int) -> None:
    """Twelve frames of noise that get brighter or darker."""
    random = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"g": "4", "bf": "0"})
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        levels = np.linspace(40, 200, 12)
        for level in levels if rising else levels[::-1]:
            coarse = (level + random.integers(-15, 16, (8, 8, 3))).clip(0, 255).astype(np.uint8)
            pixels = np.ascontiguousarray(coarse.repeat(4, axis=0).repeat(4, axis=1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(stream.encode(None))


def save_config(folder: Path) -> Path:
    """The configuration of a ViT of random weights."""
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=16,
    )
    config.save_pretrained(folder)
    return folder / "config.json"
