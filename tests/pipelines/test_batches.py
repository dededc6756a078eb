"""A table in, a table out: whatever a batch holds, its result has one schema and all its rows."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas
import pyarrow as pa
import pytest

from temporal.data import Item, collect
from temporal.pipelines import pipeline
from temporal.pipelines.batches import read_batch
from temporal.pipelines.jobs.job import run
from temporal.pipelines.jobs.store.ledger import read_rows
from temporal.pipelines.jobs.table.row import row_schema
from temporal.pipelines.jobs.table.rows import rows
from temporal.pipelines.ray import ReadBatch

from .fake_pipe import FakePipe

TABLE = {
    "id": ["a", "b", "c", "d"],
    "text": ["one", None, "one two", ""],
    "label": [1, 1, 0, None],
    "stars": [5, 3, None, 1],
    "tags": [["x", "y"], [], None, ["z"]],
    "day": pa.array([0, 86_400_000, None, 1], pa.timestamp("ms", tz="UTC")),
}


def fake() -> FakePipe:
    return FakePipe(order="input")


def without_times(table: pa.Table) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in row.items() if not name.endswith("_seconds")}
        for row in table.to_pylist()
    ]


def test_rows_come_in_the_batchs_order_with_what_they_brought() -> None:
    table = pa.table(TABLE)
    made = read_batch(fake(), table)
    names = row_schema().names
    assert made.column_names == [*names, "text", "stars", "tags", "day"]
    assert made.select(names).schema == row_schema()
    for name in ("text", "stars", "tags", "day"):
        assert made[name].equals(table[name])
    assert made["id"].to_pylist() == list("abcd") and made["extra"].null_count == 4
    assert made["label"].to_pylist() == ["odd", None, "even", "odd"]
    assert made["target"].to_pylist() == ["odd", "odd", "even", None]
    assert made["status"].to_pylist() == ["ok", "error", "ok", "ok"]
    assert made["error_reason"].to_pylist() == [None, "not_text", None, None]


BATCHES = {
    "table": pa.table,
    "record batch": lambda columns: pa.RecordBatch.from_pydict(columns),
    "lists": lambda columns: {name: pa.array(cells).to_pylist() for name, cells in columns.items()},
    "arrays": lambda columns: {
        name: np.array(pa.array(cells).to_pylist(), dtype=object) for name, cells in columns.items()
    },
    "pandas": lambda columns: pa.table(columns).to_pandas(),
}


@pytest.mark.parametrize("kind", BATCHES)
def test_a_batch_may_be_any_table(kind: str) -> None:
    columns = {name: TABLE[name] for name in ("id", "text", "label", "tags")}
    made = read_batch(fake(), BATCHES[kind](columns), keep_text=True)
    expected = read_batch(fake(), pa.table(columns), keep_text=True)
    mine, theirs = without_times(made), without_times(expected)
    for row in (*mine, *theirs):
        del row["error_message"]  # pandas has NaN for what is missing
    assert mine == theirs
    assert made.schema.equals(expected.schema)
    assert "text" in row_schema(keep_text=True).names and made["text"][0].as_py() == "one"


@pytest.mark.parametrize(
    "cells", [[], [None], [None, None], ["a"], ["", "b"]], ids=["none", "bad", "bads", "ok", "both"]
)
def test_batches_of_one_table_have_one_schema(cells: list[Any]) -> None:
    table = pa.table({"text": pa.array(cells, pa.string())})
    made = read_batch(fake(), table)
    assert made.num_rows == len(cells)
    assert made.schema == row_schema().append(pa.field("text", pa.string()))


def test_an_empty_partition_has_the_columns_of_a_result() -> None:
    assert read_batch(fake(), pa.table({})).schema == row_schema()


def test_a_column_named_as_one_of_the_result_is_told_apart() -> None:
    table = pa.table({"text": ["a"], "score": [7], "status": ["new"], "input_score": [8]})
    (row,) = read_batch(fake(), table).to_pylist()
    assert (row["score"], row["status"]) == (0.75, "ok")
    assert (row["input_input_score"], row["input_status"], row["input_score"]) == (7, "new", 8)


def test_what_no_name_is_given_has_none() -> None:
    """Every batch would have a `text-000000`, and a checkpoint by ids would pass over others."""
    assert read_batch(fake(), pa.table({"text": ["a", "b"]}))["id"].to_pylist() == [None, None]


def test_names_that_repeat_within_a_batch_are_told() -> None:
    table = pa.table({"text": ["a", "b"], "key": ["k", "k"]})
    made = read_batch(fake(), table, id_column="key")
    assert made["error_reason"].to_pylist() == [None, "duplicate_id"]
    assert made["key"].to_pylist() == ["k", "k"]


@pytest.mark.parametrize(
    ("batch", "options", "message"),
    [
        ({"words": ["a"]}, {}, r"no column 'text' .* it has 'words': pass column="),
        ({"text": ["a"]}, {"id_column": "key"}, r"no id column 'key'; it has 'text'"),
        ({"text": ["a", "b"], "odd": [1, "x"]}, {}, r"column \('odd'\) must hold values of one"),
    ],
)
def test_a_batch_that_cannot_be_read_is_refused(
    batch: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        read_batch(fake(), batch, **options)


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(TypeError, match=r"batch \(list\) must be a table"):
        read_batch(fake(), ["a text"])


def test_inputs_of_any_type_have_their_error() -> None:
    made = read_batch(fake(), pandas.DataFrame({"text": ["a", 5, None, ["b"]]}))
    assert made["status"].to_pylist() == ["ok", "error", "error", "error"]
    assert made["text"].to_pylist() == ["a", None, None, None]


def test_videos_are_read_from_paths_or_bytes(
    frame_exit_path: Path, videos: list[Path], tmp_path: Path
) -> None:
    pipe = pipeline("video-classification", model=str(frame_exit_path))
    missing = str(tmp_path / "missing.mp4")
    paths = [str(videos[0]), missing, str(videos[1]), None]
    table = pa.table({"path": paths, "camera": [1, 2, 3, 4]})
    by_path = read_batch(pipe, table)
    assert by_path["status"].to_pylist() == ["ok", "error", "ok", "error"]
    assert by_path["id"].to_pylist() == [*paths[:3], None]
    assert by_path["path"].to_pylist() == paths and by_path["camera"].to_pylist() == [1, 2, 3, 4]
    contents = pa.table({"video": [path.read_bytes() for path in videos[:2]], "id": ["v", "w"]})
    by_bytes = read_batch(pipe, contents)
    assert "video" not in by_bytes.column_names
    assert by_bytes["score"].to_pylist() == [by_path["score"][k].as_py() for k in (0, 2)]


def test_it_reads_what_a_job_reads(skim_path: Path, texts: list[str], tmp_path: Path) -> None:
    names = [f"n{k}" for k in range(len(texts))]
    read = ReadBatch("text-classification", str(skim_path), keep_text=True)
    made = read(pa.table({"id": names, "text": texts}))
    items = (Item(id=name, value=text) for name, text in zip(names, texts, strict=True))
    pipe = pipeline("text-classification", model=str(skim_path))
    run(pipe, items, tmp_path / "out", progress=False, keep_text=True)
    theirs = pa.Table.from_pylist(list(read_rows(tmp_path / "out")), made.schema)
    assert without_times(made) == without_times(theirs)


def test_what_is_sent_to_another_process_has_no_model(skim_path: Path) -> None:
    read = ReadBatch("text-classification", str(skim_path))
    before = len(pickle.dumps(read))
    read({"text": ["w1 w2"]})
    assert len(pickle.dumps(read)) == before < 1000
    copy = pickle.loads(pickle.dumps(read))
    assert copy({"text": ["w1 w2"]}).num_rows == 1


def test_the_map_of_datasets_in_two_processes(skim_path: Path, texts: list[str]) -> None:
    dataset = datasets.Dataset.from_dict({"id": [f"n{k}" for k in range(20)], "text": texts})
    options: dict[str, Any] = {"batched": True, "batch_size": 4, "num_proc": 2}
    whole = pipeline("text-classification", model=str(skim_path))
    expected = [row["label"] for row in rows(whole, dataset, id_column="id")]
    mapped = dataset.map(ReadBatch("text-classification", str(skim_path)), **options)
    assert mapped["id"][:] == dataset["id"][:] and mapped["text"][:] == texts
    assert mapped["label"][:] == expected and len(set(expected)) > 1

    def read(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        made = list(
            rows(whole, collect(pandas.DataFrame(dict(batch)), kind="text", id_column="id"))
        )
        return {"label": [row["label"] for row in made]}

    assert dataset.map(read, **options)["label"][:] == expected


def test_frames_of_pandas_one_after_another_as_spark_has_them() -> None:
    frame = pandas.DataFrame({"id": list("abcd"), "text": ["a", "a b", None, "c"]})

    def read(frames: Any) -> Any:
        pipe = fake()
        for one in frames:
            yield pandas.DataFrame(rows(pipe, one, id_column="id"), columns=row_schema().names)

    parts = list(read(frame.iloc[start : start + 3] for start in (0, 3)))
    assert [list(part["id"]) for part in parts] == [["a", "b", "c"], ["d"]]
    assert list(parts[0]["label"].dropna()) == ["odd", "even"]


def test_rows_are_made_of_whatever_a_pipeline_reads() -> None:
    taken = []

    def lines() -> Any:
        for text in ("a", "a b", None):
            taken.append(text)
            yield text

    made = rows(fake(), lines())
    assert taken == []
    assert next(made)["label"] == "odd" and len(taken) == 1
    assert [row["status"] for row in made] == ["ok", "error"]
    given = [{"words": "a b", "class": 1, "stars": 4}]
    (row,) = rows(fake(), given, column="words", label_column="class")
    assert (row["label"], row["target"], row["extra"]) == ("even", "odd", '{"stars": 4}')
