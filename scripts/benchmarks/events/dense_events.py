"""What a reader of events is measured against: frames at a fixed rate, or so many uniform ones.

A frame is scored by a linear head on the features of a frozen backbone, trained on frames of the
training videos; a video by the largest mean score of a window. Penalty, window and
threshold are the best by cross-validation over the training videos.

Shapes: N frames of a video, D feature width.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from temporal.data import Video
from temporal.policies.read import uniform

_BATCH = 16
_READ = 64
"""Frames that are decoded at a time: memory is bounded whatever the video's length."""
_FOLDS = 5
PENALTIES = (1e-3, 1e-2, 1e-1)
WINDOWS_SECONDS = (0.0, 3.0, 6.0, 10.0)

Features = Callable[[Tensor], Tensor]
"""uint8 `[B, 3, H, W]` to float32 `[B, D]`."""
Events = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Scanned:
    """The frames of a video that were looked at."""

    times: NDArray[np.float64]
    """Seconds, `[N]`."""
    features: Tensor
    """float32 `[N, D]`."""


def frames_at(times: NDArray[np.float64], fps: float | None, count: int | None) -> list[int]:
    """Indices of frames at a rate, or of so many uniform ones, of a video shown at these times."""
    if count is not None:
        return uniform(len(times), count)
    assert fps is not None
    wanted = np.arange(times[0] + 0.5 / fps, times[-1], 1 / fps)
    return sorted({int(frame) for frame in np.searchsorted(times, wanted, side="right") - 1})


def scan(
    path: str | Path,
    features: Features,
    *,
    size: tuple[int, int],
    fps: float | None = None,
    count: int | None = None,
) -> Scanned:
    """Decode and embed frames in time order, each once."""
    with Video(path) as video:
        times = np.asarray(video.index.timestamps_seconds)
        frames = frames_at(times, fps, count)
        rows: list[Tensor] = []
        for first in range(0, len(frames), _READ):
            pixels = video.read(frames[first : first + _READ], size=size)
            rows += [features(part) for part in pixels.split(_BATCH)]
    return Scanned(times[frames], torch.cat(rows))


def scan_all(
    paths: Iterable[Path], features: Features, cache_dir: Path, *, key: str, **how: Any
) -> list[Scanned]:
    """`scan` of each, kept on disk by file, its size and date, `key` and how it is read."""
    cache_dir.mkdir(parents=True, exist_ok=True)
    found = []
    for path in tqdm(list(paths), desc=f"scan {how}"):
        told = path.stat()
        name = repr((path.resolve(), told.st_size, told.st_mtime_ns, key, sorted(how.items())))
        file = cache_dir / f"{hashlib.blake2b(name.encode(), digest_size=12).hexdigest()}.npz"
        if file.exists():
            with np.load(file) as kept:
                scanned = Scanned(kept["times"], torch.from_numpy(kept["features"]))
        else:
            scanned = scan(path, features, **how)
            np.savez(file, times=scanned.times, features=scanned.features.numpy())
        found.append(scanned)
    return found


def thinned(scanned: Scanned, count: int) -> Scanned:
    """Of many frames those nearest to so many uniform ones."""
    first, last = scanned.times[0], scanned.times[-1]
    wanted = first + (np.arange(count) + 0.5) * (last - first) / count
    places = np.searchsorted((scanned.times[1:] + scanned.times[:-1]) / 2, wanted)
    kept = np.unique(places)
    return Scanned(scanned.times[kept], scanned.features[torch.from_numpy(kept)])


@dataclass(frozen=True, slots=True)
class FrameHead:
    """A linear score for each frame, and what is made of the scores."""

    weight: Tensor
    bias: Tensor
    window_seconds: float
    threshold: float

    def scores(self, scanned: Scanned) -> NDArray[np.float64]:
        """Mean logit of a window around each frame, `[N]`."""
        logits: NDArray[np.float64] = (scanned.features @ self.weight + self.bias).double().numpy()
        return windowed(logits, scanned.times, self.window_seconds)

    def event(self, scanned: Scanned) -> tuple[float, float] | None:
        """Start and end of the event found, in seconds: the frames around the best that hold it."""
        scores = self.scores(scanned)
        best = int(scores.argmax())
        if scores[best] <= self.threshold:
            return None
        inside = scores > min(self.threshold, scores[best] / 2)
        first = last = best
        while first > 0 and inside[first - 1]:
            first -= 1
        while last + 1 < len(scores) and inside[last + 1]:
            last += 1
        return float(scanned.times[first]), float(scanned.times[last])


def windowed(
    values: NDArray[np.float64], times: NDArray[np.float64], seconds: float
) -> NDArray[np.float64]:
    """Means of the values within half so many seconds of each."""
    first = np.searchsorted(times, times - seconds / 2, side="left")
    stop = np.searchsorted(times, times + seconds / 2, side="right")
    sums = np.concatenate([[0.0], np.cumsum(values)])
    means: NDArray[np.float64] = (sums[stop] - sums[first]) / (stop - first)
    return means


def train_head(scanned: Sequence[Scanned], events: Sequence[Events]) -> FrameHead:
    """Fit the head on videos and their events; settings by cross-validation over the videos."""
    has = np.array([len(one) > 0 for one in events])
    # Every other fold takes as many videos of both kinds.
    order = np.argsort(has, kind="stable")
    fold = np.empty(len(has), dtype=int)
    fold[order] = np.arange(len(has)) % _FOLDS
    best: tuple[float, float, float, float] | None = None
    for penalty in PENALTIES:
        logits: list[NDArray[np.float64]] = [np.empty(0)] * len(has)
        for held in range(_FOLDS):
            rest = [k for k in range(len(has)) if fold[k] != held]
            weight, bias = fit([scanned[k] for k in rest], [events[k] for k in rest], penalty)
            for k in np.flatnonzero(fold == held):
                logits[k] = (scanned[k].features @ weight + bias).double().numpy()
        for window in WINDOWS_SECONDS:
            tops = np.array(
                [
                    windowed(one, s.times, window).max()
                    for one, s in zip(logits, scanned, strict=True)
                ]
            )
            accuracy, threshold = best_threshold(tops, has)
            if best is None or accuracy > best[0]:
                best = accuracy, penalty, window, threshold
    assert best is not None
    _, penalty, window, threshold = best
    weight, bias = fit(scanned, events, penalty)
    return FrameHead(weight, bias, window, threshold)


def best_threshold(scores: NDArray[np.float64], has: NDArray[np.bool_]) -> tuple[float, float]:
    """The largest balanced accuracy of `scores > threshold`, and that threshold."""
    ordered = np.unique(scores)
    cuts = [(low + high) / 2 for low, high in itertools.pairwise(ordered)] or [ordered[0]]
    rated = [(balanced_accuracy(scores > cut, has), float(cut)) for cut in cuts]
    return max(rated, key=lambda one: one[0])


def balanced_accuracy(found: NDArray[np.bool_], has: NDArray[np.bool_]) -> float:
    """Mean of the shares that are right of videos with an event and of those without."""
    return float((found[has].mean() + (~found[~has]).mean()) / 2)


def fit(
    scanned: Sequence[Scanned], events: Sequence[Events], penalty: float
) -> tuple[Tensor, Tensor]:
    """Logistic regression on frames, classes balanced: weight `[D]` of raw features, and bias."""
    rows = torch.cat([one.features for one in scanned])
    inside = torch.cat(
        [
            torch.from_numpy(
                np.any([(one.times >= a) & (one.times < b) for a, b in own], axis=0)
                if own
                else np.zeros(len(one.times), dtype=bool)
            )
            for one, own in zip(scanned, events, strict=True)
        ]
    ).float()
    mean, deviation = rows.mean(0), rows.std(0).clamp_min(1e-6)
    rows = (rows - mean) / deviation
    share = inside.mean()
    weights = torch.where(inside > 0, 0.5 / share, 0.5 / (1 - share))
    weight = torch.zeros(rows.shape[1], requires_grad=True)
    bias = torch.zeros((), requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        fits = F.binary_cross_entropy_with_logits(rows @ weight + bias, inside, weights)
        total = fits + penalty * weight.square().sum()
        total.backward()
        return total

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    raw = (weight / deviation).detach()
    return raw, (bias.detach() - (raw * mean).sum())
