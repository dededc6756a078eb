"""How a video is cut into places, and what packets say of them: cases counted by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from temporal.models.events.places import Places, Profiles, make_places, share_inside


def pairs(places: Places) -> list[tuple[int, int]]:
    return list(zip(places.first_P.tolist(), places.last_P.tolist(), strict=True))


def spans(places: Places) -> list[tuple[float, float]]:
    return list(zip(places.start_P.tolist(), places.end_P.tolist(), strict=True))


def test_places_are_the_spans_between_keyframes() -> None:
    places = make_places(np.arange(31) + 7.0, [0, 10, 20], 10)  # a clock that begins at 7
    assert pairs(places) == [(0, 10), (10, 20), (20, 30)]
    assert spans(places) == [(0, 10), (10, 20), (20, 30)]


def test_a_second_keyframe_at_a_cut_belongs_to_the_place_before() -> None:
    # Keyframes at 0, 10, 10.2, 20.2: what lies between 10 and 10.2 is not looked at.
    times = np.arange(102) * 0.2
    places = make_places(times, [0, 50, 51, 101], 10)
    assert pairs(places) == [(0, 50), (51, 101)]
    assert places.start_P == pytest.approx([0, 10.2])
    assert places.end_P == pytest.approx([10.2, 20.2])


def test_dense_keyframes_are_thinned_and_long_spans_split() -> None:
    times = np.arange(41) * 0.5  # 20 seconds
    dense = make_places(times, range(41), 4)  # every frame is a keyframe
    assert pairs(dense) == [(k, k + 4) for k in range(0, 40, 4)]  # half a place is enough
    long = make_places(times, [0], 4)
    assert pairs(long) == [(k, k + 8) for k in range(0, 40, 8)]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_short_videos_have_one_place(count: int) -> None:
    places = make_places(np.arange(count) / 25, [0], 10)
    assert pairs(places) == [(0, count - 1)]
    assert spans(places) == [(0.0, (count - 1) / 25)]


def test_every_moment_lies_in_one_place() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        count = int(random.integers(2, 400))
        times = np.cumsum(random.exponential(0.3, count))
        keys = np.flatnonzero(random.random(count) < random.choice([0.0, 0.02, 0.3, 1.0]))
        places = make_places(times, keys.tolist(), float(random.choice([0.5, 5, 50])))
        assert places.start_P[0] == 0 and places.end_P[-1] == pytest.approx(times[-1] - times[0])
        assert (places.start_P[1:] == places.end_P[:-1]).all()
        assert (places.first_P <= places.last_P).all() and (np.diff(places.first_P) > 0).all()


def test_profiles_say_where_a_span_moves() -> None:
    motion = np.ones(40)
    motion[30:] = 3.0
    index = SimpleNamespace()  # one that tells no sizes has no levels
    profiles = Profiles(motion, index, 2)
    first, last = np.array([0, 20]), np.array([20, 40 - 1])
    calm, moving = profiles.of(first, last)
    assert calm == pytest.approx(np.zeros(6))
    high = np.log(3.05) - np.log(1.05)
    # Parts of 19 frames are 9 and 10 long: one of the second lies before the change.
    mixed = np.log((1 + 9 * 3) / 10 + 0.05) - np.log(1.05)
    assert moving[:2] == pytest.approx([0.0, mixed], abs=1e-6) and mixed < high
    assert moving[2:4] == pytest.approx(sorted([0.0, mixed]), abs=1e-6)
    assert Profiles(motion, index, 0).of(first, last).shape == (2, 0)
    # Of a part of a stream, what came before says what is usual: mostly 3 here.
    after_much, _ = Profiles(motion, index, 2, np.full(100, 3.0)).of(first, last)
    assert after_much[:2] == pytest.approx([-high, -high], abs=1e-6)
    # Spans that are shorter than their parts have profiles, too.
    assert np.isfinite(profiles.of(np.array([39, 5]), np.array([39, 6]))).all()


def test_shares_are_of_what_is_shorter() -> None:
    assert share_inside(0, 10, [(5, 25)]) == 0.5
    assert share_inside(0, 10, [(2, 4)]) == 1.0  # all of the event lies in the place
    assert share_inside(0, 10, [(10, 12), (20, 30)]) == 0.0
    assert share_inside(0, 10, [(-5, 1), (8, 20)]) == pytest.approx(0.2)
    assert share_inside(0, 10, [(3, 3)]) == share_inside(3, 3, [(0, 10)]) == 1.0  # a moment
    assert share_inside(0, 10, []) == 0.0
