"""`select`: good frames of a video, by what is cheap to know of it.

>>> import temporal
>>> from temporal.data import Video
>>> chosen = temporal.select(Video("clip.mp4"), num_frames=16, by="motion", size=(224, 224))
>>> chosen.pixels.shape, chosen.cost.frames_decoded, chosen.timestamps_seconds
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...checks import check_count, check_in
from ...engine import Engine
from ...handle import Handle
from ...policies.read import uniform
from ...policies.select import cheaper, near_cheap, quantile_frames, segments, top_k
from ...source import FrameSource
from ...trace import Cost
from .motion import EVIDENCE, frame_motion
from .reading import read_each

Scorer = Callable[[Any], Any]
"""A video to the scores of its frames, `[N]`, or to a pair of frames and their scores."""

_WAYS = ("uniform", "segments", "keyframes", "motion")
_NEEDED = ("read", "glance", "motion", "expect", "cost")


@dataclass(frozen=True, kw_only=True, eq=False)
class Selection:
    """Frames that were chosen of a video of N frames."""

    frames: list[int]
    """[K] frame indices, in the order of time, each once. Fewer than asked for where the video is
    shorter, or where frames cannot be read (`faults`)."""

    timestamps_seconds: NDArray[np.float64]
    """[K] when they are shown, on the container's clock."""

    pixels: Tensor | None
    """uint8 [K, 3, height, width], RGB, upright; None with `read=False`."""

    scores: NDArray[np.float64] | None
    """[N] what frames were chosen by, NaN where a frame had no score; None where nothing was
    scored."""

    plan: Cost
    """What reading the chosen frames costs a fresh reader, known before they were read."""

    cost: Cost
    """What was spent: `frames_decoded`, of which `frames_glanced` for the scores."""

    faults: tuple[Exception, ...]
    """Why frames could not be read or seen; empty where all could."""


def select(
    video: FrameSource,
    num_frames: int = 16,
    *,
    by: Literal["uniform", "segments", "keyframes", "motion"] | Scorer = "uniform",
    evidence: Literal["packets", "thumbnails", "vectors", "pixels"] = "packets",
    pick: Literal["quantiles", "top"] | None = None,
    power: float = 0.5,
    size: tuple[int, int] | None = None,
    read: bool = True,
    tolerance_seconds: float = 0.0,
    seed: int | None = None,
) -> Selection:
    """Choose frames of a video, and read them.

    Args:
        video: A `temporal.data.Video`, an isolated one, or another source of frames.
        num_frames: K, how many; a shorter video gives all it has.
        by: `"uniform"`: the middles of K equal segments, counted in frames. `"segments"`: the same,
            or with a seed a frame of each, drawn (TSN). `"keyframes"`: the keyframes nearest to the
            middles or, where there are fewer than K, the frame of each segment that is cheapest to
            decode. `"motion"`: frames between which about as much happens (MGSampler). Or a
            function of the video that returns scores of all frames `[N]`, or `(frames, scores)` of
            some, of which it is chosen then.
        evidence: What motion is told from, the cheapest first: `"packets"` decodes nothing,
            `"thumbnails"` the keyframes, `"vectors"` and `"pixels"` all frames.
        pick: How scores choose: `"quantiles"` of their distribution (of motion by default), which
            spreads, or the `"top"` K (of your scores by default).
        power: Scores are raised to it for quantiles: 0 ignores them, 3 gathers where they are high.
        size: (height, width) to scale to while decoding; None keeps the video's own.
        read: False: choose only; nothing but the evidence is decoded.
        tolerance_seconds: How far from a chosen frame one that is cheaper to decode may be taken in
            its place.
        seed: For training: draw a frame in each part, instead of its middle: of `"segments"`, and
            of the quantiles of scores.

    Returns:
        The frames, with their scores and what they cost.

    Raises:
        TypeError: This is no source of frames.
        ValueError: A parameter has a value that it cannot have, or scores are not numbers.
        VideoError: The video cannot be opened, or none of the frames can be read.
    """
    _check_video(video)
    check_count("num_frames", num_frames, 1)
    if not callable(by):
        check_in("by", by, _WAYS)
    check_in("evidence", evidence, EVIDENCE)
    pick = pick or ("top" if callable(by) else "quantiles")
    check_in("pick", pick, ("quantiles", "top"))
    if not 0 <= tolerance_seconds < float("inf"):
        raise ValueError(f"tolerance_seconds ({tolerance_seconds}) must be finite and >= 0")
    generator = None if seed is None else torch.Generator().manual_seed(seed)

    async def scored(handle: Handle) -> NDArray[np.float64]:
        if callable(by):
            return _scores(by(video), len(video))
        return await frame_motion(handle, evidence)

    def best(scores_N: NDArray[np.float64]) -> list[int]:
        of = np.flatnonzero(~np.isnan(scores_N))
        if pick == "top":
            places = top_k(scores_N[of], num_frames)
        else:
            places = quantile_frames(scores_N[of], num_frames, power=power, generator=generator)
        return [int(frame) for frame in of[places]]

    async def choose(handle: Handle) -> Selection:
        count, before = await handle.open(), video.spent
        index, scores = video.index, None
        if by == "uniform":
            frames = uniform(count, num_frames)
        elif by == "segments":
            frames = segments(count, num_frames, generator)
        elif by == "keyframes":
            frames = near_cheap(count, num_frames, index.keyframes, index.frame_costs)
        else:
            scores = await scored(handle)
            frames = best(scores)
        if tolerance_seconds:
            times = index.timestamps_seconds
            frames = cheaper(frames, index.frame_costs, times, tolerance_seconds)
        plan, pixels = video.cost(frames), None
        if read:
            frames, pixels = await read_each(handle, frames, size=size)
        return Selection(
            frames=frames,
            timestamps_seconds=index.timestamps_seconds[frames],
            pixels=pixels,
            scores=scores,
            plan=plan,
            cost=video.spent - before,
            faults=tuple(handle.faults),
        )

    engine = Engine(max_in_flight=1, num_threads=1, deterministic=True, count_macs=False)
    (outcome,) = engine.run(choose, [video])
    if outcome.error is not None:
        raise outcome.error
    selection: Selection = outcome.value
    return selection


def _scores(said: Any, num_frames: int) -> NDArray[np.float64]:
    """What a caller's function returned, as scores `[N]`: NaN where it says nothing."""
    named, given = said if isinstance(said, tuple) else (range(num_frames), said)
    frames, scores = (
        np.asarray(one.detach().cpu().tolist() if isinstance(one, Tensor) else one)
        for one in (named, given)
    )
    if scores.shape != frames.shape or scores.ndim != 1 or not len(scores):
        raise ValueError(
            f"by returned scores of shape {scores.shape} for {len(frames)} frames: it must return "
            f"[N] of all {num_frames} frames, or a pair of frame indices and their scores"
        )
    if not np.isfinite(scores).all():
        raise ValueError(
            f"by returned {scores[~np.isfinite(scores)][0]} among its scores: they must be finite; "
            "return (frames, scores) of those frames that have one"
        )
    if frames.min() < 0 or frames.max() >= num_frames:
        raise ValueError(f"by returned scores of frames that are not in 0..{num_frames - 1}")
    all_scores = np.full(num_frames, np.nan)
    all_scores[frames.astype(np.int64)] = scores
    return all_scores


def _check_video(video: Any) -> None:
    """Raise TypeError unless this is a source of frames."""
    if all(callable(getattr(video, name, None)) for name in _NEEDED):
        return
    raise TypeError(
        f"video ({type(video).__name__}) must be a source of frames: open a path, bytes or a file "
        "by temporal.data.Video(path), frames in memory by temporal.data.frames.Frames(array)"
    )
