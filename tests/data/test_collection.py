"""Work lists: every input gives one item, in order, and a broken one harms no other."""

from __future__ import annotations

import io
import itertools
import json
import os
from dataclasses import FrozenInstanceError

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from temporal.data import InputError, Item, Video, VideoError, collect
from temporal.data.item import new_item


def _short(items):
    """(id, value or error reason) of each item."""
    return [(item.id, item.error.reason if item.error else item.value) for item in items]


def test_a_directory_offers_files_named_as_media_sorted_by_path(tmp_path):
    for name in ("b.mp4", "a/z.mkv", "a/.hidden.mp4", ".git/x.mp4", "a/notes.txt", "c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"rubbish")
    told = []
    items = list(collect(tmp_path, kind="video", notify=told.append))
    assert [item.id for item in items] == ["a/z.mkv", "b.mp4", "c"]
    (message,) = told
    assert "1 file (a/notes.txt)" in message
    assert all(item.error is None and os.path.isfile(item.value) for item in items)
    with pytest.raises(VideoError, match="not_media"):
        len(Video(items[0].value))


def test_two_directories_with_the_same_names_stay_apart(tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.mp4").write_bytes(b"")
    items = list(collect([str(tmp_path / "x"), str(tmp_path / "y")], kind="video"))
    assert len({item.id for item in items}) == 2 and not any(item.error for item in items)


def test_missing_files_empty_folders_and_globs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "b1.mp4").write_bytes(b"")
    (tmp_path / "b2.mp4").write_bytes(b"")
    assert _short(collect(["nope.mp4", "empty", "b*.mp4", "no*.mp4", 7], kind="video")) == [
        ("nope.mp4", "not_found"),
        ("empty", "not_found"),
        ("b1.mp4", "b1.mp4"),
        ("b2.mp4", "b2.mp4"),
        ("no*.mp4", "not_found"),
        ("video-000005", "unsupported_input"),
    ]


def test_a_list_of_videos(tmp_path):
    (tmp_path / "one.mp4").write_bytes(b"")
    (tmp_path / "list.lst").write_text("# films\none.mp4\n\ntwo.mp4\nhttp://x/y.mp4\n")
    assert _short(collect(tmp_path / "list.lst", kind="video")) == [
        ("one.mp4", str(tmp_path / "one.mp4")),
        ("two.mp4", "not_found"),
        ("http://x/y.mp4", "http://x/y.mp4"),  # refused as path_not_allowed when it is opened
    ]


def test_root_keeps_paths_inside(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").write_bytes(b"")
    (tmp_path / "out.mp4").write_bytes(b"")
    found = _short(collect(["a.mp4", "../out.mp4"], kind="video", root=tmp_path / "in"))
    assert found == [
        ("a.mp4", str(tmp_path / "in" / "a.mp4")),
        ("../out.mp4", "path_not_allowed"),
    ]


def test_text_lines_keep_their_numbers(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\n\nthr\xffee\nfour")
    items = list(collect(tmp_path / "a.txt", kind="text"))
    assert _short(items) == [
        ("text-000000", "one"),
        ("text-000001", ""),
        ("text-000002", "bad_row"),
        ("text-000003", "four"),
    ]
    assert (items[2].error.line, items[2].error.byte_offset) == (3, 9)


def test_a_broken_json_line_costs_one_row(tmp_path):
    lines = [
        b'{"text": "one", "label": 1}',
        b'{"text": "tw',
        b"[1, 2]",
        b'{"text": 5, "id": "five"}',
        b'{"id": "none"}',
        b'{"text": "\xff"}',
        b"",
        b'{"text": "NA", "id": 7}',
    ]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    items = list(collect(tmp_path / "a.jsonl", kind="text"))
    assert _short(items) == [
        ("text-000000", "one"),
        ("text-000001", "bad_row"),
        ("text-000002", "bad_row"),
        ("five", "not_text"),
        ("text-000004", "bad_row"),
        ("text-000005", "bad_row"),
        ("7", "NA"),
    ]
    assert items[0].extra == {"label": 1}
    assert (items[1].error.line, items[1].error.byte_offset) == (2, len(lines[0]) + 1)
    assert "row 5" in items[4].error.message and "'text'" in items[4].error.message


def test_half_of_a_text_pair_does_not_pass_for_the_text():
    pair = {"text": "one", "text_pair": "two"}
    rows = [pair, {"text": "three", "text_pair": None}, {"text": "four", "text_pair": 5}]
    items = list(collect(rows, kind="text"))
    assert _short(items)[1:] == [("text-000001", "three"), ("text-000002", "not_text")]
    assert items[0].value == pair
    (item,) = collect([pair], kind="text", column="text")
    assert item.value == "one"


def test_csv_is_strict_on_width_and_keeps_words(tmp_path):
    (tmp_path / "a.csv").write_bytes(
        b"id,text,label\n"
        b"1,NA,0\n"
        b"2,short\n"
        b'3,"two\nlines, one field",1\n'
        b"\n"
        b"4,null,0,extra\n"
        b"5,b\xffd,1\n"
        b"6,None,0\n"
    )
    items = list(collect(tmp_path / "a.csv", kind="text"))
    assert _short(items) == [
        ("1", "NA"),
        ("text-000001", "bad_row"),
        ("3", "two\nlines, one field"),
        ("text-000003", "bad_row"),
        ("text-000004", "bad_row"),
        ("6", "None"),
    ]
    assert items[0].extra == {"label": "0"}
    assert [item.error.line for item in items if item.error] == [3, 7, 8]


def test_csv_takes_a_long_field_and_tsv_another_mark(tmp_path):
    (tmp_path / "a.tsv").write_text("sentence\tlabel\n" + "x" * 500_000 + "\t1\n")
    (item,) = collect(tmp_path / "a.tsv", kind="text", column="sentence")
    assert len(item.value) == 500_000 and item.extra == {"label": "1"}


def test_tables_without_the_column_say_what_they_have(tmp_path):
    (tmp_path / "a.csv").write_text("review,stars\nfine,3\n")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no more")
    pq.write_table(pa.table({"review": ["fine"]}), tmp_path / "b.parquet")
    for name in ("a.csv", "b.parquet", "empty.csv", "bad.parquet"):
        (item,) = collect(tmp_path / name, kind="text")
        assert item.error.reason == "bad_table" and name in item.error.message
    (item,) = collect(tmp_path / "a.csv", kind="text")
    assert "'review', 'stars'" in item.error.message
    assert _short(collect(tmp_path / "a.csv", kind="text", column="review")) == [
        ("text-000000", "fine")
    ]


def test_parquet_rows(tmp_path):
    table = pa.table({"text": ["one", None, "three"], "id": ["a", "b", "c"], "label": [0, 1, 0]})
    pq.write_table(table, tmp_path / "a.parquet")
    items = list(collect(tmp_path / "a.parquet", kind="text"))
    assert _short(items) == [("a", "one"), ("b", "not_text"), ("c", "three")]
    assert items[2].extra == {"label": 0}


def test_values_that_are_none_of_their_type_cost_their_row(tmp_path):
    """Arrow checks strings only when they are made; JSON has no bytes."""
    table = pa.table({"text": pa.array([b"one", b"caf\xe9", b"three"]).view(pa.string())})
    pq.write_table(table, tmp_path / "a.parquet")
    wanted = [("text-000000", "one"), ("text-000001", "bad_row"), ("text-000002", "three")]
    assert _short(collect(table, kind="text")) == wanted
    assert _short(collect(table["text"], kind="text")) == wanted
    items = list(collect(tmp_path / "a.parquet", kind="text"))
    assert _short(items) == wanted
    assert items[1].error.line == 2 and "utf-8" in items[1].error.message
    values = ['"QUJD"', "[1, 2]", "1000000000000", '""', '"a.mp4"']
    rows = [f'{{"video": {{"bytes": {value}}}}}\n' for value in values[:-1]]
    (tmp_path / "a.jsonl").write_text("".join(rows) + f'{{"video": {values[-1]}}}\n')
    items = list(collect(tmp_path / "a.jsonl", kind="video"))
    assert [item.error and item.error.reason for item in items] == [*4 * ["not_media"], None]


def test_empty_ids_and_labels_are_none(tmp_path):
    (tmp_path / "a.csv").write_text("id,text,label\na,one,1\n,two,\n,three,0\n")
    items = list(collect(tmp_path / "a.csv", kind="text", id_column="id"))
    assert _short(items) == [("a", "one"), ("text-000001", "two"), ("text-000002", "three")]
    assert [dict(item.extra) for item in items] == [{"label": "1"}, {}, {"label": "0"}]


def test_video_tables_are_relative_to_their_file(tmp_path):
    (tmp_path / "t.csv").write_text("path,label\na/1.mp4,x\n/abs/2.mp4,y\n")
    items = list(collect(tmp_path / "t.csv", kind="video"))
    assert _short(items) == [
        ("a/1.mp4", str(tmp_path / "a/1.mp4")),
        ("/abs/2.mp4", "/abs/2.mp4"),
    ]
    assert items[0].extra == {"label": "x"}


def test_an_empty_cell_is_a_bad_row(tmp_path):
    (tmp_path / "t.csv").write_text("path,label\n,x\n ,y\na.mp4,z\n")
    items = list(collect(tmp_path / "t.csv", kind="video"))
    assert _short(items)[:2] == [("video-000000", "bad_row"), ("video-000001", "bad_row")]
    assert items[0].error.message.endswith("row 1 (line 2): the cell is empty")
    assert items[2].value == str(tmp_path / "a.mp4")


@pytest.mark.parametrize("absolute", [False, True])
def test_a_recursive_glob_lists_each_file_once(tmp_path, monkeypatch, absolute):
    monkeypatch.chdir(tmp_path)
    for name in ("d/a.mp4", "d/s/b.mp4", "d/s/t/c.mp4", "d/.h/x.mp4", "d/s/.y.mp4", "d/n.dat"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "d" / "s" / "up").symlink_to(tmp_path / "d")
    (tmp_path / "d" / "again").symlink_to(tmp_path / "d" / "s")
    (tmp_path / "named").symlink_to(tmp_path / "d" / "s")
    prefix = f"{tmp_path}/" if absolute else ""
    clips = [f"{prefix}d/{name}" for name in ("a.mp4", "s/b.mp4", "s/t/c.mp4")]
    every = sorted([*clips, f"{prefix}d/n.dat"])
    for pattern, expected in (
        ("d/**/*.mp4", clips),
        ("**/*.mp4", clips),
        ("d/**/*", every),
        ("d/**", every),
        ("d/**/t/**/*.mp4", clips[2:]),
        ("d/**/s", clips[1:]),
        ("named/**/*.mp4", [f"{prefix}named/b.mp4", f"{prefix}named/t/c.mp4"]),
    ):
        items = list(collect(f"{prefix}{pattern}", kind="video"))
        assert [item.value for item in items] == [item.id for item in items] == expected, pattern
    inside = collect("**/*.mp4", kind="video", root=tmp_path / "d")
    assert [item.id for item in inside] == ["a.mp4", "s/b.mp4", "s/t/c.mp4"]


def test_ids_that_repeat(tmp_path):
    (tmp_path / "a.jsonl").write_text(
        "".join(json.dumps({"id": name, "text": name}) + "\n" for name in "aba")
    )
    # A column that happens to be called `id` need not be unique; one that was asked for must.
    assert _short(collect(tmp_path / "a.jsonl", kind="text")) == [
        ("a", "a"), ("b", "b"), ("a#2", "a"),
    ]  # fmt: skip
    assert _short(collect(tmp_path / "a.jsonl", kind="text", id_column="id")) == [
        ("a", "a"), ("b", "b"), ("a#2", "duplicate_id"),
    ]  # fmt: skip
    (tmp_path / "v.mp4").write_bytes(b"")
    twice = [tmp_path / "v.mp4"] * 3
    assert [item.id[-2:] for item in collect(twice, kind="video")] == ["p4", "#2", "#3"]


def test_generators_are_read_as_items_are_taken():
    taken = []

    def texts():
        for number in itertools.count():
            taken.append(number)
            yield f"text {number}"

    items = collect(texts(), kind="text", strings="text")
    assert taken == []
    assert [item.value for item in itertools.islice(items, 3)] == ["text 0", "text 1", "text 2"]
    assert taken == [0, 1, 2]
    assert len(list(collect(texts(), kind="text", strings="text", limit=5))) == 5


def test_what_a_string_means_for_texts(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("inside\n")
    assert _short(collect(str(path), kind="text", strings="text"))[0][1] == str(path)
    assert _short(collect(str(path), kind="text", strings="auto"))[0][1] == "inside"
    assert _short(collect("no file", kind="text", strings="auto"))[0][1] == "no file"
    assert _short(collect("no file", kind="text"))[0][1] == "not_found"
    with pytest.raises(ValueError, match="strings"):
        collect("x", kind="video", strings="auto")


def test_a_fifo_is_never_opened(tmp_path):
    os.mkfifo(tmp_path / "f.jsonl")
    ((_, reason),) = _short(collect(tmp_path / "f.jsonl", kind="text"))
    assert reason == "not_regular_file"


def test_bytes_files_and_rows_of_videos(clips):
    content = clips.path("h264.mp4").read_bytes()
    rows = [
        content,
        io.BytesIO(content),
        {"path": None, "bytes": content},
        {"path": str(clips.path("h264.mp4")), "bytes": None},
        {"video": {"path": "name.mp4", "bytes": content}, "id": "x", "label": 3},
        {"video": None},
    ]
    items = list(collect(rows, kind="video"))
    assert [item.id for item in items[:3]] == ["video-000000", "video-000001", "video-000002"]
    assert (items[4].id, items[4].extra) == ("x", {"label": 3})
    assert items[5].error.reason == "not_media"
    for item in items[:5]:
        with Video(item.value) as video:
            assert len(video) == 60


def test_rows_of_datasets(clips):
    datasets = pytest.importorskip("datasets")
    texts = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]})
    assert [(i.value, i.extra) for i in collect(texts, kind="text")] == [
        ("a", {"label": 1}), ("b", {"label": 0}),
    ]  # fmt: skip
    stream = texts.to_iterable_dataset()
    assert [item.value for item in collect(stream, kind="text", limit=1)] == ["a"]
    videos = datasets.Dataset.from_dict({"video": [str(clips.path("h264.mp4"))]})
    videos = videos.cast_column("video", datasets.Video(decode=False))
    (item,) = collect(videos, kind="video")
    with Video(item.value) as video:
        assert len(video) == 60
    with pytest.raises(TypeError, match="splits"):
        list(collect(datasets.DatasetDict(train=texts), kind="text"))


@pytest.mark.parametrize("options", [{"kind": "sound"}, {"kind": "text", "limit": -1}])
def test_options_are_checked(options):
    with pytest.raises(ValueError, match="must be"):
        collect([], **options)


def test_an_item_is_the_same_however_it_is_made() -> None:
    error = InputError(reason="bad_row", message="no")
    for value, why in (("a", None), (None, error)):
        made = new_item("id", value, why, {"label": 1})
        due = Item(id="id", value=value, error=why, extra={"label": 1})
        assert made == due and repr(made) == repr(due)
        with pytest.raises(FrozenInstanceError):
            made.id = "other"  # type: ignore[misc]
