"""How well frames fit a question, by a model that matches images and texts (CLIP, SigLIP).

K frames, C, H, W; D width of the common space.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from ...backbones.image_text import check_image_text, image_vectors, text_vectors
from ...checks import NonFiniteError

FrameScorer = Callable[[Tensor], Any]
"""Frames, uint8 `[K, C, H, W]`, to their scores `[K]`."""

_DEFAULT_SIDE = 224


class ImageText:
    """A model that matches images and texts, with the processors that came with it.

    Made once, it may score any number of videos: `temporal.select(video, query=..., model=it)`.

    Args:
        model: of transformers, see `temporal.backbones.image_text.check_image_text`; used as it is,
            where it is.
        tokenizer: of its texts.
        image_processor: of its images.

    Raises:
        ValueError: the model gives no vectors of images and texts.
    """

    def __init__(self, model: nn.Module, tokenizer: Any, image_processor: Any) -> None:
        check_image_text(model)
        self.model: Any = model.eval()
        self.tokenizer = tokenizer
        self.image_processor = image_processor
        self.frames_scored = 0
        """Images that went through the model."""
        self.model_seconds = 0.0
        """Seconds that the model took, of images and of texts."""

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str]) -> ImageText:
        """Load a model of the hub, or of a folder, with its processors.

        Raises:
            OSError: there is none, or it has no processors.
            ValueError: it does not match images and texts.
        """
        # Here: they take seconds, and most selections need none of them.
        from transformers import AutoModelForZeroShotImageClassification, AutoTokenizer
        from transformers.image_processing_utils import BaseImageProcessor

        from ...backbones.processors import load_processor

        name = os.fspath(name)
        # safetensors only: a pickle may run code when it is opened, as may what lies beside it.
        model = AutoModelForZeroShotImageClassification.from_pretrained(
            name, use_safetensors=True, trust_remote_code=False
        )
        # Its settings, and not its class: that may need torchvision.
        settings, _ = BaseImageProcessor.get_image_processor_dict(name)
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        return cls(model, tokenizer, load_processor(settings))

    def text_vector(self, text: str) -> NDArray[np.float64]:
        """A text's vector `[D]`, of length 1."""
        start = time.perf_counter()
        vectors_KD = text_vectors(self.model, self.tokenizer, [text])
        self.model_seconds += time.perf_counter() - start
        return _numpy(vectors_KD)[0]

    def frame_vectors(self, frames_KCHW: Tensor) -> NDArray[np.float64]:
        """Vectors `[K, D]` of frames, uint8, each of length 1."""
        start = time.perf_counter()
        # As images of PIL: a small array's channels could be taken for its rows.
        arrays = frames_KCHW.permute(0, 2, 3, 1).cpu().numpy()
        images = [Image.fromarray(array) for array in arrays]
        inputs = dict(self.image_processor(images, return_tensors="pt"))
        device, dtype = self.model.device, self.model.dtype
        moved = {
            name: one.to(device, dtype if one.is_floating_point() else one.dtype)
            for name, one in inputs.items()
        }
        with torch.inference_mode():
            vectors_KD = _numpy(image_vectors(self.model, **moved))
        self.frames_scored += len(images)
        self.model_seconds += time.perf_counter() - start
        if not np.isfinite(vectors_KD).all():
            raise NonFiniteError(
                f"model ({type(self.model).__name__}) gives vectors that are not finite: load it "
                "in float32"
            )
        return vectors_KD

    def look_size(self, height: int, width: int) -> tuple[int, int]:
        """To which (height, width) frames are scaled while they are decoded, before the processor.

        Its own size, or the one with its short edge; the video's where it has none.
        """
        size = getattr(self.image_processor, "size", None)
        edge, own = _of(size, "shortest_edge"), (_of(size, "height"), _of(size, "width"))
        if own[0] and own[1]:
            return int(own[0]), int(own[1])
        if not edge or edge >= min(height, width):
            return height, width
        scale = edge / min(height, width)
        return max(1, round(height * scale)), max(1, round(width * scale))


class FunctionScores:
    """A caller's function of frames in the place of a model.

    Args:
        function: takes uint8 `[K, C, H, W]` and returns K finite numbers.
        size: (height, width) of the frames that it is given; None: 224 x 224.
    """

    def __init__(self, function: FrameScorer, size: tuple[int, int] | None) -> None:
        self.function, self.size = function, size
        self.frames_scored, self.model_seconds = 0, 0.0

    def frame_scores(self, frames_KCHW: Tensor) -> NDArray[np.float64]:
        """Its scores `[K]`, checked."""
        start = time.perf_counter()
        said = self.function(frames_KCHW)
        self.model_seconds += time.perf_counter() - start
        self.frames_scored += len(frames_KCHW)
        if isinstance(said, Tensor):
            said = said.detach().cpu().double().numpy()
        scores = np.asarray(said, dtype=np.float64)
        if scores.shape != (len(frames_KCHW),) or not np.isfinite(scores).all():
            raise ValueError(
                f"model returned scores of shape {scores.shape} for {len(frames_KCHW)} frames: it "
                "must return one finite number for each"
            )
        return scores

    def look_size(self, height: int, width: int) -> tuple[int, int]:
        """The size of the frames that it is given."""
        return self.size or (_DEFAULT_SIDE, _DEFAULT_SIDE)


def scorer_of(
    model: Any, processor: Any, query: str | None, size: tuple[int, int] | None
) -> ImageText | FunctionScores | None:
    """What a caller gave as `model` and `processor`.

    Raises:
        ValueError: they do not fit each other, or the question.
        TypeError: they are no such things.
    """
    if model is None:
        if query is not None:
            raise ValueError(
                f"query ({query!r}) needs a model that matches images and texts: pass model=, the "
                "name or folder of a CLIP or SigLIP model, or a loaded one with its processor="
            )
        return None
    if isinstance(model, ImageText):
        return model
    if isinstance(model, (str, os.PathLike)):
        return ImageText.from_pretrained(model)
    if isinstance(model, nn.Module):
        parts = [getattr(processor, name, None) for name in ("tokenizer", "image_processor")]
        if None in parts:
            raise ValueError(
                f"model ({type(model).__name__}) needs its processor=, with a tokenizer and an "
                "image_processor: the one of AutoProcessor.from_pretrained(name)"
            )
        return ImageText(model, *parts)
    if callable(model):
        if query is not None:
            raise ValueError(
                f"query ({query!r}) is for models that match images and texts: a function of "
                "frames knows its question, pass it alone"
            )
        return FunctionScores(model, size)
    raise TypeError(
        f"model ({type(model).__name__}) must be a name, a folder, a loaded model or a function"
    )


def _numpy(vectors: Tensor) -> NDArray[np.float64]:
    return vectors.detach().cpu().double().numpy()


def _of(size: Any, name: str) -> Any:
    return size.get(name) if isinstance(size, dict) else getattr(size, name, None)
