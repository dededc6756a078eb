"""Frames to what a classifier takes, by the image processor that came with its checkpoint.

Resizing, cropping, scaling and all that a family does beside (offsets, channels in another order,
patches, palettes) is the processor's own work, so that scores are those of transformers.

F frames, C, H, W.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from .processors import load_processor

_PIXELS = ("pixel_values", "pixel_values_videos", "input_ids")
"""Names under which processors return what a classifier sees."""
_PROBE = (64, 96)
"""Height and width of the frames on which a processor is tried."""


class ProcessorPixels:
    """Decoded frames to the inputs of one classifier.

    Args:
        processor: an image or video processor of transformers, or its settings as a dict.
        classifier: what takes its output.
        clips: frames belong together, as one input of a video classifier; else each is one.

    Raises:
        ValueError: the processor needs what is not installed, or does not fit the classifier.
    """

    def __init__(self, processor: Any, classifier: nn.Module, *, clips: bool = False) -> None:
        if isinstance(processor, dict):
            processor = load_processor(processor)
        self.processor = processor
        self.clips = clips
        self.of_videos = hasattr(processor, "sample_frames")
        self.names = self._names(classifier)

    def __call__(self, frames_FCHW: Tensor) -> tuple[Tensor, ...]:
        """Uint8 frames to the classifier's inputs, in the order of `names`."""
        outputs = self._process(frames_FCHW)
        return tuple(outputs[name] for name in self._keys)

    def sample(self, num_frames: int, length: int) -> list[int]:
        """Frames that a processor of videos takes of a video: evenly spaced over all of it."""
        return (np.arange(length) * num_frames // length).tolist()

    def call(self, classifier: Any, inputs: Sequence[Tensor]) -> Tensor:
        """The classifier's logits `[B, K]` for what this returned."""
        device, dtype = classifier.device, classifier.dtype
        inputs = [x.to(device, dtype if x.is_floating_point() else x.dtype) for x in inputs]
        named = list(zip(self.names, inputs, strict=True))
        first = [x for name, x in named if name is None]
        given = {name: x for name, x in named if name is not None}
        output = classifier(*first, **given, return_dict=True)
        logits = getattr(output, "logits", None)  # PP-LCNet has them under another name
        return (output.last_hidden_state if logits is None else logits).flatten(1)

    def _process(self, frames_FCHW: Tensor) -> dict[str, Tensor]:
        if self.of_videos:
            return dict(self.processor([frames_FCHW], return_tensors="pt", do_sample_frames=False))
        # As images of PIL: a small array's channels could be taken for its rows.
        arrays = frames_FCHW.permute(0, 2, 3, 1).cpu().numpy()
        outputs = dict(self.processor([Image.fromarray(x) for x in arrays], return_tensors="pt"))
        if self.clips:  # a processor of single images beside a video classifier
            for name, value in outputs.items():
                if len(value) == len(frames_FCHW) and value.dim() < 5:
                    outputs[name] = value[None]
        return outputs

    def _names(self, classifier: nn.Module) -> tuple[str | None, ...]:
        """Under which of the classifier's arguments each output goes; None: as the first."""
        kind, taken = type(self.processor).__name__, type(classifier).__name__
        try:
            with torch.device("cpu"):  # a saved reader is built without memory at first
                probe = self._process(torch.zeros(2, 3, *_PROBE, dtype=torch.uint8))
        except (ImportError, NameError, AttributeError, NotImplementedError) as error:
            raise ValueError(
                f"the processor {kind} does not run here ({error}): install what it needs, or "
                "pass another as image_processor="
            ) from error
        self._keys = tuple(probe)
        parameters = inspect.signature(classifier.forward).parameters
        names: list[str | None] = []
        for key in self._keys:
            if key in parameters:
                names.append(key)
            elif key in _PIXELS and None not in names:
                names.append(None)
            else:
                raise ValueError(
                    f"the processor {kind} returns {key!r}, which {taken} does not take: pass the "
                    "processor of this model as image_processor="
                )
        return tuple(names)
