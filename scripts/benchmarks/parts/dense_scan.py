"""A question put to a frame a second of a video, as published selectors do; and a model for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, PreTrainedTokenizerFast

from temporal.data import Video
from temporal.models.selection.image_text import ImageText
from temporal.policies.spread import inverse_transform

QUERY = "a person beside a car"
_WORDS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *QUERY.split()]
_PART = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
_BLOCK = 32


class RandomClip(ImageText):
    """A CLIP of random weights, which says of frames what it says."""

    def scores(self, video: Video, frames: list[int]) -> NDArray[np.float64]:
        """Cosines `[K]` of frames and the question."""
        size = self.look_size(video.index.height, video.index.width)
        vectors = [
            self.frame_vectors(video.read(frames[start : start + _BLOCK], size=size))
            for start in range(0, len(frames), _BLOCK)
        ]
        fits: NDArray[np.float64] = np.concatenate(vectors) @ self.text_vector(QUERY)
        return fits

    def mean_score(self, path: Path, frames: list[int]) -> float:
        """How well frames fit on average."""
        with Video(path) as video:
            return float(self.scores(video, frames).mean())


def random_clip(seed: int = 4) -> RandomClip:
    """A small CLIP with its tokenizer and its image processor.

    By this seed its cosines are above 0, so that their means have a ratio.
    """
    inner = Tokenizer(models.WordLevel({w: k for k, w in enumerate(_WORDS)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="[PAD]")
    tokens = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    torch.manual_seed(seed)
    config = CLIPConfig(
        text_config={**_PART, "intermediate_size": 128, "vocab_size": 40, **tokens},
        vision_config={**_PART, "intermediate_size": 128, "image_size": 64, "patch_size": 8},
        projection_dim=32,
    )
    square = {"height": 64, "width": 64}
    processor = CLIPImageProcessorPil(size={"shortest_edge": 64}, crop_size=square)
    return RandomClip(CLIPModel(config), tokenizer, processor)


@dataclass(frozen=True, kw_only=True)
class DenseScan:
    """What a scan chose."""

    frames: list[int]
    """Those with the scores that BOLT takes."""

    frames_scored: int
    """How many were."""

    mean_score: float
    """How well those chosen fit on average."""


def dense_scan(path: Path, scorer: RandomClip, k: int, size: tuple[int, int]) -> DenseScan:
    """Score a frame a second, take K at quantiles of the scores, and read them."""
    with Video(path) as video:
        index = video.index
        times = index.start_seconds + np.arange(0, max(1.0, index.duration_seconds))
        frames = sorted(set(video.plan(times.tolist())))
        scores = scorer.scores(video, frames)
        places = inverse_transform(scores, k)
        chosen = [frames[place] for place in places]
        video.read(chosen, size=size)
        return DenseScan(
            frames=chosen, frames_scored=len(frames), mean_score=float(scores[places].mean())
        )
