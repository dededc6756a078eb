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

    Places are skipped where F1 is no lower by margins that were found on other videos.

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
    found = settle(kind.reader, rows, logits, kind.options, threshold=cut)
    config: Any = kind.reader.config
    config.gap_seconds = gap
    skipping = f1_skipping(kind, rows, logits, numbers, true, (cut, gap, seconds))
    skips = skipping["skipping"] >= skipping["nothing_skipped"]
    if not skips:
        config.packets_margin = config.small_margin = None
    told = {"place_seconds": length, "cut": cut, "gap_seconds": gap, "f1_of_training": f1}
    return kind.reader, {**told, "f1_at_cut": skipping, "skips": skips, "kept": found.kept}


def f1_skipping(
    kind: Kind,
    rows: PlaceRows,
    logits: Mapping[str, torch.Tensor],
    numbers: Sequence[int],
    true: Sequence[Spans],
    settings: tuple[float, float, float],
) -> dict[str, float]:
    """F1 with margins that were found on other training videos, and with nothing skipped.

    Args:
        kind: of the places.
        rows: of the training videos.
        logits: of `cross_fitted_logits` on these.
        numbers: of the training videos.
        true: their events.
        settings: threshold, gap, and seconds that starts may be off.
    """
    cut, gap, seconds = settings
    told: dict[str, dict[int, list[Span]]] = {"skipping": {}, "nothing_skipped": {}}
    for fold in range(NUM_FOLDS):
        held = numbers[fold::NUM_FOLDS]
        rest_n = ~torch.isin(rows.videos, torch.tensor(held, dtype=torch.int64))
        others = {level: said_nK[rest_n] for level, said_nK in logits.items()}
        found = find_thresholds(
            others,
            rows.take(rest_n.nonzero()[:, 0]),
            keep_share=kind.options.keep_share,
            threshold=cut,
        )
        short = {level: _score(cut - margin) for level, margin in found.margins.items()}
        for k in held:
            scores = Scores(kind.seen[k].places, kind.reader.labels)
            own_n = (rows.videos == k) & rows.is_place
            for number, level in enumerate(LEVELS):
                scores.levels[number] = logits[level][own_n].sigmoid().numpy()
            for name, thresholds in (
                ("skipping", Thresholds(event=_score(cut), **short)),
                ("nothing_skipped", Thresholds(event=_score(cut), small=0.0, packets=0.0)),
            ):
                events = scores.events(thresholds, gap)
                told[name][k] = [(one.start_seconds, one.end_seconds) for one in events]
    return {
        name: rated(true, [spans[k] for k in numbers], seconds)["f1"]
        for name, spans in told.items()
    }


def _score(log_odds: float) -> float:
    return float(1 / (1 + np.exp(-log_odds)))
