"""What a row is read by depends on its own columns, whatever rows came before it."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import pytest

from temporal.data.item import Entry, InputError
from temporal.data.tables.row import Columns, entry_maker, entry_of_row

CELLS: dict[str, tuple[Any, ...]] = {
    "text": ("a", "", None, "a\0"),
    "sentence": ("b", None),
    "text_pair": ("c", None, 3),
    "path": ("clips/a.mp4", " ", None),
    "bytes": (b"media", None),
    "id": ("first", "", math.nan, 7),
    "label": ("good", "", None, math.nan),
    "stars": (5, None),
}
OPTIONS: list[dict[str, Any]] = [
    {"kind": "text"},
    {"kind": "text", "others": None},
    {"kind": "text", "others": ("stars", "nowhere"), "id": "id"},
    {"kind": "text", "value": "sentence", "label": "stars", "others": ("label",)},
    {"kind": "text", "value": "label"},
    {"kind": "video", "others": None, "folder": "/media"},
    {"kind": "video", "value": "path", "label": "stars"},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_rows_of_all_kinds_are_read_as_each_is_alone(options: dict[str, Any]) -> None:
    draw = random.Random(0)
    kinds = [
        names for count in range(9) for names in itertools.combinations(CELLS, count)
    ]  # 256: more than are remembered
    columns = Columns(**options)
    for names in draw.choices(kinds, k=2000):
        row = {name: draw.choice(CELLS[name]) for name in names}
        assert entry_of_row(row, columns) == entry_of_row(row, Columns(**options))


def test_each_column_has_its_part_of_an_entry() -> None:
    row = {"sentence": "b", "text": "a", "id": 7, "label": "good", "stars": 5, "empty": ""}
    assert entry_of_row(row, Columns(kind="text", others=None)) == Entry(
        id="7",
        repeats=True,
        value="a",
        extra={"label": "good", "sentence": "b", "stars": 5},
    )
    named = Columns(kind="text", value="sentence", id="id", label="stars", others=("label", "text"))
    assert entry_of_row(row, named) == Entry(
        id="7", value="b", extra={"label": 5, "label.1": "good", "text": "a"}
    )
    assert entry_of_row({"text": "a"}, named).error == InputError(
        reason="bad_row", message="no column 'sentence'; it has 'text': pass column="
    )
    assert entry_of_row({"sentence": "b"}, named).error == InputError(
        reason="bad_row", message="no id column 'id'; it has 'sentence'"
    )
    pair = Columns(kind="text")
    assert entry_of_row({"text": "a", "text_pair": "c"}, pair).value == {
        "text": "a",
        "text_pair": "c",
    }
    assert entry_of_row({"text": "a", "text_pair": None}, pair).value == "a"


@pytest.mark.parametrize("options", OPTIONS)
def test_rows_of_strings_are_read_as_those_with_names(options: dict[str, Any]) -> None:
    draw = random.Random(0)
    cells = ["a", "", "a\0", "é", "\udcff", "clips/a.mp4"]
    columns = Columns(**options)
    for count in range(9):
        kinds = list(itertools.combinations(CELLS, count))
        for names in draw.sample(kinds, min(8, len(kinds))):
            make = entry_maker(names, columns)
            for _ in range(10):
                row = draw.choices(cells, k=count)
                assert make(row) == entry_of_row(dict(zip(names, row, strict=True)), columns)
