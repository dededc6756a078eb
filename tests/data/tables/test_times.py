"""Rows that mean a part of a video: it is the input, and never the whole one in silence."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import datasets
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from temporal.data import Item, VideoPart, collect
from temporal.data.loading.loading import find_clips
from temporal.data.tables.times import is_whole, name_of_part, part_in, part_named

ROWS = [
    {"path": "a.mp4", "start_seconds": 1.5, "end_seconds": 3.0},
    {"path": "a.mp4", "start_seconds": 3.0, "end_seconds": None},
    {"path": "a.mp4", "start_seconds": None, "end_seconds": None},
    {"path": "b.mp4", "start_seconds": 0.0, "end_seconds": None},
    {"path": "c.mp4", "start_seconds": 4.0, "end_seconds": 2.0},
]
FOUND = [
    ("a.mp4#t=1.5,3", (1.5, 3.0)),
    ("a.mp4#t=3,", (3.0, None)),
    ("a.mp4", None),
    ("b.mp4", None),  # from its beginning to its end: all of it
    ("c.mp4#t=4.0,2.0", "bad_row"),  # as it was written
]


def short(items: Any) -> list[tuple[str, Any]]:
    return [(item.id, said_of(item)) for item in items]


def said_of(item: Any) -> Any:
    """Why there is no input, the part that it is, or None of a whole one."""
    if item.error is not None:
        return item.error.reason
    return item.value.part if isinstance(item.value, VideoPart) else None


def write(kind: str, folder: Path) -> Any:
    frame = pandas.DataFrame(ROWS)
    if kind == "csv":
        frame.to_csv(folder / "t.csv", index=False)
        return str(folder / "t.csv")
    if kind == "jsonl":
        (folder / "t.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
        return folder / "t.jsonl"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), folder / "t.parquet")
        return folder / "t.parquet"
    if kind == "datasets":
        return datasets.Dataset.from_list(ROWS)
    return {"arrow": pa.Table.from_pylist(ROWS), "pandas": frame, "rows": ROWS}[kind]


KINDS = ["csv", "jsonl", "parquet", "datasets", "arrow", "pandas", "rows"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_is_an_input_of_its_own_name_in_whatever_holds_the_rows(
    kind: str, tmp_path: Path
) -> None:
    table = write(kind, tmp_path)
    items = list(collect(table, kind="video"))
    # The whole file was named by one row only: none of the others is its duplicate.
    assert short(items) == FOUND
    in_file = isinstance(table, str | Path)
    assert (
        items[0].value.source == items[2].value == (str(tmp_path / "a.mp4") if in_file else "a.mp4")
    )
    assert items[4].error is not None and items[4].value is None
    assert "start_seconds (4) must be < end_seconds (2)" in items[4].error.message
    told = list(collect(table, kind="video", other_columns=None))
    assert told[0].extra == {"start_seconds": 1.5, "end_seconds": 3.0} or kind == "csv"


def test_times_may_say_something_else() -> None:
    given: Any = {"kind": "video", "paths_repeat": True, "times_are_parts": False}
    items = list(collect(ROWS, other_columns=("start_seconds",), **given))
    assert [item.error for item in items] == [None] * 5
    assert [item.extra.get("start_seconds") for item in items] == [1.5, 3.0, None, 0.0, 4.0]


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"start": "2"}, (2.0, None)),
        ({"end": 2}, (None, 2.0)),
        ({"start_seconds": "", "start": "2"}, (2.0, None)),
        ({"start": "nan"}, "bad_row"),
        ({"start": "inf"}, "bad_row"),
        ({"start": True}, "bad_row"),
        ({"start": [1]}, "bad_row"),
        ({"start": 3, "end": 3}, "bad_row"),
        ({"start": "soon"}, "bad_row"),
        ({"start": "-1"}, "bad_row"),
        ({"start": "", "end": "  "}, None),
        ({"start": float("nan"), "end": None}, None),
        ({"start": "0"}, None),
    ],
)
def test_the_short_names_and_cells_of_any_kind(cells: dict[str, Any], reason: Any) -> None:
    (item,) = collect([{"video": "a.mp4", **cells}], kind="video")
    assert said_of(item) == reason


def test_a_name_that_a_row_gives_stays_and_texts_are_not_concerned() -> None:
    (item,) = collect([{"id": "mine", "path": "a.mp4", "start": 1}], kind="video")
    assert item.id == "mine" and said_of(item) == (1.0, None)
    rows = [{"text": "one two", "start_seconds": 1.0, "end": 2}]
    assert [item.error for item in collect(rows, kind="text")] == [None]


def test_a_part_that_is_given_itself(tmp_path: Path) -> None:
    given = [VideoPart("a.mp4", 1, 2), {"video": VideoPart("a.mp4", 1, 9), "start": 2, "end": 3}]
    items = list(collect(given, kind="video"))
    assert [item.id for item in items] == ["a.mp4#t=1,2", "a.mp4#t=1,9#t=2,3"]
    twin, whole = list(
        collect([*given, VideoPart("a.mp4", 1, 2), {"video": "a.mp4"}], kind="video")
    )[2:]
    assert short([twin, whole]) == [("a.mp4#t=1,2#2", (1.0, 2.0)), ("a.mp4", None)]
    rows = [{"video": "a.mp4", "start": 1}] * 2  # as whole files that a table names twice
    assert short(collect(rows, kind="video"))[1] == ("a.mp4#t=1,#2", "duplicate_id")


def test_archives_tell_times_beside_their_videos(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for name, told in (("a", {"start_seconds": 1, "end_seconds": 2}), ("b", {"label": "run"})):
            for suffix, content in (("mp4", b"a video"), ("json", json.dumps(told).encode())):
                info = tarfile.TarInfo(f"{name}.{suffix}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    items: list[Item] = list(collect(tmp_path / "x.tar", kind="video"))
    assert list(map(said_of, items)) == [(1.0, 2.0), None]
    assert items[0].id.endswith("a.mp4#t=1,2")


def test_who_reads_parts_gets_them_as_before(tmp_path: Path) -> None:
    lines = ["path,label,start,end", "a.mp4,run,1.5,3", "a.mp4,run,,", "a.mp4,run,x,"]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    rows = list(find_clips(str(tmp_path / "t.csv")))
    assert [(row.start_seconds, row.end_seconds) for row in rows[:2]] == [(1.5, 3.0), (None, None)]
    assert rows[2].error is not None and "start ('x') must be a number" in rows[2].error.message


def test_how_parts_are_called() -> None:
    assert part_in({"start_seconds": "1", "start": "9", "end": 2.5}) == (1.0, 2.5)
    assert name_of_part("a", (None, 2.0)) == "a#t=0,2"
    assert name_of_part("a", (None, None)) == "a"
    assert name_of_part("a", (1234.567891, 10000000.0)) == "a#t=1234.567891,10000000"
    assert name_of_part("a", (0.1 + 0.2, None)) == "a#t=0.3,"
    for part in ((1.5, None), (0.0, 2.0), (1234.567891, 1300.0)):
        assert part_named(name_of_part("b#t=1,2", part)) == ("b#t=1,2", part)
    for other in ("a", "a#t=", "a#t=1", "a#t=x,2", "a#t=2,1", "a#t=1.2.3,", "#t=1,2"):
        assert part_named(other) is None
    assert is_whole((0.0, None)) and not is_whole((0.0, 2.0))
