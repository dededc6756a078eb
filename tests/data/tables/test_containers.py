"""Containers in memory: each row or cell is one input, and what is no input says so."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from temporal.data import collect


def short(items):
    """(id, value or error reason) of each item."""
    return [(item.id, item.error.reason if item.error else item.value) for item in items]


TABLE = {"text": ["a", None, "c"], "stars": [5, 1, 3], "id": ["x", "y", "z"], "label": [1, 0, None]}
ROWS = [("x", "a"), ("y", "not_text"), ("z", "c")]


@pytest.mark.parametrize(
    "make",
    [
        pd.DataFrame,
        pa.table,
        lambda rows: pa.table(rows).to_batches()[0],
        lambda rows: pa.RecordBatchReader.from_batches(
            pa.table(rows).schema, pa.table(rows).to_batches()
        ),
    ],
)
def test_tables_give_their_rows(make):
    items = list(collect(make(TABLE), kind="text"))
    assert short(items) == ROWS
    assert [item.extra for item in items] == [{"label": 1}, {"label": 0}, {}]
    (item,) = collect(make(TABLE), kind="text", column="review")
    assert item.error.reason == "bad_table" and "'stars'" in item.error.message


def test_frames_with_odd_columns():
    frame = pd.DataFrame([["a", 1, "b"]], columns=["text", 7, "text"])
    (item,) = collect(frame, kind="text")
    assert "several columns 'text'" in item.error.message
    assert list(collect(pd.DataFrame({"text": []}), kind="text")) == []
    frame = pd.DataFrame({"text": ["a", pd.NA]}, dtype="string", index=[9, 9])
    assert [i.error is None for i in collect(frame, kind="text")] == [True, False]


@pytest.mark.parametrize(
    "make", [pd.Series, pd.Index, pa.array, lambda v: pa.chunked_array([v]), np.array, iter, tuple]
)
def test_columns_give_their_cells(make):
    items = list(collect(make(["a", "b"]), kind="text", strings="text"))
    assert [item.value for item in items] == ["a", "b"]


def test_columns_of_datasets():
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_dict(
        {"text": ["a", "b"], "video": ["x.mp4", "y.mp4"], "label": [1, 0]}
    )
    assert [i.value for i in collect(rows["text"], kind="text")] == ["a", "b"]
    stream = rows.to_iterable_dataset()
    assert [i.value for i in collect(stream["text"], kind="text")] == ["a", "b"]
    films = rows.cast_column("video", datasets.Video())  # decodes, where torchcodec is there
    for column in (films["video"], films.to_iterable_dataset()["video"], rows["video"]):
        items = list(collect(column, kind="video"))
        assert [item.id for item in items] == ["x.mp4", "y.mp4"]
    for form in ("numpy", "torch", "pandas", "arrow"):
        found = list(collect(rows.with_format(form), kind="text"))
        assert [(i.value, i.extra) for i in found] == [("a", {"label": 1}), ("b", {"label": 0})]


def test_an_entry_of_a_container_is_one_item():
    nested = ["one", ["two", "three"], ("four", "five"), np.array(["a", "b"]), {"text": "six"}, 7]
    items = list(collect(nested, kind="text", strings="text"))
    assert [i.error.reason if i.error else i.value for i in items] == [
        "one", "not_text", "not_text", "not_text", "six", "not_text",
    ]  # fmt: skip
    assert "one input each" in items[1].error.message
    pairs = np.array([["a", "b"], ["c", "d"]])
    assert len(list(collect(pairs, kind="text"))) == 2
    assert short(collect(np.array("whole"), kind="text", strings="text"))[0][1] == "whole"
    (item,) = collect(np.zeros((4, 2, 2, 3), np.uint8), kind="video")
    assert item.error.reason == "unsupported_input"


@pytest.mark.parametrize("inputs", [None, 5, 0.5, True, {"a", "b"}, object()])
@pytest.mark.parametrize("kind", ["text", "video"])
def test_what_holds_no_inputs_is_refused_at_once(inputs, kind):
    with pytest.raises(TypeError, match="inputs"):
        collect(inputs, kind=kind)


def test_loaders_and_splits_are_refused_in_words():
    torch = pytest.importorskip("torch")
    datasets = pytest.importorskip("datasets")
    with pytest.raises(TypeError, match=r"inputs\.dataset"):
        collect(torch.utils.data.DataLoader(["a", "b"]), kind="text")
    with pytest.raises(TypeError, match="splits"):
        collect(datasets.DatasetDict(), kind="text")


def test_a_text_that_cannot_be_decoded_is_an_error(tmp_path):
    rows = [{"text": "a\0b"}, {"text": "\ud800"}, {"text": "né"}]
    assert short(collect(rows, kind="text")) == [
        ("text-000000", "not_text"), ("text-000001", "not_text"), ("text-000002", "né"),
    ]  # fmt: skip
    assert short(collect("\udce9", kind="text", strings="text"))[0][1] == "not_text"
    path = tmp_path / "a.txt"
    for encoding in ("utf-16", "utf-32", "utf-8-sig"):
        path.write_bytes("né\n\nzwei".encode(encoding))
        assert [i.value for i in collect(path, kind="text")] == ["né", "", "zwei"]
    for content in ("né\nzwei\n".encode("utf-16-le"), bytes(1000), "é\n".encode("latin-1")):
        path.write_bytes(content)
        assert all(item.error is not None for item in collect(path, kind="text"))
    path.write_bytes("a\nb\n".encode("utf-16") + b"\x00\xd8")  # half a character
    assert [i.error is None for i in collect(path, kind="text")] == [True, True, False]
    path.write_bytes(b"one\rtwo\rthree")
    assert [i.value for i in collect(path, kind="text")] == ["one", "two", "three"]
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "\\ud800"}\n{"text": "a\\u0000"}\n{"text": "fine"}\n')
    assert [i.error is None for i in collect(path, kind="text")] == [False, False, True]


# Parquet ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("type_name", ["struct", "binary", "large_binary", "dictionary"])
@pytest.mark.parametrize("rows_per_group", [3, 64])
def test_parquet_is_read_in_bounded_memory(tmp_path, type_name, rows_per_group):
    """64 values of 256 kB: what Arrow holds at once is what a page and a few rows need."""
    values = [bytes([k]) * 2**18 for k in range(64)]
    if type_name == "struct":
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        cells = pa.array([{"bytes": v, "path": f"{k}.mp4"} for k, v in enumerate(values)], kind)
    elif type_name == "dictionary":
        cells = pa.array(values).dictionary_encode()
    else:
        cells = pa.array(values, getattr(pa, type_name)())
    table = pa.table({"video": cells, "other": [bytes(2**18)] * 64})
    pq.write_table(
        table,
        tmp_path / "a.parquet",
        row_group_size=rows_per_group,
        write_batch_size=1,
        use_dictionary=False,
        compression="none",
    )
    del table, cells
    before = pa.total_allocated_bytes()
    held = []
    for k, item in enumerate(collect(tmp_path / "a.parquet", kind="video")):
        held.append(pa.total_allocated_bytes() - before)
        assert item.value == values[k]
    assert len(held) == 64
    assert max(held) < 12 * 2**20 or type_name == "dictionary"  # 16 MB of videos


def test_a_video_of_datasets_in_parquet_keeps_its_bytes(tmp_path):
    pq.write_table(pa.table({"bytes": [b"abc"], "path": ["a.mp4"]}), tmp_path / "a.parquet")
    assert short(collect(tmp_path / "a.parquet", kind="video")) == [("a.mp4", b"abc")]


def test_a_damaged_row_group_costs_its_rows(tmp_path):
    path = tmp_path / "a.parquet"
    table = pa.table({"text": [f"text number {k}" for k in range(30)]})
    pq.write_table(
        table,
        path,
        row_group_size=10,
        write_page_checksum=True,
        compression="none",
        use_dictionary=False,
    )
    content = bytearray(path.read_bytes())
    content[content.index(b"number 15")] ^= 1
    path.write_bytes(content)
    items = list(collect(path, kind="text"))
    assert [item.value for item in items[:10]] == [f"text number {k}" for k in range(10)]
    assert [item.error.reason for item in items[10:20]] == ["bad_row"] * 10
    assert [item.value for item in items[20:]] == [f"text number {k}" for k in range(20, 30)]


# Folders ------------------------------------------------------------------------------------------


def test_linked_folders_are_followed_once_and_in_no_circle(tmp_path):
    films, other = tmp_path / "films", tmp_path / "other"
    for path in (films / "s" / "a.mp4", other / "t" / "b.mp4", films / ".h" / "x.mp4"):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"")
    for link, target in {
        "again": films / "s",
        "here": films,
        "up": tmp_path,
        "linked": other,
        "twice": other,
        "s/back": films / "s",
    }.items():
        (films / link).symlink_to(target)
    (other / "t" / "home").symlink_to(films)
    told = []
    items = list(collect(films, kind="video", notify=told.append))
    assert [item.id for item in items] == ["linked/t/b.mp4", "s/a.mp4"]
    assert "passed over 6 files" in told[0]
    inside = list(collect(".", kind="video", root=films, notify=told.append))
    assert [i.error.reason for i in inside if i.error] == ["path_not_allowed"] * 3


def test_files_of_other_kinds_in_a_folder_are_passed_over(tmp_path):
    for name in ("a.mp4", "B.MKV", "README", "notes.md", "labels.csv", "thumb.jpg", "x.mp4.part"):
        (tmp_path / name).write_bytes(b"text\n")
    told = []
    items = list(collect(tmp_path, kind="video", notify=told.append))
    assert [item.id for item in items] == ["B.MKV", "a.mp4"]
    assert "5 files" in told[0] and "README" in told[0]
    texts = list(collect(tmp_path, kind="text", notify=told.append))
    assert texts == [] and "6 files" in told[1]
    for name in ("a.mp4", "B.MKV"):
        (tmp_path / name).unlink()
    (item,) = collect(tmp_path, kind="video")
    assert item.error.reason == "not_found" and "5 files" in item.error.message
