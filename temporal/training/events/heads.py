"""Fit the heads of an `EventReader` on features of a frozen backbone, and the margins between them.

Every level's head is a convex problem (`fit_linear`) on its own. What the heads say of places that
they did not learn from (cross-fitted by groups) tells from which score on a place is an event, and
by how much a cheaper level may fall short of that before a place is skipped.

n places, D feature width, M profile width, K labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from ...models.events.event_reader import EventReader
from ..linear_probe import fit_linear

_HALF = 0.5
_SHORT = 0.25
"""See `slack`."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PlaceRows:
    """Places of labelled videos as the heads see them, and more spans of their frames."""

    profiles: Tensor
    """float32 `[n, M]`."""
    features: Tensor
    """float16 `[n, 2, D]`, of the first and the last frame at full size."""
    small_features: Tensor | None
    """float16 `[n, 2, D]`, at the small size; None: there is no such level."""
    seconds: Tensor
    """`[n]`, between the two frames."""
    shares: Tensor
    """`[n, K]`, how much of each lies in an event (`share_inside`), 0 to 1."""
    is_place: Tensor
    """bool `[n]`; False: another span, which the head of borders alone learns from."""
    videos: Tensor
    """int64 `[n]`, the number of each one's video."""
    digests: Tensor
    """int64 `[n]`, equal for spans of the same packets: copies of one recording."""

    def take(self, rows: Tensor) -> PlaceRows:
        """Some of the rows."""
        taken: dict[str, Any] = {
            field.name: None if value is None else value[rows]
            for field in fields(self)
            for value in [getattr(self, field.name)]
        }
        return replace(self, **taken)

    def __len__(self) -> int:
        return len(self.profiles)


def fit_heads(
    reader: EventReader,
    rows: PlaceRows,
    *,
    decay: float = 0.003,
    names: Sequence[str] | None = None,
) -> EventReader:
    """Fit the heads; the backbone stays as it is.

    Args:
        reader: trained in place.
        rows: with every label in some, and not in others.
        decay: weight of the squared weights, of standardised numbers, in the loss.
        names: of the heads that are fitted; None: all.

    Raises:
        ValueError: a label is in no row, or in all.
    """
    _check_both(reader, rows)
    for name in reader.heads if names is None else names:
        own = rows if name == "border" else rows.take(rows.is_place)
        states = level_states(reader, name, own)
        probe = fit_linear(
            states,
            own.shares,
            own.shares.shape[1],
            class_weights=balanced(own.shares),
            decay=decay,
        )
        head: Any = reader.heads[name]
        with torch.no_grad():
            head.mean.copy_(probe.mean)
            head.scale.copy_(probe.scale)
            head.linear.weight.copy_(probe.weight.T)
            head.linear.bias.copy_(probe.bias)
    return reader.eval()


def level_states(reader: EventReader, level: str, rows: PlaceRows) -> Tensor:
    """What a head sees of rows, float32 `[n, X]`."""
    if level == "packets":
        return rows.profiles.float()
    pairs = rows.small_features if level == "small" else rows.features
    assert pairs is not None
    pairs = pairs.float()
    return reader.pair_states(pairs[:, 0], pairs[:, 1], rows.seconds.float(), rows.profiles)


def balanced(shares_nK: Tensor) -> Tensor:
    """Weights `[n, K]` under which places inside events count as much as all others, by label."""
    inside_nK = shares_nK >= _HALF
    share_K = inside_nK.float().mean(0).clamp(min=1e-6, max=1 - 1e-6)
    return torch.where(inside_nK, 0.5 / share_K, 0.5 / (1 - share_K))


def cross_fitted_logits(
    reader: EventReader, rows: PlaceRows, fold_n: Tensor, *, decay: float = 0.003
) -> dict[str, Tensor]:
    """What heads say of places that they did not learn from, `[n, K]` for each level.

    Nor from copies of these places elsewhere. Rows that are no places are NaN.

    Args:
        reader: whose heads are fitted anew for each fold; how they end has no meaning.
        rows: of all videos.
        fold_n: int64 `[n]`, see `row_folds`.
        decay: as of `fit_heads`.
    """
    logits = {level: torch.full(rows.shares.shape, math.nan) for level in reader.levels}
    for fold in sorted(set(fold_n.tolist())):
        held_n = (fold_n == fold) & rows.is_place
        learn_n = (fold_n != fold) & ~torch.isin(rows.digests, rows.digests[held_n])
        learned = rows.take((learn_n & rows.is_place).nonzero()[:, 0])
        fit_heads(reader, learned, decay=decay, names=reader.levels)
        held = rows.take(held_n.nonzero()[:, 0])
        for level, said_nK in logits.items():
            with torch.no_grad():
                said_nK[held_n] = reader.heads[level](level_states(reader, level, held)).float()
    return logits


def row_folds(rows: PlaceRows, groups_V: Sequence[str], num_folds: int, seed: int) -> Tensor:
    """The fold of each row, int64 `[n]`: groups of videos stay whole.

    Where there are no two groups, what stays whole is a video; or, where recordings come in several
    videos (clips that were joined), a recording.

    Args:
        rows: of V videos.
        groups_V: the group of each; "": it has none.
        num_folds: at most.
        seed: of their order.

    Raises:
        ValueError: there are no two things to part.
    """
    if len(set(groups_V)) > 1 and all(groups_V):
        keys = [groups_V[video] for video in rows.videos.tolist()]
    else:
        pairs = torch.stack([rows.digests, rows.videos], 1).unique(dim=0)
        digests, counts = pairs[:, 0].unique(return_counts=True)
        copied = set(digests[counts > 1].tolist())
        keys = [
            f"copies {digest}" if digest in copied else f"video {video}"
            for digest, video in zip(rows.digests.tolist(), rows.videos.tolist(), strict=True)
        ]
    names = sorted(set(keys))
    if len(names) < 2:
        raise ValueError(f"videos ({len(groups_V)}) must be at least 2 to find thresholds by")
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed)).tolist()
    fold_of = {name: order[k] % num_folds for k, name in enumerate(names)}
    return torch.tensor([fold_of[key] for key in keys])


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """Thresholds from what heads said of places that they did not learn from, and how good."""

    event_threshold: float
    margins: dict[str, float]
    """By level, see `EventReaderConfig.small_margin`."""
    recall: float
    """Share of events that full frames find."""
    specificity: float
    """Share of videos without an event of a label in which none is found; of places, where every
    video has one."""
    kept: dict[str, float]
    """By level, the share of places that it leaves open."""


def find_thresholds(
    logits: dict[str, Tensor],
    rows: PlaceRows,
    *,
    keep_share: float = 0.98,
    threshold: float | None = None,
    slack: float = _SHORT,
) -> Found:
    """Where an event begins to be one, and how far cheaper levels may fall short of that.

    The threshold is where a logistic curve through the best scores of events, and of videos without
    one, says that either is as likely (both counting alike): among few videos, the score that
    happened to part them best would be chance. Margins are such that of the events which full
    frames find, `keep_share` are left open.

    Args:
        logits: of `cross_fitted_logits`.
        rows: the same.
        keep_share: 0 to 1.
        threshold: as log-odds, where it is known; margins are those that go with it.
        slack: log-odds that are added to a margin: scores of videos that were not seen spread
            wider.
    """
    spans, quiet = _spans(rows)
    hits, others = _best(logits["full"], spans, quiet)
    if threshold is None:
        threshold = _even_odds(hits, others)
    recall = sum(hit >= threshold for hit in hits) / len(hits)
    specificity = sum(one < threshold for one in others) / len(others)
    found = [span for span, hit in zip(spans, hits, strict=True) if hit >= threshold]
    margins, kept = {}, {}
    for level, said_nK in logits.items():
        if level == "full":
            continue
        # Never closer than where this level itself is of two minds.
        cut = _even_odds(*_best(said_nK, spans, quiet))
        lows = sorted(float(said_nK[rows_r, k].max()) for rows_r, k in found)
        if lows:
            cut = min(cut, lows[math.floor((1 - keep_share) * len(lows))] - slack)
        margins[level] = max(-50.0, min(50.0, threshold - cut))
        kept[level] = float((said_nK[rows.is_place].amax(-1) >= cut).float().mean())
    score = 1 / (1 + math.exp(-threshold))
    return Found(
        event_threshold=score,
        margins=margins,
        recall=recall,
        specificity=specificity,
        kept=kept,
    )


_Span = tuple[Tensor, int]
"""Row numbers, and a label."""


def _spans(rows: PlaceRows) -> tuple[list[_Span], list[_Span]]:
    """The places of each event; and what is without one: videos, else single places."""
    events: list[_Span] = []
    quiet: list[_Span] = []
    for k in range(rows.shares.shape[1]):
        is_inside_n = rows.shares[:, k] >= _HALF
        for video in rows.videos.unique():
            own_n = (rows.videos == video) & rows.is_place
            inside = (own_n & is_inside_n).nonzero()[:, 0]
            if len(inside):
                breaks = (inside.diff() > 1).nonzero()[:, 0] + 1
                events += [(run, k) for run in torch.tensor_split(inside, breaks)]
            elif own_n.any():
                quiet.append((own_n.nonzero()[:, 0], k))
    if not quiet:  # every video has all that can happen
        for k in range(rows.shares.shape[1]):
            outside = (rows.is_place & (rows.shares[:, k] < _HALF)).nonzero()[:, 0]
            quiet += [(row[None], k) for row in outside]
    return events, quiet


def _best(
    said_nK: Tensor, events: Sequence[_Span], quiet: Sequence[_Span]
) -> tuple[list[float], list[float]]:
    """The best score of each event, and of each span without one."""
    both = [[float(said_nK[rows_r, k].max()) for rows_r, k in spans] for spans in (events, quiet)]
    return both[0], both[1]


def _even_odds(hits: Sequence[float], quiet: Sequence[float]) -> float:
    """The threshold of even odds."""
    said_n1 = torch.tensor([*hits, *quiet])[:, None]
    is_hit_n1 = (torch.arange(len(said_n1)) < len(hits)).float()[:, None]
    curve = fit_linear(said_n1, is_hit_n1, 1, class_weights=balanced(is_hit_n1), decay=1e-3)
    slope = float(curve.weight)
    middle = (sum(hits) / len(hits) + sum(quiet) / len(quiet)) / 2
    cut = middle
    if slope > 0:  # else scores tell nothing
        cut = float(curve.mean - curve.scale * curve.bias / slope)
    return cut


def _check_both(reader: EventReader, rows: PlaceRows) -> None:
    inside_nK = rows.take(rows.is_place).shares >= _HALF
    for k, name in enumerate(reader.labels):
        count = int(inside_nK[:, k].sum())
        if count in (0, len(inside_nK)):
            raise ValueError(
                f"label {name!r} must be in some places and not in others, and is in {count} of "
                f"{len(inside_nK)}: give more videos, or another place_seconds"
            )
