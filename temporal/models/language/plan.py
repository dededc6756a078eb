"""Which frames a full reading has, in which order, and which of them each look adds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...handle import Handle
from ...policies.read import coarse_to_fine, uniform
from ...policies.select import quantile_frames
from ..selection.question import fitting
from .configuration_video_language import VideoLanguageConfig

DEFAULT_FRAMES = 32
_POWER = 3.0  # of scores, as `temporal.select` has it

Unit = tuple[int, ...]
"""Frames that the vision encoder takes together, in the order of time: one, or a pair."""


async def frames_of(
    video: Handle, config: VideoLanguageConfig, processor: Any, scorer: Any, question: str
) -> list[int]:
    """The frames of the full reading, in the order of time.

    Args:
        video: the engine's handle on a video.
        config: of the reader.
        processor: of the model.
        scorer: of images and texts (`ImageText`), for the order `"query"`.
        question: what frames are to fit then.

    Raises:
        ValueError: the processor cannot sample this video.
    """
    num_units = await video.open()
    count = config.num_frames
    if count is None:
        sampled = _own_sample(video, processor)
        if sampled is not None and config.order == "uniform":
            return sampled
        count = DEFAULT_FRAMES if sampled is None else len(sampled)
    if config.order == "motion" and count < num_units:
        return quantile_frames(await video.motion(), count)
    if config.order == "query" and count < num_units:
        options: dict[str, Any] = {"pick": "quantiles", "power": _POWER, "max_scored": None}
        answer = await fitting(video, scorer, question, count, generator=None, **options)
        return sorted(answer.frames)
    return uniform(num_units, count)


def _own_sample(video: Any, processor: Any) -> list[int] | None:
    """The frames that a processor samples by its own rule; None: it takes what it is given."""
    from transformers.video_utils import VideoMetadata

    from ..selection.clock import constant_rate

    of_videos = processor.video_processor
    names = ("fps", "num_frames")
    if not getattr(of_videos, "do_sample_frames", False):
        return None
    if all(getattr(of_videos, name, None) is None for name in names):
        return None
    index, count = video.index, len(video)
    seconds = float(index.duration_seconds)
    fps = constant_rate(index) or (count / seconds if seconds > 0 else 1.0)
    metadata = VideoMetadata(total_num_frames=count, fps=fps, duration=count / fps)
    try:
        sampled = of_videos.sample_frames(metadata=metadata)
    except Exception as error:
        raise ValueError(
            f"the processor's own sampling does not take {video.id} ({error}): pass num_frames="
        ) from error
    return sorted({min(max(int(frame), 0), count - 1) for frame in np.asarray(sampled)})


def units_of(frames: Sequence[int], pair: int) -> list[Unit]:
    """Frames in groups that the encoder merges, the same as those of one call on all frames.

    Of fewer frames than one group the last stands for what is missing; in the last group of
    others that is the processor's to do.
    """
    frames = [*frames, *([frames[-1]] * (pair - len(frames)))]
    return [tuple(frames[at : at + pair]) for at in range(0, len(frames), pair)]


def looks_of(num_units: int, config: VideoLanguageConfig, pair: int) -> list[list[int]]:
    """Which units each look adds, in the order of time: spread over all, and halving the gaps.

    8 units, looks of 2, 4, 8:   4 0 | 7 2 | 1 3 5 6
    """
    order = coarse_to_fine(num_units, num_units)
    looks: list[list[int]] = []
    taken, wanted = 0, float(max(1, -(-config.first_frames // pair)))
    while taken < num_units:
        end = min(num_units, max(taken + 1, round(wanted)))
        looks.append(sorted(order[taken:end]))
        taken, wanted = end, wanted * config.growth
    return looks
