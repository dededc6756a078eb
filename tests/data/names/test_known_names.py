"""Sets of names answer as a set of Python does, whatever the names, and wherever they lie."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from temporal.data import collect
from temporal.data.names import key_list, known_names, sorted_keys, unique_names
from temporal.data.names.key_filter import KeyFilter
from temporal.data.names.key_list import KeyList
from temporal.data.names.known_names import KnownNames, key_of
from temporal.data.names.sorted_keys import SortedKeys
from temporal.data.names.unique_names import UniqueNames

ODD = [
    "",
    " ",
    "\0",
    "a",
    "a\0",
    "A",
    "ä",
    "a\u0308",
    "ä" * 10,
    "\udcff",
    "日本",
    "🙂",
    "x" * 10**6,
]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few names fill what a million fill otherwise."""
    monkeypatch.setattr(known_names, "_MOST_RECENT", 5)
    monkeypatch.setattr(sorted_keys, "_BLOCK", 16)
    monkeypatch.setattr(sorted_keys, "_LEAST_CAPACITY", 8)
    monkeypatch.setattr(sorted_keys, "_LOOKS", 3)
    monkeypatch.setattr(unique_names, "_MOST_COUNTS", 2)
    monkeypatch.setattr(key_list, "_MOST_BYTES", 64)


def check_against_a_set(seed: int, count: int) -> None:
    numbers = random.Random(seed)
    names, expected = KnownNames(ODD), set(ODD)
    for step in range(count):
        name = f"name {numbers.randrange(count)}"
        assert (name in names) == (name in expected)
        assert names.add(name) == (name not in expected)
        expected.add(name)
        assert len(names) == len(expected)
        if step == count // 2:
            names.settle()
    assert all(name in names for name in expected)
    assert not any(f"{name}?" in names for name in expected)
    assert 7 not in names


@pytest.mark.parametrize("seed", range(3))
def test_names_are_known_as_in_a_set(small: None, seed: int) -> None:
    check_against_a_set(seed, 700)


def test_many_names_are_known_as_in_a_set() -> None:
    names = KnownNames(f"name {i}" for i in range(150_000))
    names.settle()
    assert len(names) == 150_000
    assert all(f"name {i}" in names for i in range(0, 150_000, 11))
    assert not any(f"name {i}" in names for i in range(150_000, 160_000))
    assert not names.add("name 149999") and names.add("name 150000")


@pytest.mark.parametrize("refused_from", [0, 3, 8])
def test_a_disk_that_is_full_changes_nothing(
    small: None, monkeypatch: pytest.MonkeyPatch, refused_from: int
) -> None:
    real, made = tempfile.TemporaryFile, iter(range(10**6))

    def refuse(*arguments: Any, **options: Any) -> Any:
        if next(made) >= refused_from:
            raise OSError(28, "No space left on device")
        return real(*arguments, **options)

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    check_against_a_set(0, 200)
    numbers = KeyList()
    for number in range(50):
        numbers.append(str(number))
    assert list(numbers) == [key_of(str(number)) for number in range(50)]


def test_nothing_is_left_behind(
    small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    names = KnownNames(map(str, range(100)))
    assert "99" in names and list(tmp_path.iterdir()) == []


def test_keys_that_begin_alike_are_told_apart(small: None) -> None:
    keys = SortedKeys()
    halves = [bytes(8), b"\xff" * 8, b"\1" * 8]
    put = [first + bytes([number] * 8) for first in halves for number in range(20)]
    for start in range(0, len(put), 4):
        keys.put(put[start : start + 4])
    keys.settle()
    assert all(key in keys for key in put)
    assert not any(
        first + bytes([20 + number] * 8) in keys for first in halves for number in (0, 9)
    )


def test_a_filter_misses_nothing_and_passes_little() -> None:
    numbers = np.random.default_rng(0)
    keys = numbers.integers(0, 2**64, (2, 40_000), dtype=np.uint64)
    made = KeyFilter(20_000)
    made.add(*keys[:, :20_000])
    passed = [made.may_hold(int(high), int(low)) for high, low in keys.T]
    assert all(passed[:20_000])
    assert sum(passed[20_000:]) < 200


def reference(names: Iterator[str]) -> Iterator[str]:
    """The first name that is free, from the number of times that a name came."""
    seen: dict[str, int] = {}
    for name in names:
        times = seen[name] = seen.get(name, 0) + 1
        unique = name
        while times > 1 and (unique := f"{name}#{times}") in seen:
            times += 1
        seen.setdefault(unique, 1)
        yield unique


@pytest.mark.parametrize("seed", range(4))
def test_each_name_is_given_once(small: None, seed: int) -> None:
    numbers = random.Random(seed)
    stems = [*"abcdef", "a#2", "a#3", "b#2", "b#2#2", "c#9", "", "#2", "ä\0"]
    wanted = numbers.choices(stems, k=600)
    names = UniqueNames()
    given = [names.take(name) for name in wanted]
    assert given == list(reference(iter(wanted)))
    assert len(set(given)) == len(given)


def test_a_collection_with_ids_that_come_again(small: None) -> None:
    long = "x" * 10**5
    wanted = ["é", long, "é", "a#2", "a", "a", "é", long, "e\u0301"]
    rows = [{"text": "x", "name": name} for name in wanted]
    items = list(collect(rows, kind="text", id_column="name"))
    given = ["é", long, "é#2", "a#2", "a", "a#3", "é#3", f"{long}#2", "e\u0301"]
    assert [item.id for item in items] == given
    assert [item.error is not None for item in items] == [
        one != other for one, other in zip(wanted, given, strict=True)
    ]
