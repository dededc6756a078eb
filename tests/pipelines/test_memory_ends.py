"""A device whose memory does not suffice for a batch: answers stay, and rows say it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from temporal.data import collect
from temporal.engine import Stage
from temporal.packed import Packed
from temporal.pipelines import pipeline
from temporal.pipelines.display.report import cost_line, summary_table
from temporal.pipelines.jobs.job import run
from temporal.pipelines.jobs.store.ledger import parts, read_rows, read_tables
from temporal.pipelines.jobs.table.summary import summarize, summary_columns
from temporal.pipelines.jobs.table.trace_column import trace_of

ERRORS = {
    "gpu": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "cpu": RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate"),
}


def bound(pipe: Any, most_rows: int, error: Exception) -> list[int]:
    """Let all stages of a pipeline's reader refuse more rows; returns how many they refused."""
    refused: list[int] = []

    def bounded(function: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            count = len(args[0].lengths) if isinstance(args[0], Packed) else len(args[0])
            if count > most_rows:
                refused.append(count)
                raise error
            return function(*args, **options)

        return call

    parts = [pipe.reader, *(m for m in pipe.reader.modules() if m is not pipe.reader)]
    stages = {id(s): s for part in parts for value in vars(part).values() for s in _stages(value)}
    assert stages
    for stage in stages.values():
        stage.fn = bounded(stage.fn)
    return refused


def _stages(value: Any) -> list[Stage]:
    values = value if isinstance(value, list | tuple) else [value]
    return [one for one in values if isinstance(one, Stage)]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("model", ["skim_path", "early_exit_path", "bert_path"])
def test_texts_are_answered_in_smaller_batches(
    model: str, error: str, texts: list[str], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    path = request.getfixturevalue(model)
    options: dict[str, Any] = {"model": path, "device": "cpu", "batch_size": 8}
    plain = list(pipeline("text-classification", **options).read(texts))
    pipe = pipeline("text-classification", **options)
    refused = bound(pipe, 3, ERRORS[error])
    items = collect(texts, kind="text", strings="text")
    summary = run(pipe, items, tmp_path / "out", progress=False)
    rows = list(read_rows(tmp_path / "out"))
    assert refused and [row["status"] for row in rows] == [one.status for one in plain]
    for row, one in zip(rows, plain, strict=True):
        assert row["label"] == one.predictions[0]["label"]
        assert row["score"] == pytest.approx(one.predictions[0]["score"], abs=1e-5)
        trace = trace_of(row)
        assert trace is not None and one.trace is not None and trace.read == one.trace.read
        if model != "bert_path":  # whose rows cost as the longest of their batch
            assert trace.cost.macs == one.trace.cost.macs
    halved = [row for row in rows if row["trace"]["batches_halved"]]
    assert summary.halved == len(halved) >= len(rows) // 2
    assert f"{len(halved)} in batches that did not fit into memory" in str(
        summary_table(summary).caption
    )
    assert "halved for want of memory" in cost_line(trace_of(halved[0]))  # type: ignore[arg-type]


@pytest.mark.parametrize("model", ["frame_exit_path", "video_mae_path"])
def test_videos_are_answered_in_smaller_batches(
    model: str, videos: list[Path], request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(model)
    plain = list(pipeline("video-classification", model=path, device="cpu").read(videos))
    pipe = pipeline("video-classification", model=path, device="cpu")
    refused = bound(pipe, 1, ERRORS["gpu"])
    found = list(pipe.read(videos))
    assert refused and [one.status for one in found] == ["ok"] * len(videos)
    for one, other in zip(found, plain, strict=True):
        assert one.predictions[0]["label"] == other.predictions[0]["label"]
    assert any(one.trace is not None and one.trace.batches_halved for one in found)


def test_an_input_that_does_not_fit_alone_is_an_error_of_its_own(
    skim_path: Path, texts: list[str]
) -> None:
    pipe = pipeline("text-classification", model=skim_path, device="cpu", batch_size=8)
    bound(pipe, 0, ERRORS["cpu"])
    readings = list(pipe.read(texts[:5]))
    assert {(one.status, one.error.reason) for one in readings if one.error} == {("error", "oom")}
    assert len(readings) == 5


def test_rows_from_before_there_was_such_a_column_are_summed_up(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from .fake_pipe import FakePipe, numbered_items

    run(FakePipe(), numbered_items(5), tmp_path, progress=False)
    (part,) = parts(tmp_path)
    table = pq.read_table(part)
    place = table.schema.get_field_index("trace")
    rows = [
        None if one is None else {k: v for k, v in one.items() if k != "batches_halved"}
        for one in table["trace"].to_pylist()
    ]
    fields = [field for field in table.schema.field("trace").type if field.name in rows[0]]
    pq.write_table(table.set_column(place, "trace", pa.array(rows, pa.struct(fields))), part)
    columns = summary_columns(["label", "score"])
    summary = summarize(read_tables(tmp_path, columns=columns))
    assert summary == summarize(read_rows(tmp_path, columns=columns))
    assert (summary.inputs, summary.halved) == (5, 0)
    assert all(trace_of(row).batches_halved == 0 for row in read_rows(tmp_path))  # type: ignore[union-attr]
