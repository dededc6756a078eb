"""Thresholds of a reader of events, and what is certain of its misses: cases counted by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from temporal.models.events.cascade import Scores
from temporal.models.events.configuration_event_reader import EventReaderConfig
from temporal.models.events.event import Event
from temporal.models.events.event_knobs import ScoredVideos
from temporal.models.events.places import make_places
from temporal.training.calibration import PolicyGrid, certify
from temporal.training.events.heads import PlaceRows, balanced, find_thresholds, row_folds
from temporal.training.events.missed import certified_points, missed_grid, overlaps

CONFIG = EventReaderConfig(profile_bins=0, small_size=None, border_seconds=None)


def event(start: float, end: float, label: str = "a") -> Event:
    return Event(start_seconds=start, end_seconds=end, label=label, score=1.0)


def videos(*full: list[float]) -> ScoredVideos:
    """Videos of places of ten seconds, by what full frames say of them."""
    made = []
    for said in full:
        places = make_places(np.arange(10 * len(said) + 1), range(0, 10 * len(said), 10), 10)
        scores = Scores(places, ["a"], glances=False)
        scores.levels[:, :, 0] = [[1.0] * len(said), [np.nan] * len(said), said]
        made.append(scores)
    return ScoredVideos(config=CONFIG, scores=made, rows=list(range(len(made))))


def test_misses_and_false_alarms_are_counted() -> None:
    scored = videos([0.1, 0.9, 0.2, 0.6], [0.3, 0.1, 0.1, 0.1])
    true = [[event(12, 18)], [event(31, 35)]]
    policies: list[Any] = [{"event_threshold": level} for level in (0.0, 0.25, 0.5, 0.95)]
    grid, alarms = missed_grid(scored, true, policies)
    assert grid.losses_PN.tolist() == [[False] * 2, [False, True], [False, True], [True, True]]
    # At 0.25: the place from 30 to 40 of the first, and that from 0 to 10 of the second.
    assert [one.events for one in alarms] == [0, 2, 1, 0]
    assert alarms[1].per_hour == pytest.approx(2 * 3600 / 80)
    # Two frames for each place that is read, which is all, and one look at each event.
    assert grid.costs_PN[:, 0].tolist() == [8 + 1, 8 + 1.5, 8 + 1, 8]


def test_bounds_are_of_all_misses_and_the_safest_point_loses_nothing() -> None:
    scored = videos(*[[0.9]] * 28, [0.2])
    grid, alarms = missed_grid(
        scored, [[event(1, 2)]] * 29, [{"event_threshold": level} for level in (0.0, 0.1, 0.5)]
    )
    points = certify(grid, risk="missed_events", confidence=0.95)
    none, one = (1 - 0.05 ** (1 / 29)), points[2].drop_bound
    assert [point.drop for point in points] == pytest.approx([0, 0, 1 / 29])
    assert points[0].drop_bound == 0 and points[1].drop_bound == pytest.approx(none, abs=2e-4)
    assert none < 0.1 and one is not None and one > 0.1
    kept, left = certified_points(grid, alarms)
    assert len(kept) == len(left) and kept[0].policy == {"event_threshold": 0.0}


def test_a_bound_that_was_named_in_advance_holds() -> None:
    """Of many calibrations, at most one in twenty chooses a threshold that misses more."""
    limit, wrong = 0.2, 0
    levels = torch.linspace(0, 0.6, 9)
    policies: list[Any] = [{"event_threshold": float(level)} for level in levels]
    for seed in range(60):
        scores = torch.rand(60, generator=torch.Generator().manual_seed(seed))
        losses = scores < levels[:, None]
        costs = torch.ones(len(levels), 60, dtype=torch.float64)
        grid = PolicyGrid(policies=policies, losses_PN=losses, costs_PN=costs, cost_unit="frames")
        points = certify(grid, risk="missed_events", confidence=0.95)
        safe = [point for point in points if (point.drop_bound or 0) <= limit]
        wrong += safe[-1].policy["event_threshold"] > limit  # scores are uniform: so many below it
    assert wrong <= 8  # 3 expected at most, and three deviations


def test_events_that_cannot_be_in_their_video_are_refused() -> None:
    policies: list[Any] = [{"event_threshold": 0.0}]
    with pytest.raises(ValueError, match="start_seconds"):
        missed_grid(videos([0.5]), [[event(11, 12)]], policies)
    with pytest.raises(ValueError, match="must have an event"):
        missed_grid(videos([0.5]), [[]], policies)
    assert overlaps(event(0, 1), event(1, 2)) and not overlaps(event(0, 1), event(1.1, 2))
    assert not overlaps(event(0, 1), event(0, 1, "b"))


def rows(shares: list[float], videos: list[int], digests: list[int] | None = None) -> PlaceRows:
    count = len(shares)
    return PlaceRows(
        profiles=torch.zeros(count, 1),
        features=torch.zeros(count, 2, 1),
        small_features=None,
        seconds=torch.ones(count),
        shares=torch.tensor(shares)[:, None],
        is_place=torch.ones(count, dtype=torch.bool),
        videos=torch.tensor(videos),
        digests=torch.tensor(digests or list(range(count))),
    )


def test_folds_keep_groups_or_copies_whole() -> None:
    made = rows([0.0] * 6, [0, 0, 1, 1, 2, 2], [7, 8, 7, 9, 10, 11])
    by_group = row_folds(made, ["x", "x", "y"], 5, seed=0).tolist()
    assert len(set(by_group[:4])) == 1 and by_group[0] != by_group[4]
    alone = row_folds(made, ["", "", ""], 5, seed=0).tolist()
    assert alone[0] == alone[2]  # one recording in two videos
    assert alone[4] == alone[5]  # the same video
    with pytest.raises(ValueError, match="at least 2"):
        row_folds(rows([0.0], [0]), [""], 5, seed=0)


def test_thresholds_lie_between_events_and_what_is_none() -> None:
    shares = [1.0, 0.9, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    made = rows(shares, [0, 0, 0, 1, 1, 2, 2, 3])
    full = torch.tensor([4.0, 3.0, -5.0, 4.0, -4.0, -4.0, -6.0, -4.0])[:, None]
    packets = torch.tensor([2.0, 1.0, -1.0, 3.0, 0.0, -2.0, -2.0, -2.0])[:, None]
    found = find_thresholds({"packets": packets, "full": full}, made)
    assert (found.recall, found.specificity) == (1.0, 1.0)
    assert found.event_threshold == pytest.approx(0.5, abs=1e-3)  # midway of 4 and -4
    # Packets are of two minds midway of 2.5 and -2: no event comes as close.
    assert found.margins["packets"] == pytest.approx(-0.25, abs=0.2)
    assert found.kept == {"packets": pytest.approx(3 / 8)}


def test_rare_places_count_as_much_as_all_others() -> None:
    weights = balanced(torch.tensor([[1.0], [0.0], [0.2], [0.4]]))
    assert weights[:, 0].tolist() == pytest.approx([2.0, 2 / 3, 2 / 3, 2 / 3])
    assert float(weights[1:].sum()) == pytest.approx(2.0)
