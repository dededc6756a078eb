"""What came along with inputs stands in their rows, whatever it is called and holds."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from temporal.data import collect
from temporal.pipelines.jobs.job import run
from temporal.pipelines.jobs.store.ledger import read_rows
from temporal.pipelines.jobs.table.extra import extra_of, extra_text
from temporal.pipelines.jobs.table.rows import rows

from ...fake_pipe import FakePipe


def extras(path: Any, **options: Any) -> list[dict[str, Any]]:
    items = collect(path, kind="text", other_columns=None, **options)
    return [extra_of(row) for row in rows(FakePipe(order="input"), items)]


CSV = (
    'id,text,label,error,status,camera,camera,"a,b",empty\n7,one two,1,none,,c1,c2,"x ""y""\nz",\n'
)


def test_columns_of_a_table_come_along(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(CSV)
    items = collect(str(path), kind="text", other_columns=None)
    summary = run(FakePipe(), items, tmp_path / "out", progress=False)
    assert summary.exit_code == 0
    (row,) = read_rows(tmp_path / "out")
    assert (row["id"], row["status"], row["target"]) == ("7", "ok", "odd")
    # Those that are called like columns of ours, or like each other, are there beside ours.
    assert extra_of(row) == {"error": "none", "camera": "c1", "camera.1": "c2", "a,b": 'x "y"\nz'}
    assert json.loads(pq.read_table(tmp_path / "out")["extra"][0].as_py())["camera"] == "c1"


def test_a_row_without_more_columns_has_none(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("text,label\none,1\n")
    items = collect(str(path), kind="text", other_columns=None)
    assert [row["extra"] for row in rows(FakePipe(order="input"), items)] == [None]


def test_an_error_row_has_them_too(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(
        '{"text": 5, "camera": "c1"}\n{"id": "a", "text": "x"}\n{"id": "a", "text": 7}\n'
    )
    assert extras(str(path))[0] == {"camera": "c1"}


def test_values_of_every_type(tmp_path: Path) -> None:
    table = pa.table(
        {
            "text": ["one", "two"],
            "n": [1, None],
            "x": [float("nan"), 0.5],
            "flag": [True, False],
            "when": [datetime.datetime(2026, 1, 2), None],
            "price": [Decimal("1.50"), None],
            "nested": [{"a": [1, 2], "b": "é"}, None],
            "blob": [b"123", b"4"],
        }
    )
    first = {
        "n": 1,
        "flag": True,
        "when": "2026-01-02T00:00:00",
        "price": "1.50",
        "nested": {"a": [1, 2], "b": "é"},
    }
    pq.write_table(table, tmp_path / "t.parquet")
    for source in (str(tmp_path / "t.parquet"), table):
        assert extras(source) == [first, {"x": 0.5, "flag": False}]
    frame = table.drop_columns(["blob"]).to_pandas()
    assert extras(frame)[0] == {**first, "n": 1.0}
    cells = {"a": np.float32(0.5), "b": np.arange(3), "c": float("inf"), "d": b"12", 3: "\udcff"}
    assert json.loads(extra_text(cells) or "") == {
        "a": 0.5, "b": [0, 1, 2], "c": None, "d": "<2 bytes>", "3": "\\udcff"
    }  # fmt: skip


def test_columns_of_datasets(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 0], "site": ["x", None]})
    for source in (table, table.to_iterable_dataset()):
        assert extras(source) == [{"site": "x"}, {}]
    table.save_to_disk(tmp_path / "saved")
    assert extras(str(tmp_path / "saved")) == [{"site": "x"}, {}]
    datasets.DatasetDict(train=table).save_to_disk(tmp_path / "splits")
    (item,) = collect(str(tmp_path / "splits"), kind="text")
    assert item.error is not None and "splits" in item.error.message


def test_other_names_of_ids_and_labels(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,name,text,label,class\n1,a,one,x,y\n")
    (item,) = collect(
        str(path), kind="text", id_column="name", label_column="class", other_columns=None
    )
    assert item.id == "a"
    assert item.extra == {"label": "y", "id": "1", "label.1": "x"}
