"""`select`: good frames of a video, by what is cheap to know of it.

>>> import temporal
>>> from temporal.data import Video
>>> chosen = temporal.select(Video("clip.mp4"), num_frames=16, by="motion", size=(224, 224))
>>> chosen.pixels.shape, chosen.cost.frames_decoded, chosen.timestamps_seconds
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...checks import check_count, check_in
from ...engine import Engine
from ...handle import Handle
from ...policies.read import uniform
from ...policies.select import cheaper, near_cheap, quantile_frames, segments, to_cheap, top_k
from ...policies.spread import runs_of
from ...source import FrameSource
from ..video.motion import EVIDENCE, frame_motion
from ..video.reading import read_each
from .clock import metadata_fields
from .image_text import FunctionScores, ImageText, scorer_of
from .question import PICKS, Answer, differing, fitting
from .selection import Selection

Scorer = Callable[[Any], Any]
"""A video to the scores of its frames, `[N]`, or to a pair of frames and their scores."""

_WAYS = ("uniform", "segments", "keyframes", "motion", "query", "diverse")
_MOVES = ("uniform", "motion")
"""Ways whose frames may be moved to keyframes near them, where nothing else was asked for."""
_NEEDED = ("read", "glance", "motion", "expect", "cost")
_POWER_OF_QUERIES = 5.0
_LONG = 16
"""Frames decoded for each frame chosen, above which keyframes are taken instead."""


def select(
    video: FrameSource,
    num_frames: int = 16,
    *,
    by: Literal["uniform", "segments", "keyframes", "motion", "query", "diverse"]
    | Scorer
    | None = None,
    query: str | None = None,
    model: Any = None,
    processor: Any = None,
    evidence: Literal["packets", "thumbnails", "vectors", "pixels"] = "packets",
    pick: Literal["quantiles", "top", "adaptive", "routed", "log_det"] | None = None,
    power: float | None = None,
    max_scored: int | None = None,
    pairs: bool | int = False,
    size: tuple[int, int] | None = None,
    read: bool = True,
    tolerance_seconds: float | None = None,
    seed: int | None = None,
) -> Selection:
    """Choose frames of a video, and read them.

    Args:
        video: A `temporal.data.Video`, an isolated one, or another source of frames.
        num_frames: K, how many; a shorter video gives all it has.
        by: `"uniform"`: the middles of K equal segments, counted in frames. `"segments"`: the same,
            or with a seed a frame of each, drawn (TSN). `"keyframes"`: the keyframes nearest to the
            middles or, where there are fewer than K, the frame of each segment that is cheapest to
            decode. `"motion"`: frames between which about as much happens (MGSampler). `"query"`:
            frames that fit a question: of candidates (the keyframes where there are enough, at most
            one a second) small pictures are made, few are scored, and what looks alike is taken to
            fit alike. `"diverse"`: of the same candidates, frames that differ (VKF), by the vectors
            of `model` or, without one, as small pictures. Or a function of the video that returns
            scores of all frames `[N]`, or `(frames, scores)` of some, of which it is chosen then.
            None: `"query"` with a query or a function as model, else `"uniform"`.
        query: The question, or what to look for.
        model: What scores frames for it: the name or folder of a CLIP or SigLIP model, a loaded one
            (with its processor), a `temporal.models.selection.image_text.ImageText` that is made
            once for many videos, or a function of frames, uint8 `[K, 3, height, width]`, that
            returns `[K]` scores (in `size`, or 224 x 224).
        processor: Of a loaded model: with a `tokenizer` and an `image_processor`.
        evidence: What motion is told from, the cheapest first: `"packets"` decodes nothing,
            `"thumbnails"` the keyframes, `"vectors"` and `"pixels"` all frames.
        pick: How scores choose: `"quantiles"` of their distribution (of motion and queries by
            default: BOLT), which spreads; the `"top"` K (of your own by default); and of queries
            `"adaptive"` (AKS), `"routed"` (uniform where no scores stand out) or `"log_det"` (of
            those that were scored, frames that fit and differ: AdaRD, MDP3).
        power: Scores are raised to it for quantiles: 0 ignores them, larger ones gather where they
            are high. Default: 0.5, and 5 of queries (BOLT has 3, of scores that are not guessed
            and so differ more).
        max_scored: How many frames may be scored for a query or compared, at most. Default: one in
            20 seconds and at least 4, and where keyframes are few, two of five or half as many more
            as `num_frames`; twice `num_frames` where only those can be chosen.
        pairs: True: frames come in pairs of neighbours, as models want that merge two
            (`temporal_patch_size`); or how many they merge. `num_frames` counts all.
        size: (height, width) to scale to while decoding; None keeps the video's own.
        read: False: choose only; nothing but the evidence is decoded.
        tolerance_seconds: How far from a chosen frame one that is cheaper to decode may be taken in
            its place; 0: exact. Default: exact where reading these decodes at most 16 frames for
            each, as with keyframes a second apart; else a frame is moved to the keyframe nearest to
            it, one of its own, at most half as far as uniform frames are apart. That is of
            `"uniform"` and `"motion"`: the others choose of frames that are cheap, or exactly.
        seed: For training: draw a frame in each part, instead of its middle: of `"segments"`, and
            of the quantiles of scores.

    Returns:
        The frames, with their times, scores and what they cost.

    Raises:
        TypeError: This is no source of frames, or no model.
        ValueError: A parameter has a value that it cannot have or that does not go with the others,
            or scores are not numbers.
        OSError: There is no such model.
        VideoError: The video cannot be opened, or none of the frames can be read.
    """
    _check_video(video)
    check_count("num_frames", num_frames, 1)
    if by is None:
        own = callable(model) and not isinstance(model, (torch.nn.Module, ImageText))
        by = "query" if query is not None or own else "uniform"
    if not callable(by):
        check_in("by", by, _WAYS)
    check_in("evidence", evidence, EVIDENCE)
    pick = pick or ("top" if callable(by) else "quantiles")
    check_in("pick", pick, PICKS if by == "query" else PICKS[:2])
    if power is None:
        power = _POWER_OF_QUERIES if by == "query" else 0.5
    if not 0 <= power < float("inf"):
        raise ValueError(f"power ({power}) must be a finite number >= 0")
    if tolerance_seconds is not None and not 0 <= tolerance_seconds < float("inf"):
        raise ValueError(f"tolerance_seconds ({tolerance_seconds}) must be finite and >= 0")
    run = _run_length(pairs, num_frames)
    if max_scored is not None:
        check_count("max_scored", max_scored, num_frames // run if pick == "log_det" else 1)
    scorer = _scorer(by, query, model, processor, size, pick)
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    num_chosen = num_frames // run

    def best(scores_N: NDArray[np.float64]) -> list[int]:
        of = np.flatnonzero(~np.isnan(scores_N))
        if pick == "top":
            places = top_k(scores_N[of], num_chosen)
        else:
            places = quantile_frames(scores_N[of], num_chosen, power=power, generator=generator)
        return [int(frame) for frame in of[places]]

    async def chosen(handle: Handle) -> Answer:
        count, index = len(handle), handle.index
        if by == "query":
            assert scorer is not None
            return await fitting(
                handle,
                scorer,
                query,
                num_chosen,
                pick=pick,
                power=power,
                max_scored=max_scored,
                generator=generator,
            )
        if by == "diverse":
            assert not isinstance(scorer, FunctionScores)
            return await differing(handle, scorer, num_chosen, max_scored=max_scored)
        scores = None
        if by == "uniform":
            frames = uniform(count, num_chosen)
        elif by == "segments":
            frames = segments(count, num_chosen, generator)
        elif by == "keyframes":
            frames = near_cheap(count, num_chosen, index.keyframes, index.frame_costs)
        else:
            own = _scores(by(video), count) if callable(by) else None
            scores = own if own is not None else await frame_motion(handle, evidence)
            frames = best(scores)
        return Answer(frames=frames, scores=scores)

    async def choose(handle: Handle) -> Selection:
        start = time.perf_counter()
        count, before = await handle.open(), video.spent
        spent = (scorer.frames_scored, scorer.model_seconds) if scorer else (0, 0.0)
        index = video.index
        answer = await chosen(handle)
        frames = answer.frames
        if tolerance_seconds:
            places = index.timestamps_seconds
            frames = cheaper(frames, index.frame_costs, places, tolerance_seconds)
        elif tolerance_seconds is None and by in _MOVES:
            frames = _moved(video, frames)
        frames = runs_of(frames, run, count) if run > 1 else frames
        plan, pixels = video.cost(frames), None
        if read:
            frames, pixels = await read_each(handle, frames, size=size)
        now = (scorer.frames_scored, scorer.model_seconds) if scorer else (0, 0.0)
        return Selection(
            frames=frames,
            timestamps_seconds=index.timestamps_seconds[frames],
            pixels=pixels,
            scores=answer.scores,
            frames_scored=now[0] - spent[0],
            plan=plan,
            cost=dataclasses.replace(video.spent - before, model_seconds=now[1] - spent[1]),
            seconds=time.perf_counter() - start,
            faults=tuple(handle.faults),
            metadata_fields=metadata_fields(index, frames),
        )

    engine = Engine(max_in_flight=1, num_threads=1, deterministic=True, count_macs=False)
    (outcome,) = engine.run(choose, [video])
    if outcome.error is not None:
        raise outcome.error
    selection: Selection = outcome.value
    return selection


def _scorer(
    by: Any, query: str | None, model: Any, processor: Any, size: Any, pick: str
) -> ImageText | FunctionScores | None:
    """What scores frames, checked against the other parameters."""
    if query is not None and (not isinstance(query, str) or not query.strip()):
        raise ValueError(f"query ({query!r}) must be a text that says what to look for")
    if by not in ("query", "diverse"):
        given = {"query": query, "model": model, "processor": processor}
        named = [name for name, value in given.items() if value is not None]
        if named:
            raise ValueError(
                f"{' and '.join(named)} cannot be used with by={by!r}: pass by='query' to choose "
                "frames that fit a question"
            )
        return None
    if by == "query" and query is None and model is None:
        raise ValueError("by='query' needs a query= and a model= that scores frames for it")
    scorer = scorer_of(model, processor, query if by == "query" else None, size)
    if by == "query" and isinstance(scorer, ImageText) and query is None:
        raise ValueError(
            "by='query' needs a query=: what the model is to look for (by='diverse' needs none)"
        )
    if isinstance(scorer, FunctionScores) and (by == "diverse" or pick == "log_det"):
        raise ValueError(
            "model must give vectors to find frames that differ: a name, a folder or a loaded "
            "model, no function of scores"
        )
    if by == "diverse" and query is not None:
        raise ValueError(f"query ({query!r}) is not for by='diverse': pass by='query'")
    return scorer


def _run_length(pairs: bool | int, num_frames: int) -> int:
    """How many neighbours stand together."""
    run = 2 if pairs is True else int(pairs or 1)
    check_count("pairs", run, 1)
    if num_frames % run:
        raise ValueError(
            f"num_frames ({num_frames}) must be a multiple of {run}, as many as pairs= puts "
            "together"
        )
    return run


def _moved(video: FrameSource, frames: list[int]) -> list[int]:
    """Frames moved to keyframes near them, where they are long to read."""
    index = video.index
    if video.cost(frames).frames_decoded <= _LONG * len(frames):
        return frames
    times = index.timestamps_seconds
    reach = float(index.duration_seconds) / len(frames) / 2
    return to_cheap(frames, [int(frame) for frame in index.keyframes], times, reach)


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
        "by temporal.data.Video(path), frames in memory by temporal.data.frames.Frames(array); or "
        "call temporal.pipelines.select, which opens them"
    )
