"""A name is new, expected or there again as two sets tell it, in whatever order names come."""

from __future__ import annotations

import random
import tempfile

import pytest

from temporal.data.names import key_list, known_names, roll_call, sorted_keys
from temporal.data.names.known_names import KnownNames, key_of
from temporal.data.names.roll_call import RollCall


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few names fill what a million fill otherwise."""
    monkeypatch.setattr(known_names, "_MOST_RECENT", 5)
    monkeypatch.setattr(sorted_keys, "_LEAST_CAPACITY", 8)
    monkeypatch.setattr(key_list, "_MOST_BYTES", 16 * 8)
    monkeypatch.setattr(roll_call, "_MOST_EARLY", 6)
    monkeypatch.setattr(roll_call, "_MOST_HELD", 40)


def check(coming: list[str], expected: list[str], *, keeps_order: bool = True) -> None:
    names = KnownNames(expected, keeps_order=keeps_order)
    names.settle()
    roll, met = RollCall(names), set()
    for name in coming:
        due = "again" if name in met else "expected" if name in expected else "new"
        assert roll.meet(key_of(name)) == due
        met.add(name)


NAMES = [f"name {i}" for i in range(300)]


@pytest.mark.parametrize("keeps_order", [True, False])
def test_names_in_their_order_and_those_behind_them(small: None, keeps_order: bool) -> None:
    check([*NAMES, NAMES[0], NAMES[-1]], NAMES[:200], keeps_order=keeps_order)


def test_some_are_left_out_and_some_are_new_between(small: None) -> None:
    check([name for i, name in enumerate(NAMES) if i % 7], NAMES[::2])


@pytest.mark.parametrize("seed", range(6))
def test_in_any_order_and_again(small: None, seed: int) -> None:
    """From a little out of order to none at all: what is near its place, pieces, everything."""
    numbers = random.Random(seed)
    coming = NAMES + numbers.choices(NAMES, k=seed * 20)
    reach = (1, 3, 10, 40, 100, 10**4)[seed]
    coming = sorted(coming, key=lambda name: int(name.split()[1]) + numbers.uniform(0, reach))
    expected = NAMES[:250]
    if seed % 2:  # as parts of several ranks lie
        expected = [*expected[::2], *expected[1::2]]
    check(coming, expected)


def test_backward(small: None) -> None:
    check([*NAMES[::-1], *NAMES], NAMES)


def test_without_a_disk(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    check([*NAMES, *NAMES[5:9]], NAMES[:150])


def test_names_in_their_order_are_not_searched_for(monkeypatch: pytest.MonkeyPatch) -> None:
    names = KnownNames(NAMES, keeps_order=True)
    roll = RollCall(names)
    monkeypatch.setattr(names, "has_key", None)  # a call would be an error
    assert {roll.meet(key_of(name)) for name in NAMES} == {"expected"}
