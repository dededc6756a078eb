"""Rows hold what a task's predictions hold, whatever that is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from temporal.pipelines.display.report import reading_panel, summary_table, title_of
from temporal.pipelines.jobs.job import run
from temporal.pipelines.jobs.manifest import OutputRefused
from temporal.pipelines.jobs.store.ledger import parts, read_rows
from temporal.pipelines.reading import Reading, ReadingFailed
from temporal.pipelines.tasks.registry import RECORDS, TaskRecord

from ...fake_pipe import FakePipe, numbered_items

MOMENTS = TaskRecord(
    name="text-moments",
    kind="text",
    load="nowhere:load",
    predictions="nowhere:predictions",
    columns={"start_seconds": float, "box": list[float]},
)


class FakeMoments(FakePipe):
    """Finds a moment for each word that is read."""

    task = "text-moments"
    spoilt: Any = None

    def _reading(self, item: Any) -> Reading:
        reading = super()._reading(item)
        if reading.trace is None:
            return reading
        found = tuple(
            {"start_seconds": unit / 2, "box": [0.0, unit, 1.0, 1.0]} for unit in reading.trace.read
        )
        if item.id == "item-3" and self.spoilt is not None:
            found = ({**found[0], **self.spoilt},)
        return replace(reading, predictions=found)


@pytest.fixture(autouse=True)
def _moments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECORDS, MOMENTS.name, MOMENTS)


@pytest.mark.parametrize("format", ["parquet", "jsonl"])
def test_times_and_boxes_are_columns(tmp_path: Path, format: Any) -> None:
    out = tmp_path / "out"
    options: dict[str, Any] = {"format": format, "rows_per_part": 4, "progress": False}
    run(FakeMoments(), list(numbered_items(10)), out, **options)
    summary = run(FakeMoments(), numbered_items(20), out, resume=True, **options)
    rows = {row["id"]: row for row in read_rows(out)}
    assert (summary.inputs, summary.ok, summary.error) == (20, 18, 2)
    assert summary.accuracy is None and not summary.foreign  # it says no labels
    assert summary.units_read == sum(row["units_read"] or 0 for row in rows.values())
    row = rows["item-4"]  # of five words the first, third and fifth are read
    assert (row["start_seconds"], row["box"]) == (0.0, [0.0, 0.0, 1.0, 1.0])
    assert [one["start_seconds"] for one in row["predictions"]] == [0.0, 1.0, 2.0]
    assert row["predictions"][2]["box"] == [0.0, 4.0, 1.0, 1.0]
    assert row["target"] == "1" and "label" not in row
    assert (rows["item-9"]["box"], rows["item-9"]["predictions"]) == (None, [])
    if format == "parquet":
        table = pq.read_table(parts(out)[0])
        assert str(table.schema.field("box").type) == "list<element: double>"
    assert title_of(row) == "item-4  ·  start_seconds 0  ·  box [0, 0, 1, 1]  ·  labelled 1"
    console = Console(width=100, record=True)
    console.print(reading_panel(row), reading_panel(rows["item-9"]), summary_table(summary))
    assert "box [0, 0, 1, 1]" in console.export_text()


def test_a_run_of_one_task_is_not_gone_on_with_by_another(tmp_path: Path) -> None:
    run(FakeMoments(), numbered_items(3), tmp_path / "out", progress=False)
    with pytest.raises(OutputRefused, match="task"):
        run(FakePipe(), numbered_items(6), tmp_path / "out", resume=True, progress=False)
    with pytest.raises(OutputRefused, match="box"):  # as no table has both kinds of rows
        run(FakePipe(), numbered_items(6), tmp_path / "out", resume_anyway=True, progress=False)


@pytest.mark.parametrize(
    ("spoilt", "why"),
    [
        ({"mask": 1}, r"predictions hold ['mask'], for which their task has no column"),
        ({"box": "left"}, "a prediction's box (left) must be of type list[float]"),
    ],
)
def test_what_no_column_holds_is_an_error_of_that_row_alone(
    tmp_path: Path, spoilt: dict[str, Any], why: str
) -> None:
    pipe = FakeMoments()
    pipe.spoilt = spoilt
    summary = run(pipe, numbered_items(9), tmp_path / "out", progress=False)
    assert (summary.ok, dict(summary.reasons)) == (8, {"bad_prediction": 1})
    (row,) = (row for row in read_rows(tmp_path / "out") if row["id"] == "item-3")
    assert (row["status"], row["error_stage"], row["box"]) == ("error", "write", None)
    assert row["error_message"].startswith(why) and row["trace"] is not None
    with pytest.raises(ReadingFailed, match="bad_prediction"):
        run(pipe, numbered_items(9), tmp_path / "raise", on_error="raise", progress=False)
