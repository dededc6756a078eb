"""Contestants take turns, and each sees every item in its order."""

from collections.abc import Sequence
from functools import partial

import pytest

from temporal.pipelines.benchmark.interleaved import clock_by_item


@pytest.mark.parametrize(
    ("in_turn", "first_round"),
    [
        (1, ["a0", "b0", "b1", "a1", "a2", "b2"]),
        (2, ["a0", "a1", "b0", "b1", "b2", "a2"]),
        (5, ["a0", "a1", "a2", "b0", "b1", "b2"]),
    ],
)
def test_each_turn_has_another_begin(in_turn: int, first_round: list[str]) -> None:
    calls: list[str] = []

    def contestant(name: str, items: Sequence[int]) -> list[int]:
        calls.extend(f"{name}{item}" for item in items)
        return [10 * item for item in items]

    contestants = {name: partial(contestant, name) for name in "ab"}
    clocked = clock_by_item(contestants, [0, 1, 2], rounds=2, in_turn=in_turn)
    assert calls[:2] == ["a0", "b0"]  # warm up
    assert calls[2:8] == first_round
    assert calls[8][0] == "b"
    assert {name: results for name, (_, results) in clocked.items()} == {
        name: [0, 10, 20] * 2 for name in "ab"
    }
