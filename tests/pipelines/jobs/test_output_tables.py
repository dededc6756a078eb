"""An output opens with what people use, with numbers where numbers are meant."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from temporal.pipelines.jobs.job import run
from temporal.pipelines.jobs.manifest import OutputRefused, RunManifest
from temporal.pipelines.jobs.store.ledger import ResultWriter, parts, read_rows, read_tables
from temporal.pipelines.jobs.table.row import row_schema
from temporal.pipelines.jobs.table.summary import SUMMARY_COLUMNS, summarize
from temporal.pipelines.reading import Reading
from temporal.trace import Cost, Trace

from ..fake_pipe import FakeItem, FakePipe, numbered_items
from .table.test_row import old_row


class FakeVideos(FakePipe):
    """Reads frames 8 and 2 of ten, and halts."""

    task = "video-classification"
    tokenizer = None  # type: ignore[assignment]  # videos have none

    def _reading(self, item: Any) -> Reading:
        if item.error is not None:
            return super()._reading(item)
        trace = Trace(
            unit="frame",
            units_total=10,
            read=(8, 2),
            halted_at=8,
            halted_at_seconds=0.8,
            seconds_per_unit=0.1,
            exit=1,
            num_exits=4,
            cost=Cost(frames_decoded=5, bytes_read=7, layers=2, macs=20),
        )
        predictions = ({"label": "even", "score": 1.0},)
        return Reading(id=item.id, predictions=predictions, trace=trace)


def broken_items(count: int) -> Iterator[FakeItem]:
    error = SimpleNamespace(reason="empty_input", message="nothing")
    return (FakeItem(id=f"bad-{i}", error=error) for i in range(count))


def mixed_items() -> Iterable[FakeItem]:
    """First a part of errors alone, then 20 of which two are broken."""
    return [*broken_items(4), *numbered_items(20)]


PIPES = pytest.mark.parametrize("pipe", [FakePipe, FakeVideos])


@PIPES
@pytest.mark.parametrize("keep_text", [False, True])
def test_pandas_pyarrow_and_datasets_open_the_directory(
    tmp_path: Path, pipe: type[FakePipe], keep_text: bool
) -> None:
    datasets = pytest.importorskip("datasets")
    out = tmp_path / "out"
    options: dict[str, Any] = {"keep_text": keep_text, "rows_per_part": 4, "progress": False}
    run(pipe(), mixed_items(), out, **options)
    ours = {row["id"]: row for row in read_rows(out)}

    frame = pd.read_parquet(out).set_index("id")
    assert len(frame) == 24
    assert frame["trace"].loc[["bad-0", "item-9"]].isna().all()
    trace = frame["trace"]["item-4"]  # of five words the first, third and fifth are read
    if pipe is FakePipe:
        expected = {"units_read": 3, "units_total": 5, "share_read": 0.6, "dense_macs": 50}
        assert trace["read"].tolist() == [0, 2, 4]
    else:
        expected = {"units_read": 2, "units_total": 10, "exit": 1, "halted_at_seconds": 0.8}
        assert trace["read"].tolist() == [8, 2]
        counted = {"frames_decoded": 5, "bytes_read": 7, "layers": 2, "macs": 20}
        assert trace["cost"] == {**counted, "frames_glanced": 0}
    assert {name: trace[name] for name in expected} == expected
    assert frame["trace"].dropna().map(lambda found: found["units_read"]).sum() == sum(
        row["units_read"] or 0 for row in ours.values()
    )

    table = pyarrow.dataset.dataset(out, format="parquet").to_table()
    assert table.schema.equals(row_schema(keep_text=keep_text))
    assert {row["id"]: row for row in table.to_pylist()} == ours

    found = datasets.load_dataset("parquet", data_dir=str(out), cache_dir=str(tmp_path / "cache"))
    assert {row["id"]: row for row in found["train"]} == ours
    if keep_text and pipe is FakePipe:
        spans = found["train"].filter(lambda row: row["id"] == "item-1")["spans"]
        assert list(spans) == [[{"start": 0, "end": 4}, {"start": 5, "end": 9}]]


@PIPES
@pytest.mark.parametrize("keep_text", [False, True])
def test_all_parts_have_one_schema(tmp_path: Path, pipe: type[FakePipe], keep_text: bool) -> None:
    def bounded() -> Iterator[FakeItem]:
        yield from mixed_items()
        raise KeyboardInterrupt  # parts are joined at a run's end: this one has none

    options: dict[str, Any] = {"keep_text": keep_text, "rows_per_part": 4, "progress": False}
    with pytest.raises(KeyboardInterrupt):
        run(pipe(), bounded(), tmp_path, **options)
    schemas = [pq.read_schema(path) for path in parts(tmp_path)]
    assert len(schemas) == 6
    assert all(schema.equals(row_schema(keep_text=keep_text)) for schema in schemas)


def test_a_run_of_errors_alone_has_the_same_schema(tmp_path: Path) -> None:
    run(FakePipe(), broken_items(3), tmp_path, progress=False)
    (path,) = parts(tmp_path)
    assert pq.read_schema(path).equals(row_schema())
    assert pd.read_parquet(tmp_path)["trace"].isna().all()


def test_a_run_without_rows_has_the_same_schema(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(FakePipe(), broken_items(3), out, on_error="skip", progress=False)
    assert list(pd.read_parquet(out).columns) == row_schema().names
    # Another rank's rows beside it are read by datasets, which takes no row group without rows.
    run(FakePipe(), broken_items(3), out, resume=True, rank=1, world_size=2, progress=False)
    assert len(parts(out)) == 2
    datasets = pytest.importorskip("datasets")
    found = datasets.load_dataset("parquet", data_dir=str(out), cache_dir=str(tmp_path / "cache"))
    assert (list(found["train"]["id"]), found["train"].column_names) == (
        ["bad-1"],
        row_schema().names,
    )
    summary = run(FakePipe(), broken_items(3), out, resume=True, progress=False)
    assert (summary.error, len(pd.read_parquet(out))) == (3, 3)


def test_no_reader_takes_a_damaged_part_for_rows(tmp_path: Path) -> None:
    run(FakePipe(), numbered_items(5), tmp_path, progress=False)
    (path,) = parts(tmp_path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.warns(
        UserWarning, match=r"set aside \(\.damaged-part-00000-000000\.parquet\.aside"
    ):
        run(FakePipe(), numbered_items(5), tmp_path, resume=True, progress=False)
    # polars and duckdb take hidden files, too.
    assert [p for p in tmp_path.iterdir() if p.suffix == ".parquet"] == parts(tmp_path)
    assert len(pd.read_parquet(tmp_path)) == 5


def test_json_lines_are_nested_objects(tmp_path: Path) -> None:
    run(FakePipe(), numbered_items(10), tmp_path, format="jsonl", keep_text=True, progress=False)
    (path,) = parts(tmp_path)
    frame = pd.read_json(path, lines=True).set_index("id")
    assert frame["trace"]["item-2"]["read"] == [0, 2]
    assert frame["trace"]["item-9"] is None
    assert frame["spans"]["item-1"] == [{"start": 0, "end": 4}, {"start": 5, "end": 9}]


def test_a_summary_reads_only_what_it_adds_up(tmp_path: Path) -> None:
    for number, format in enumerate(("parquet", "jsonl")):
        out = tmp_path / str(number)
        summary = run(FakeVideos(), mixed_items(), out, format=format, progress=False)
        assert summary == summarize(read_rows(out)) == summarize(read_tables(out))
        assert (summary.traced, summary.halted, summary.exits_computed) == (18, 18, 36)
    row = next(read_rows(tmp_path / "0", columns=["trace.unit", "trace.exit"]))
    assert row == {"trace": None}
    rows = read_rows(tmp_path / "0", columns=["id", "trace.unit", "trace.exit"])
    assert {"id": "item-0", "trace": {"unit": "frame", "exit": 1}} in list(rows)


def write_old(out: Path, format: Any, *rows: dict[str, Any]) -> None:
    """An output of version 0.1, whose traces were JSON in a string."""
    trace = row_schema().get_field_index("trace")
    schema = row_schema().set(trace, pa.field("trace", pa.string()))
    out.mkdir()
    RunManifest(task=FakePipe.task, model=FakePipe.model_name).write(out)
    with ResultWriter(out, schema=schema, format=format) as writer:
        for row in rows:
            writer.write(row)


@pytest.mark.parametrize("format", ["parquet", "jsonl"])
def test_an_older_output_is_read_and_not_mixed_with_other_rows(tmp_path: Path, format: Any) -> None:
    out = tmp_path / "out"
    write_old(out, format, {**old_row(id="item-9"), "trace": None}, old_row())
    summary = summarize(read_rows(out, columns=SUMMARY_COLUMNS))
    assert summary == summarize(read_tables(out, columns=SUMMARY_COLUMNS))
    assert (summary.units_read, summary.dense_macs, summary.units) == (5, 80, "tokens")
    before = sorted(out.iterdir())
    with pytest.raises(OutputRefused, match=r"part-.* differs in: trace\. .* choose another"):
        run(FakePipe(), numbered_items(5), out, format=format, resume=True, progress=False)
    assert sorted(out.iterdir()) == before


def test_an_output_without_texts_is_not_gone_on_with_texts(tmp_path: Path) -> None:
    run(FakePipe(), numbered_items(3), tmp_path, progress=False)
    with pytest.raises(OutputRefused, match="differs in: spans, text"):
        run(FakePipe(), numbered_items(5), tmp_path, resume=True, keep_text=True, progress=False)


def test_long_sources_are_committed_before_they_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("temporal.pipelines.jobs.job._MOST_UNITS_HELD", 10)
    committed = []
    real = ResultWriter.commit

    def commit(writer: ResultWriter, **options: Any) -> None:
        real(writer, **options)
        committed.append(writer.rows_committed)

    monkeypatch.setattr(ResultWriter, "commit", commit)
    items = (FakeItem(id=str(i), value="word " * 11 + "word") for i in range(4))
    run(FakePipe(), items, tmp_path, progress=False)  # six units of each are read
    assert committed[:2] == [2, 4]
    assert json.dumps([row["id"] for row in read_rows(tmp_path)]) == '["0", "1", "2", "3"]'
