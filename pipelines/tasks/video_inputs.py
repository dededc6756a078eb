"""What is a video and lies in memory: arrays, tensors and lists of pictures become `Frames`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from temporal.data.frames import Frames, are_frames


def with_frames(inputs: Any) -> Any:
    """Replace frames in memory, alone or in a list or iterator of inputs, by sources.

    Args:
        inputs: As for `Pipeline.read`. A list of pictures is one video, a list of such several; an
            array or tensor of four dimensions is one video, one of five several.
    """
    if are_frames(inputs):
        return [Frames(inputs)]
    if getattr(inputs, "ndim", None) == 5 and hasattr(inputs, "dtype"):
        return [Frames(one) for one in inputs]
    if isinstance(inputs, list | tuple):
        return [_with_frames(one) for one in inputs]
    if isinstance(inputs, Iterator) and not hasattr(inputs, "read"):
        return map(_with_frames, inputs)
    return inputs


def _with_frames(one: Any) -> Any:
    return Frames(one) if are_frames(one) else one
