"""The sound around frames: what a reader hears of a video, and what its training is given of it.

S frames, M mel bands, L steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...backbones.sound import patches_around
from ...handle import Handle
from ...source import Sound


async def listen(video: Handle) -> Sound | None:
    """The sound of a video; None where it has none, or where it cannot be had, which is noted."""
    try:
        sound: Sound | None = await video.audio()
    except Exception as fault:  # frames may still tell enough
        video.fail(fault)
        return None
    return sound


def sounds_at(sound: Sound | None, times_seconds: Any, size: tuple[int, int]) -> Tensor:
    """Log-mel patches around frames, float16 `[S, M, L]`; NaN where there is no sound.

    Args:
        sound: of the video.
        times_seconds: S, of the frames, on the clock of `index.timestamps_seconds`.
        size: (M, L), `sound_size` of the reader.
    """
    num_mels, num_steps = size
    times = np.asarray(times_seconds, dtype=np.float64)
    if sound is None:
        return torch.full((len(times), *size), torch.nan, dtype=torch.float16)
    moments = times - sound.start_seconds
    patches = patches_around(
        sound.samples, sound.rate, moments, num_mels=num_mels, num_steps=num_steps
    )
    return patches.half()
