"""Tasks by name, and the types of what their predictions hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from temporal.models import RECORDS as READER_RECORDS
from temporal.pipelines import register_task
from temporal.pipelines.base import Pipeline
from temporal.pipelines.jobs.table.row import row_schema
from temporal.pipelines.loading.load import DEFAULTS
from temporal.pipelines.tasks import registry
from temporal.pipelines.tasks.columns import (
    CLASSES,
    OF_EVERY_ROW,
    arrow_type,
    check_columns,
    stored_prediction,
)
from temporal.pipelines.tasks.registry import RECORDS, TaskRecord, record_of

TIMES: dict[str, Any] = {"start_seconds": float, "box": list[int], "label": str, "seen": bool}


def record(**fields: Any) -> TaskRecord:
    made: dict[str, Any] = {"name": "x", "kind": "video", "load": "a:b", "predictions": "c:d"}
    return TaskRecord(**{**made, **fields})


@pytest.mark.parametrize("name", RECORDS)
def test_what_a_record_names_is_there(name: str) -> None:
    task = RECORDS[name]
    pipe = task.find("pipeline")
    assert issubclass(pipe, Pipeline)
    assert pipe.kind == task.kind
    assert getattr(pipe, "task", name) == name
    assert all(callable(task.find(part)) for part in ("load", "predictions", "picture"))
    assert task.default is None or (DEFAULTS / task.default / "config.json").is_file()


def test_every_reader_is_for_a_task() -> None:
    taken = {auto for task in RECORDS.values() for auto in task.auto_classes}
    assert {reader.auto_class for reader in READER_RECORDS.values()} <= taken


def test_a_record_that_names_nothing_says_so() -> None:
    task = record(load=".classes:no_such")
    with pytest.raises(ValueError, match="load .'.classes:no_such'. of task x must be 'module:n"):
        task.find("load")


def test_a_task_is_registered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "RECORDS", dict(RECORDS))
    for _ in range(2):  # a cell of a notebook that is run again
        register_task(record(name="moments", columns=TIMES))
    assert record_of("moments").columns == TIMES
    for changes in ({"name": "sentiment-analysis"}, {"name": "y", "aliases": ("moments",)}):
        with pytest.raises(ValueError, match="must be one that no other task has"):
            register_task(record(**changes))
    assert (record_of("video-other").kind, record_of("").kind) == ("video", "text")
    assert record_of("other").columns == CLASSES


def test_columns_of_every_row_are_those_of_the_schema() -> None:
    names = set(row_schema(keep_text=True, audited=True).names)
    assert names - set(CLASSES) == OF_EVERY_ROW


@pytest.mark.parametrize(
    ("columns", "rule"),
    [
        ({}, "at least one"),
        ({"trace": float}, "'trace'. must not be among those that every row has"),
        ({"a": dict}, r"a: <class 'dict'>. must be str, int, float, bool"),
        ({"a": list}, "must be str, int"),
        ({"a": list[list[dict[str, int]]]}, "must be str, int"),
        ({"a": float | None}, "must be str, int"),
    ],
)
def test_columns_that_rows_cannot_have(columns: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        check_columns(columns)
    with pytest.raises(ValueError, match=rule):
        record(columns=columns)


def test_types_of_columns() -> None:
    assert arrow_type(list[list[int]]) == pa.list_(pa.list_(pa.int64()))
    schema = row_schema(record(columns=TIMES))
    assert schema.names[2:7] == [*TIMES, "predictions"]
    fields = [("start_seconds", pa.float64()), ("box", pa.list_(pa.int64()))]
    fields += [("label", pa.string()), ("seen", pa.bool_())]
    assert schema.field("predictions").type == pa.list_(pa.struct(fields))
    assert [(name, schema.field(name).type) for name in TIMES] == fields
    assert "predictions" not in row_schema(replace(record(columns=TIMES), is_single=True)).names


def test_values_become_what_a_row_holds() -> None:
    given = {
        "start_seconds": np.float32(1.5),
        "box": torch.tensor([1, 2, 3]),
        "label": "a\udcff",
        "seen": np.True_,
    }
    stored = stored_prediction(given, TIMES)
    assert stored == {"start_seconds": 1.5, "box": [1, 2, 3], "label": "a\\udcff", "seen": True}
    kinds = [float, list, str, bool]
    assert [type(value) for value in stored.values()] == kinds
    assert type(stored["box"][0]) is int
    assert stored_prediction({}, TIMES) == dict.fromkeys(TIMES)
    table = {"m": list[list[float]]}
    assert stored_prediction({"m": np.array([[1, np.nan], [np.inf, 2]])}, table) == {
        "m": [[1.0, None], [None, 2.0]]
    }


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (1.5, int),
        ("one", float),
        ("abc", list[str]),
        (3, list[int]),
        ([1, "x"], list[float]),
        (torch.ones(2), float),
        ({"a": 1}, float),
        (2, bool),
        ({"a": 1}, list[str]),
    ],
)
def test_values_of_another_type_are_refused(value: Any, kind: Any) -> None:
    with pytest.raises(ValueError, match="a prediction's a .* must be of type"):
        stored_prediction({"a": value}, {"a": kind})


def test_a_field_without_a_column_is_refused() -> None:
    with pytest.raises(ValueError, match=r"predictions hold \['box'\], for which"):
        stored_prediction({"label": "x", "score": 0.5, "box": [1]}, CLASSES)
