"""What is made ahead: the same results in the same order, bounded, and nothing left running."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from temporal.pipelines import ahead
from temporal.pipelines.ahead import made_ahead


def squares(values: Any, **options: Any) -> Any:
    return made_ahead(lambda k: k * k, values, options.get("may", lambda _: True))


def test_results_come_in_order() -> None:
    assert list(squares(range(9))) == [k * k for k in range(9)]
    assert list(squares([])) == []
    assert list(squares(range(9), may=lambda k: k % 2 == 0)) == [k * k for k in range(9)]


def test_it_is_made_in_another_thread_where_it_may() -> None:
    caller = threading.get_ident()
    made = made_ahead(
        lambda k: (k, threading.get_ident() == caller), range(6), lambda k: k not in (3, 4)
    )
    # Of the first it is not known yet for how long it will be used.
    assert list(made) == [(k, k in (0, 1, 3, 4)) for k in range(6)]


def test_values_are_taken_here_and_one_ahead_at_most() -> None:
    taken: list[int] = []
    threads = set()

    def values() -> Iterator[int]:
        for k in range(10):
            threads.add(threading.get_ident())
            taken.append(k)
            yield k

    for count, result in enumerate(squares(values())):
        assert result == count * count
        assert len(taken) <= count + 2
    assert threads == {threading.get_ident()}


def test_nothing_is_taken_ahead_of_what_is_used_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_QUICK_SECONDS", 0.0)
    taken: list[int] = []
    for count, _ in enumerate(squares(taken.append(k) or k for k in range(5))):
        assert taken == list(range(count + 1))


@pytest.mark.parametrize("last", [0, 1, 4])
def test_results_before_an_error_of_the_values_come_first(last: int) -> None:
    def values() -> Iterator[int]:
        yield from range(last)
        raise ValueError("the table ends here")

    found = []
    with pytest.raises(ValueError, match="ends here"):
        for result in squares(values()):
            found.append(result)
    assert found == [k * k for k in range(last)]


@pytest.mark.parametrize("bad", [0, 1, 5])
def test_an_error_of_the_making_comes_at_its_turn(bad: int) -> None:
    found = []
    with pytest.raises(ZeroDivisionError):
        for result in made_ahead(lambda k: 1 / (k - bad), range(9), lambda _: True):
            found.append(result)
    assert found == [1 / (k - bad) for k in range(bad)]


def test_whoever_stops_leaves_no_thread() -> None:
    before = threading.active_count()
    running = squares(iter(range(1000)))
    for _ in range(4):
        next(running)
    running.close()
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


def test_one_value_needs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "ThreadPoolExecutor", None)
    assert list(squares([3])) == [9]
