"""Labelled clips are found in folders, tables, archives and datasets, broken ones as rows."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import datasets
import pandas as pd
import pytest

from temporal.data.loading import ClipDataset, ClipList, load_clips
from temporal.data.loading.row import Member, class_order, label_names


def shown(clips: ClipList) -> list[tuple[str, object]]:
    return [(row.id, row.label if row.error is None else row.error.reason) for row in clips]


def test_a_folder_of_classes(class_folder: Path) -> None:
    clips = load_clips(class_folder)
    assert clips.class_names == ["ant", "bee", "cat"]
    assert shown(clips)[3:5] == [("ant/3.mp4", "ant"), ("bee/0.mp4", "bee")]
    assert len(clips) == 9


def test_what_is_strange_in_a_folder_is_told_or_passed_over(class_folder: Path) -> None:
    (class_folder / "dog").mkdir()
    (class_folder / "bee" / "notes.txt").write_text("no clip")
    (class_folder / ".cache").mkdir()
    (class_folder / "list.csv").write_text("path\n")
    clips = load_clips(str(class_folder))
    assert clips.class_names == ["ant", "bee", "cat"]
    assert [row for row in shown(clips) if row[1] == "bad_row"] == [("dog", "bad_row")]
    assert len(clips) == 10


def test_folders_of_splits(tmp_path: Path, class_folder: Path) -> None:
    root = tmp_path / "splits"
    shutil.copytree(class_folder, root / "train")
    shutil.copytree(class_folder / "bee", root / "test" / "bee")
    assert len(load_clips(root, split="train")) == 9
    assert len(load_clips(root, split="test", class_names=["ant", "bee", "cat"])) == 3
    with pytest.raises(ValueError, match=r"splits \['test', 'train'\]: choose one by split="):
        load_clips(root)
    with pytest.raises(ValueError, match=r"split \('dev'\) must be one that .* \['test', 'train'"):
        load_clips(root, split="dev")


COLUMNS = ("path", "label", "group", "split", "start_seconds", "end_seconds")
ROWS = [
    ("a/x.mp4", 10, "g1", "train", 0.5, None),
    ("a/x.mp4", 2, "g1", "train", None, 0.5),
    ("a/x.mp4", 2, None, "train", 2.0, 1.0),  # ends before it begins
    ("a/x.mp4", None, None, "train", None, None),  # no label
    ("a/y.mp4", 2, None, "test", None, None),
    ("a/x.mp4", 10, "g2", "train", -1.0, None),
    ("a/x.mp4", 2, "g1", "train", None, 0.5),  # once more
]


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_tables_of_all_kinds_say_the_same(tmp_path: Path, kind: str) -> None:
    table = pd.DataFrame(ROWS, columns=list(COLUMNS))
    path = tmp_path / f"rows.{kind}"
    if kind == "jsonl":
        rows = [dict(zip(COLUMNS, row, strict=True)) for row in ROWS]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif kind == "parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
    clips = load_clips(path, split="train")
    # Numbers in the order of their values, whatever a column with gaps made of them.
    assert clips.class_names == ["2", "10"]
    assert [row.label for row in clips] == ["10", "2", None, None, None, "2"]
    assert [row.error is None for row in clips] == [True, True, False, False, False, True]
    assert clips[0].source == str(tmp_path / "a/x.mp4")
    assert (clips[0].start_seconds, clips[0].end_seconds) == (0.5, None)
    assert clips[2].error is not None and "(2) must be < end_seconds (1)" in clips[2].error.message
    assert clips.groups == ["g1", "g1", "", "", "", "g1"]
    assert len(load_clips(path, split="test", class_names=["2", "10"])) == 1


def test_a_broken_line_costs_itself_alone(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"path": "a.mp4", "label": "x"}\n{"path": \n{"path": "b.mp4", "label": "y"}\n')
    clips = load_clips(path)
    assert [row.label for row in clips] == ["x", None, "y"]
    assert clips[1].error is not None and "row 2: it is no JSON" in clips[1].error.message


def test_rows_in_memory_and_clips_of_several_classes() -> None:
    rows = [{"path": "a.mp4", "label": ["x", "y"]}, {"path": "b.mp4", "label": "z"}]
    clips = load_clips(rows)
    assert clips.is_multilabel and clips.class_names == ["x", "y", "z"]
    assert clips[0].label == ("x", "y")
    assert load_clips(pd.DataFrame({"path": ["a.mp4"], "label": ["x"]}))[0].source == "a.mp4"


def test_what_holds_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no labelled video"):
        load_clips(tmp_path)
    (tmp_path / "rows.csv").write_text("path,label\n")
    with pytest.raises(ValueError, match="holds no labelled video"):
        load_clips(tmp_path / "rows.csv")
    (tmp_path / "rows.csv").write_text("name,label\na,b\n")
    with pytest.raises(ValueError, match="no column 'video' or 'path' or 'file'"):
        load_clips(tmp_path / "rows.csv")
    with pytest.raises(FileNotFoundError):
        load_clips(tmp_path / "none.csv")
    with pytest.raises(ValueError, match="must be a folder of classes"):
        load_clips(tmp_path / "rows.json")
    with pytest.raises(ValueError, match=r"has the labels \['x'\], which class_names lacks"):
        load_clips([{"path": "a.mp4", "label": "x"}], class_names=["y"])


def test_archives(tmp_path: Path, write_shard: Callable[..., Path], clip: Path) -> None:
    for number, labels in enumerate((["cat", "dog", "cat"], ["dog", "dog"])):
        write_shard(tmp_path / f"clips-{number:03d}.tar", labels)
    for source in (tmp_path, tmp_path / "clips-*.tar", tmp_path / "clips-{000..001}.tar"):
        clips = load_clips(source)
        assert [row.label for row in clips] == ["cat", "dog", "cat", "dog", "dog"]
    assert clips.class_names == ["cat", "dog"]
    assert clips.groups == ["", "g1", "", "", "g1"]
    member = clips[1].source
    assert isinstance(member, Member)
    content = Path(member.archive).read_bytes()[member.offset :][: member.num_bytes]
    assert content == clip.read_bytes()


def test_archives_that_are_broken(tmp_path: Path, write_shard: Callable[..., Path]) -> None:
    whole = write_shard(tmp_path / "whole.tar", ["a", "b", "c", "d"])
    content = bytearray(whole.read_bytes())
    with tarfile.open(whole) as archive:
        headers = {info.name: info.offset for info in archive}
    # The header of one clip is rubbish: it is lost, and said to be; those around it are not.
    at = headers["whole-1.mp4"]
    broken = tmp_path / "broken.tar"
    broken.write_bytes(content[:at] + b"\xff" * 512 + content[at + 512 :])
    clips = load_clips(broken)
    assert [row.label for row in clips if row.error is None] == ["a", "c", "d"]
    assert [row.id for row in clips if row.error is not None] == [f"{broken}@{at}"]
    # It ends within a clip.
    cut = tmp_path / "cut.tar"
    cut.write_bytes(content[: headers["whole-3.mp4"] + 700])
    clips = load_clips([cut, whole])
    assert [row.label for row in clips] == ["a", "b", "c", None, "a", "b", "c", "d"]
    bad = [row.error.message for row in clips if row.error is not None]
    assert "whole-3.mp4 is cut off" in bad[0] and len(bad) == 1
    # No archive, none there, and a clip without a label.
    (tmp_path / "none.tar").write_text("not an archive, but some text that is long enough" * 99)
    clips = load_clips([tmp_path / "none.tar", tmp_path / "missing.tar", whole])
    assert [row.error is None for row in clips] == [False, False, True, True, True, True]


def test_datasets(clip: Path) -> None:
    table = datasets.Dataset.from_dict(
        {"clip": [str(clip)] * 3, "label": [1, 0, -1], "group": ["g", "h", None]},
        features=datasets.Features(
            {
                "clip": datasets.Video(),
                "label": datasets.ClassLabel(names=["no", "yes"]),
                "group": datasets.Value("string"),
            }
        ),
    )
    clips = load_clips(table)
    assert clips.class_names == ["no", "yes"]
    assert [clips[k].label for k in range(3)] == ["yes", "no", None]
    assert clips[0].source == str(clip) and clips[2].error is not None
    assert clips.groups == ["g", "h", ""]
    assert load_clips(datasets.DatasetDict(train=table), split="train").class_names == ["no", "yes"]
    with pytest.raises(ValueError, match=r"split \(None\) must be one of the dataset's: \['train'"):
        load_clips(datasets.DatasetDict(train=table))
    assert load_clips(table.to_iterable_dataset()).class_names == ["no", "yes"]
    with pytest.raises(ValueError, match="no 'kind': name one of them by video_column= or label_"):
        load_clips(table, label_column="kind")


def test_a_dataset_of_clips_of_several_classes() -> None:
    rows = {"path": ["a.mp4", "b.mp4"], "label": [["x", "y"], ["z"]]}
    table = datasets.Dataset.from_dict(rows)
    with pytest.raises(ValueError, match="give the classes in their order by class_names="):
        load_clips(table)
    clips = load_clips(table, class_names=["z", "y", "x"])
    samples = list(ClipDataset(clips, None))
    assert [sample["labels"].tolist() for sample in samples] == [[0, 1, 1], [1, 0, 0]]


def test_a_stream_must_be_told_its_classes(clip: Path) -> None:
    stream = datasets.Dataset.from_dict({"path": [str(clip)], "label": ["x"]}).to_iterable_dataset()
    with pytest.raises(ValueError, match="give them in their order by class_names="):
        load_clips(stream)


@pytest.mark.parametrize("value", [3, 3.0, "3", " 3 ", b"3"])
def test_labels_that_are_one(value: object) -> None:
    assert label_names(value) == "3"


@pytest.mark.parametrize("value", [None, "", 2.5, {"a": 1}, [None]])
def test_labels_that_are_none(value: object) -> None:
    with pytest.raises(ValueError):
        label_names(value)


def test_the_order_of_classes() -> None:
    assert class_order(["10", "9", "10"]) == ["9", "10"]
    assert class_order(["b", "10", "a"]) == ["10", "a", "b"]


def test_groups_are_held_out_whole(tmp_path: Path) -> None:
    rows = [{"path": f"{k}.mp4", "label": "x", "group": f"g{k // 3}"} for k in range(30)]
    rest, held = load_clips(rows).hold_out(0.3, seed=1)
    assert (len(rest), len(held)) == (21, 9)
    assert not set(rest.groups) & set(held.groups)
