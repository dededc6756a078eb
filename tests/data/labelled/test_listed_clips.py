"""Labelled clips from folders and tables, as people have them."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from temporal.data.labelled.listed_clips import list_clips


def touch(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")


def test_a_folder_for_each_class_is_enough(tmp_path: Path) -> None:
    touch(tmp_path / "walk" / "a.mp4", tmp_path / "run" / "day 1" / "b.mkv")
    touch(tmp_path / "run" / "notes.txt", tmp_path / "README.mp4", tmp_path / ".git" / "c.mp4")
    found = list_clips(tmp_path)
    assert found.names == ["run", "walk"] and not found.several
    told = [(Path(clip.path).name, clip.label, clip.split) for clip in found.clips]
    assert told == [("b.mkv", 0, ""), ("a.mp4", 1, "")]


def test_folders_above_the_classes_name_splits(tmp_path: Path) -> None:
    touch(tmp_path / "Train" / "10" / "a.mp4", tmp_path / "val" / "9" / "b.mp4")
    touch(tmp_path / "test" / "10" / "c.mp4")
    found = list_clips(tmp_path)
    assert found.names == ["9", "10"]  # by number
    by_name = {Path(clip.path).name: (clip.label, clip.split) for clip in found.clips}
    assert by_name == {"a.mp4": (1, "train"), "b.mp4": (0, "validation"), "c.mp4": (1, "test")}


ROWS = [
    {"path": "a.mp4", "label": "up", "group": "x", "split": "train", "start": 1.5, "end": 4.0},
    {"path": "sub/b.mp4", "label": "down", "group": None, "split": "dev", "start": None},
]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "json", "parquet"])
def test_tables_say_the_same_in_every_form(kind: str, tmp_path: Path) -> None:
    table = tmp_path / f"list.{kind}"
    if kind == "csv":
        lines = ["path,label,group,split,start,end", "a.mp4,up,x,train,1.5,4.0"]
        table.write_text("\n".join([*lines, "sub/b.mp4,down,,dev,,"]))
    elif kind == "jsonl":
        table.write_text("\n".join(map(json.dumps, ROWS)) + "\n\n")
    elif kind == "json":
        table.write_text(json.dumps(ROWS))
    else:
        pq.write_table(pa.Table.from_pylist(ROWS), table)
    found = list_clips(table)
    assert found.names == ["down", "up"]
    first, second = found.clips
    assert (first.label, first.group, first.split) == (1, "x", "train")
    assert (first.start_seconds, first.end_seconds) == (1.5, 4.0)
    assert first.path == str((tmp_path / "a.mp4").resolve())
    assert (second.label, second.group, second.split) == (0, "", "validation")
    assert (second.start_seconds, second.end_seconds) == (None, None)
    assert second.path == str((tmp_path / "sub" / "b.mp4").resolve())


def test_clips_may_have_several_labels_or_none(tmp_path: Path) -> None:
    table = tmp_path / "list.csv"
    table.write_text("file,tags\na.mp4,cat|dog\nb.mp4,\nc.mp4,dog | dog\n")
    found = list_clips(table, video_column="file", label_column="tags", several=True)
    assert found.several and found.names == ["cat", "dog"]
    assert [clip.labels for clip in found.clips] == [(0, 1), (), (1,)]
    lists = tmp_path / "list.jsonl"
    lists.write_text('{"path": "a.mp4", "label": ["b", "a"]}\n{"path": "c.mp4", "label": []}')
    assert [clip.labels for clip in list_clips(lists).clips] == [(1, 0), ()]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("path,label\na.mp4,\n", "row 1: the row has no label, in the column 'label'"),
        ("path,label,start\na.mp4,x,soon\n", r"row 1: start \('soon'\) must be a number of sec"),
        ("path,label,start,end\na.mp4,x,3,2\n", r"row 1: start_seconds \(3\) must be < end_sec"),
        ("path,label,start\na.mp4,x,-1\n", "must be a number of seconds >= 0"),
        ("path,label\n", "holds no labelled video"),
        ("path,class\na.mp4,x\n", "no label, in the column 'label'"),
    ],
)
def test_a_row_that_is_not_right_is_named(text: str, told: str, tmp_path: Path) -> None:
    table = tmp_path / "list.csv"
    table.write_text(text)
    with pytest.raises(ValueError, match=told):
        list_clips(table)


def test_what_holds_no_clips_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not there"):
        list_clips(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="a folder of videos for each class"):
        list_clips(tmp_path)
    (tmp_path / "list.xlsx").write_bytes(b"")
    with pytest.raises(ValueError, match="must be a folder of classes"):
        list_clips(tmp_path / "list.xlsx")
    (tmp_path / "bad.jsonl").write_text('{"path": "a.mp4", "label": "x"}\n{"path"')
    found = list_clips(tmp_path / "bad.jsonl")  # a broken row costs itself alone
    assert [clip.label for clip in found.clips] == [0]
    assert [("bad.jsonl, row 2: it is no JSON" in why) for why in found.left_out.values()] == [True]
