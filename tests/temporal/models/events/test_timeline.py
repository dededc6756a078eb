"""From places and their scores to events: cases counted by hand."""

from __future__ import annotations

import pytest

from temporal.models.events.event import Event, EventsFound
from temporal.models.events.timeline import EventTracker, events_of


def spans(events: list[Event]) -> list[tuple[float, float, str, float]]:
    return [(e.start_seconds, e.end_seconds, e.label, e.score) for e in events]


def test_neighbouring_places_make_one_event_and_distant_ones_two() -> None:
    scores = [0.1, 0.6, 0.9, 0.2, 0.7, 0.1]
    places = [(5.0 * k, 5.0 * k + 5, [score]) for k, score in enumerate(scores)]
    assert spans(events_of(places, ["a"])) == [(5, 15, "a", 0.9), (20, 25, "a", 0.7)]
    # With a gap of one place allowed they are one.
    assert spans(events_of(places, ["a"], gap_seconds=5)) == [(5, 25, "a", 0.9)]
    assert events_of(places, ["a"], threshold=0.95) == []


def test_labels_are_told_apart_and_may_overlap() -> None:
    places = [(0.0, 1.0, [0.8, 0.1]), (1.0, 2.0, [0.8, 0.9]), (2.0, 3.0, [0.1, 0.9])]
    assert spans(events_of(places, ["a", "b"])) == [(0, 2, "a", 0.8), (1, 3, "b", 0.9)]


def test_an_event_is_told_when_certain_and_again_when_over() -> None:
    tracker = EventTracker(["a"], threshold=0.5, certain=0.9)
    assert tracker.take(0, 2, [0.6]) == []  # it may be one
    (first,) = tracker.take(2, 4, [0.95])
    assert first.is_open and (first.start_seconds, first.end_seconds) == (0, 4)
    assert first.delay_seconds == 4
    assert tracker.take(4, 6, [0.97]) == []  # told already
    (last,) = tracker.take(6, 8, [0.0])
    assert not last.is_open and (last.start_seconds, last.end_seconds) == (0, 6)
    assert (last.score, last.told_seconds, last.delay_seconds) == (0.97, 8, 8)
    assert tracker.finish() == []


def test_what_is_open_at_the_end_is_told_at_the_end() -> None:
    tracker = EventTracker(["a", "b"], certain=0.9)
    assert tracker.take(0, 2, [0.6, 0.3]) == []
    (event,) = tracker.finish()
    assert spans([event]) == [(0, 2, "a", 0.6)] and not event.is_open
    assert tracker.finish() == []


def test_nothing_grows_while_a_stream_goes_on() -> None:
    tracker = EventTracker(["a"], certain=0.9, gap_seconds=0)
    told = []
    for k in range(10_000):
        told += tracker.take(k, k + 1, [1.0 if k % 10 == 0 else 0.0])
    assert len(told) == 2000 and sum(event.is_open for event in told) == 1000
    assert all(event.delay_seconds == 1 for event in told if event.is_open)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"threshold": 1.5}, "threshold"),
        ({"certain": 0.2}, "certain"),
        ({"gap_seconds": -1.0}, "gap_seconds"),
    ],
)
def test_what_cannot_be_is_named(fields: dict[str, float], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        EventTracker(["a"], **fields)


def test_places_that_cannot_be_are_refused() -> None:
    tracker = EventTracker(["a"])
    with pytest.raises(ValueError, match="scores"):
        tracker.take(0, 1, [0.5, 0.5])
    with pytest.raises(ValueError, match="end_seconds"):
        tracker.take(3, 1, [0.5])


def test_what_was_found_has_scores_where_nothing_was() -> None:
    nothing = EventsFound(scores={"a": 0.2, "b": 0.3})
    assert nothing.score == 0.3 and nothing.best_first() == ()
    low, high = (
        Event(start_seconds=s, end_seconds=s + 1, label="a", score=p)
        for s, p in ((0, 0.6), (5, 0.9))
    )
    found = EventsFound(events=(low, high), scores={"a": 0.9})
    assert found.best_first() == (high, low)
    assert high.overlap_seconds(5.5, 9) == 0.5 and high.overlap_seconds(0, 1) == 0
