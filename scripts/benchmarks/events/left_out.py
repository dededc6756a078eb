"""Both contestants where each video is left out: trained, and their settings found, on all others.

Every setting that has a say in which events are told (of frames: penalty, window, threshold, gap;
of the reader: length of places, threshold, gap) is the one with the best F1 on training videos, of
heads that did not learn from them.

V videos, N frames, P places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from dense_events import PENALTIES, WINDOWS_SECONDS, Scanned, fit, windowed
from numpy.typing import NDArray
from timed import Span, Spans, best_setting, joined, rated

from temporal.data import Video
from temporal.data.labelled.events import EventTable, LabelledVideo
from temporal.models.events.cascade import LEVELS, Scores, Thresholds
from temporal.models.events.event_reader import EventReader
from temporal.models.events.places import Places, make_places
from temporal.pipelines.training.events.features import joined_rows, rows_of_video
from temporal.pipelines.training.events.train import EventOptions, new_reader, settle
from temporal.training.events.heads import (
    PlaceRows,
    cross_fitted_logits,
    find_thresholds,
    row_folds,
)

NUM_FOLDS = 6
CUTS = np.linspace(-5.0, 5.0, 41)
"""Thresholds that are tried, as log-odds."""
GAPS_SECONDS = (0.0, 2.0, 5.0)
CHEAPER = ("packets", "small")
"""Levels by which a place may be skipped."""
SKIPS_BY = (("small",), ("packets",), ("packets", "small"))
SLACKS = (0.25, 0.75, 1.25, 2.0, 3.0)
"""Log-odds that margins have beyond what training videos need."""

_Floats = NDArray[np.float64]


def runs(scores_P: _Floats, edges: tuple[_Floats, _Floats], cut: float, gap: float) -> list[Span]:
    """Events of the places that reach a threshold, those joined that lie no further apart."""
    reaching = np.flatnonzero(scores_P >= cut)
    return joined(((float(edges[0][k]), float(edges[1][k])) for k in reaching), gap)


def best_cut(
    scores: Sequence[_Floats],
    edges: Sequence[tuple[_Floats, _Floats]],
    true: Sequence[Spans],
    seconds: float,
) -> tuple[float, float, float]:
    """The best F1 over thresholds and gaps, and these."""
    found = []
    for gap in GAPS_SECONDS:
        said = {
            float(cut): [runs(one, own, cut, gap) for one, own in zip(scores, edges, strict=True)]
            for cut in CUTS
        }
        f1, cut = best_setting(said, true, seconds)
        found.append((f1, cut, gap))
    return max(found, key=lambda one: one[0])


# Dense frames ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DenseHead:
    """A linear score for each frame, and from which one on events are told."""

    weight: torch.Tensor
    bias: torch.Tensor
    window_seconds: float
    cut: float
    gap_seconds: float

    def events(self, scanned: Scanned) -> list[Span]:
        """All that are told of a video."""
        logits = (scanned.features @ self.weight + self.bias).double().numpy()
        scores = windowed(logits, scanned.times, self.window_seconds)
        return runs(scores, frame_edges(scanned.times), self.cut, self.gap_seconds)


def frame_edges(times_N: _Floats) -> tuple[_Floats, _Floats]:
    """From when to when each frame stands: to the middles between them."""
    middles = (times_N[1:] + times_N[:-1]) / 2
    return np.append(times_N[:1], middles), np.append(middles, times_N[-1:])


def train_dense(scanned: Sequence[Scanned], true: Sequence[Spans], seconds: float) -> DenseHead:
    """Fit the head to frames of videos, and find its settings by cross-validation over these."""
    fold = np.arange(len(true)) % NUM_FOLDS
    edges = [frame_edges(one.times) for one in scanned]
    found = []
    for penalty in PENALTIES:
        logits: list[_Floats] = [np.empty(0)] * len(true)
        for held in range(NUM_FOLDS):
            rest = [k for k in range(len(true)) if fold[k] != held]
            weight, bias = fit([scanned[k] for k in rest], [true[k] for k in rest], penalty)
            for k in np.flatnonzero(fold == held):
                logits[k] = (scanned[k].features @ weight + bias).double().numpy()
        for window in WINDOWS_SECONDS:
            scores = [
                windowed(one, s.times, window) for one, s in zip(logits, scanned, strict=True)
            ]
            found.append((*best_cut(scores, edges, true, seconds), window, penalty))
    _, cut, gap, window, penalty = max(found, key=lambda one: one[0])
    weight, bias = fit(scanned, true, penalty)
    return DenseHead(weight, bias, window, cut, gap)


# The reader --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Seen:
    """What training takes of one video, for one length of places."""

    rows: PlaceRows
    places: Places


@dataclass(frozen=True, slots=True)
class Kind:
    """A reader with places of one length, and what it sees of all videos."""

    reader: EventReader
    options: EventOptions
    seen: Sequence[Seen]

    @classmethod
    def of(cls, table: EventTable, place_seconds: float, border_seconds: float) -> Kind:
        """See all videos once: the backbone is frozen."""
        options = EventOptions(
            place_seconds=place_seconds, reader_options={"border_seconds": border_seconds}
        )
        reader = new_reader(table, options)
        seen = [
            Seen(rows_of_video(reader, video, number), places_of(video, place_seconds))
            for number, video in enumerate(table.videos)
        ]
        return cls(reader, options, seen)

    def cross_fitted(self, numbers: Sequence[int]) -> tuple[PlaceRows, dict[str, torch.Tensor]]:
        """Rows of some videos, and what heads say of them that did not learn from them."""
        rows = joined_rows([self.seen[k].rows for k in numbers])
        folds = row_folds(rows, [""] * len(numbers), NUM_FOLDS, self.options.seed)
        return rows, cross_fitted_logits(self.reader, rows, folds, decay=self.options.decay)


def places_of(video: LabelledVideo, place_seconds: float) -> Places:
    """Those that the reader makes of a video."""
    with Video(video.path) as source:
        index = source.index
        return make_places(index.timestamps_seconds, index.keyframes.tolist(), place_seconds)


def train_reader(
    kinds: Mapping[float, Kind], numbers: Sequence[int], true: Sequence[Spans], seconds: float
) -> tuple[EventReader, dict[str, Any]]:
    """Train on some videos; the length of places, and whether any is skipped, are settings.

    Places are skipped as far as F1 is no lower by margins that were found on other videos.

    Args:
        kinds: by the length of places.
        numbers: of the training videos.
        true: their events.
        seconds: that starts may be off.

    Returns:
        The reader, which the next training changes, and its settings.
    """
    tried = {}
    for length, kind in kinds.items():
        rows, logits = kind.cross_fitted(numbers)
        scores, edges = [], []
        for k in numbers:
            is_own = (rows.videos == k) & rows.is_place
            scores.append(logits["full"][is_own, 0].double().numpy())
            edges.append((kind.seen[k].places.start_P, kind.seen[k].places.end_P))
        tried[length] = (*best_cut(scores, edges, true, seconds), rows, logits)
    length = max(tried, key=lambda one: tried[one][0])
    f1, cut, gap, rows, logits = tried[length]
    kind = kinds[length]
    settle(kind.reader, rows, logits, kind.options, threshold=cut)
    skipping = least_reading(kind, rows, logits, numbers, true, (cut, gap, seconds))
    config: Any = kind.reader.config
    config.gap_seconds = gap
    margins = skipping.margins(rows, logits, cut, kind.options.keep_share)
    config.packets_margin, config.small_margin = margins["packets"], margins["small"]
    told = {"place_seconds": length, "cut": cut, "gap_seconds": gap, "f1_of_training": f1}
    return kind.reader, {**told, "skips_by": skipping.levels, "slack": skipping.slack}


@dataclass(frozen=True, slots=True)
class Skipping:
    """By which levels places are skipped, and how carefully."""

    levels: tuple[str, ...]
    slack: float = 0.0

    def margins(
        self, rows: PlaceRows, logits: Mapping[str, torch.Tensor], cut: float, keep_share: float
    ) -> dict[str, float | None]:
        """Of each cheaper level, by what heads said of places; None: it skips nothing."""
        found = find_thresholds(
            dict(logits), rows, keep_share=keep_share, threshold=cut, slack=self.slack
        )
        return {name: found.margins[name] if name in self.levels else None for name in CHEAPER}


def least_reading(
    kind: Kind,
    rows: PlaceRows,
    logits: Mapping[str, torch.Tensor],
    numbers: Sequence[int],
    true: Sequence[Spans],
    settings: tuple[float, float, float],
) -> Skipping:
    """The skipping that reads least of those whose F1 is no lower than where nothing is skipped.

    F1 is that of training videos, each by margins that were found on other ones.

    Args:
        kind: of the places.
        rows: of the training videos.
        logits: of `cross_fitted_logits` on these.
        numbers: of the training videos.
        true: their events.
        settings: threshold, gap, and seconds that starts may be off.
    """
    cut, gap, seconds = settings
    config: Any = kind.reader.config
    small = (config.small_size / config.image_size) ** 2
    tried = [Skipping(())]
    tried += [Skipping(levels, slack) for levels in SKIPS_BY for slack in SLACKS]
    found: dict[Skipping, tuple[float, float]] = {}
    for skipping in tried:
        told: dict[int, list[Span]] = {}
        read = 0.0
        for fold in range(NUM_FOLDS):
            held = numbers[fold::NUM_FOLDS]
            rest_n = ~torch.isin(rows.videos, torch.tensor(held, dtype=torch.int64))
            others = {level: said_nK[rest_n] for level, said_nK in logits.items()}
            margins = skipping.margins(
                rows.take(rest_n.nonzero()[:, 0]), others, cut, kind.options.keep_share
            )
            at = Thresholds(
                event=_score(cut),
                **{name: _score(cut, margins[name]) for name in CHEAPER},
            )
            for k in held:
                scores = Scores(kind.seen[k].places, kind.reader.labels)
                own_n = (rows.videos == k) & rows.is_place
                for number, level in enumerate(LEVELS):
                    scores.levels[number] = logits[level][own_n].sigmoid().numpy()
                events = scores.events(at, gap)
                told[k] = [(one.start_seconds, one.end_seconds) for one in events]
                read += float(scores.read_in_full(at).sum())
                if margins["small"] is not None:
                    read += small * float(scores.open_after_packets(at).sum())
        found[skipping] = rated(true, [told[k] for k in numbers], seconds)["f1"], read
    least = found[tried[0]][0]
    good = [one for one in tried if found[one][0] >= least]
    return min(good, key=lambda one: found[one][1])


def _score(log_odds: float, margin: float | None = 0.0) -> float:
    """As a score from 0 to 1, less a margin; None: everything reaches it."""
    return 0.0 if margin is None else float(1 / (1 + np.exp(margin - log_odds)))
