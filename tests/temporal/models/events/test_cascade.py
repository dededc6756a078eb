"""What levels decide, and borders by bisection: cases counted by hand."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import numpy as np
import pytest

from temporal.models.events.borders import bisect, candidates
from temporal.models.events.cascade import FULL, PACKETS, SMALL, Scores, Thresholds
from temporal.models.events.configuration_event_reader import EventReaderConfig
from temporal.models.events.event_knobs import ScoredVideos
from temporal.models.events.places import make_places


def scores(packets: list[float], small: list[float], full: list[float]) -> Scores:
    places = make_places(np.arange(10 * len(packets) + 1), range(0, 10 * len(packets), 10), 10)
    made = Scores(places, ["a"])
    for level, said in zip((PACKETS, SMALL, FULL), (packets, small, full), strict=True):
        made.levels[level, :, 0] = said
    return made


def test_a_place_is_decided_by_the_last_level_that_is_asked() -> None:
    made = scores([0.1, 0.6, 0.7, 0.8], [0.9, 0.2, 0.6, 0.9], [0.9, 0.9, 0.4, 0.7])
    at = Thresholds(event=0.5, small=0.3, packets=0.2)
    assert made.open_after_packets(at).tolist() == [False, True, True, True]
    assert made.open_after_small(at).tolist() == [False, False, True, True]
    assert made.final(at)[:, 0] == pytest.approx([0.1, 0.2, 0.4, 0.7])
    (event,) = made.events(at)
    assert (event.start_seconds, event.end_seconds) == (30, 40)
    assert event.score == pytest.approx(0.7)


def test_only_full_frames_say_that_something_happens() -> None:
    made = scores([0.9, 0.9], [0.8, 0.8], [math.nan, 0.1])  # the first cannot be read
    at = Thresholds(event=0.5, small=0.0, packets=0.0)
    assert made.final(at).max() < 0.5 and made.events(at) == []
    everything = Thresholds(event=0.0, small=0.0, packets=0.0)
    (event,) = made.events(everything)
    assert (event.start_seconds, event.end_seconds) == (0, 20)


def test_thresholds_follow_from_one() -> None:
    config = EventReaderConfig(event_threshold=0.5, small_margin=math.log(3), packets_margin=None)
    at = Thresholds.of(config)
    assert (at.event, at.small, at.packets) == (0.5, pytest.approx(0.25), 0.0)
    assert Thresholds.of(config, 0.75).small == pytest.approx(0.5)
    assert Thresholds.of(config, 0.0).small == 0.0
    assert Thresholds.of(config, 1.0).small == 1.0
    # So a lower threshold opens no fewer places, whatever was said.
    levels = [Thresholds.of(config, level).small for level in np.linspace(0, 1, 21)]
    assert levels == sorted(levels)


def test_other_thresholds_are_told_from_one_reading() -> None:
    config = EventReaderConfig(small_margin=0.0, packets_margin=2.0, border_seconds=None)
    one = scores([0.1, 0.6, 0.7, 0.8], [0.9, 0.2, 0.6, 0.9], [0.9, 0.9, 0.4, 0.7])
    scored = ScoredVideos(config=config, scores=[one], rows=[0])
    (told,) = scored.events({"event_threshold": 0.5})
    assert [event.start_seconds for event in told] == [30]
    share = (112 / 224) ** 2
    # Packets leave 3 open (their threshold is 0.12), small frames 2; one event is told.
    assert scored.costs({"event_threshold": 0.5}) == pytest.approx([2 * 3 * share + 2 * 2 + 1])
    assert scored.costs({"event_threshold": 0.0}) == pytest.approx([2 * 4 * share + 2 * 4 + 1])


@pytest.mark.parametrize(
    "fields", [{"event_threshold": 1.2}, {"halt": "soon"}, {"border_seconds": 0}]
)
def test_settings_that_cannot_be_are_named(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        EventReaderConfig(**fields)


def test_candidates_lie_no_further_apart_than_the_tolerance() -> None:
    times = np.arange(101) * 0.1
    assert candidates(times, 0, 100, 2.5) == [0, 25, 50, 75, 100]
    assert candidates(times, 0, 100, 20) == [0, 100]
    assert candidates(times, 4, 5, 0.001) == [4, 5]


def test_beside_an_event_places_are_read_whatever_cheaper_levels_say() -> None:
    one = scores([0.9] * 5, [0.1, 0.1, 0.9, 0.1, 0.1], [0.2, 0.8, 0.9, 0.3, 0.9])
    thresholds = Thresholds(event=0.5, small=0.5, packets=0.5)
    # The second and third are one run, of which the third is read; the last lies apart from it.
    assert one.read_in_full(thresholds).tolist() == [True, True, True, True, False]
    assert one.final(thresholds)[:, 0] == pytest.approx([0.2, 0.8, 0.9, 0.3, 0.1])
    (event,) = one.events(thresholds)
    assert (event.start_seconds, event.end_seconds) == (10, 30)
    one.levels[FULL, [0, 1, 3, 4]] = np.nan  # a reading that halted at the third
    assert one.final(thresholds)[:, 0] == pytest.approx([0.1, 0.1, 0.9, 0.1, 0.1])


@pytest.mark.parametrize("border", [0.5, 3, 49.9, 77, 99.5])
def test_bisection_finds_where_a_border_is(border: float) -> None:
    asked = []

    async def is_before(low: int, middle: int, high: int) -> bool:
        assert low < middle < high and low <= border <= high
        asked.append(middle)
        return border < middle

    low, high = asyncio.run(bisect(range(101), is_before))
    assert low <= border <= high and high - low == 1
    assert len(asked) <= math.ceil(math.log2(100))
