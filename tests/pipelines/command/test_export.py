"""`temporal export`: a run's events as files."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from temporal.pipelines.command.cli import app
from temporal.pipelines.jobs.manifest import RunManifest, open_run
from temporal.pipelines.jobs.store.ledger import ResultWriter
from temporal.pipelines.jobs.table.row import row_of, row_schema
from temporal.pipelines.reading import Reading, ReadingError
from temporal.pipelines.tasks.registry import RECORDS, TaskRecord, register_task
from temporal.trace import Trace

RECORD = TaskRecord(
    name="events-of-a-test",
    kind="video",
    load=".none:none",
    predictions=".none:none",
    columns={"label": str, "score": float, "start_seconds": float, "end_seconds": float},
)


def event(label: str, start: float, end: float, score: float = 0.9) -> dict[str, Any]:
    return {"label": label, "score": score, "start_seconds": start, "end_seconds": end}


def reading(id: str, *events: dict[str, Any], error: bool = False) -> Reading:
    fault = ReadingError(stage="open", reason="not_media", message="no video") if error else None
    trace = Trace(unit="frame", units_total=100, seconds_per_unit=1001 / 30000)
    return Reading(id=id, predictions=events, trace=None if error else trace, error=fault)


@pytest.fixture
def run(tmp_path: Path) -> Any:
    register_task(RECORD)

    def make(*readings: Reading) -> Path:
        folder = tmp_path / "run"
        open_run(folder, RunManifest(task=RECORD.name, model="m"), resume=False)
        schema = row_schema(RECORD)
        with ResultWriter(folder, schema=schema, format="parquet", rows_per_part=9) as writer:
            for one in readings:
                writer.write(row_of(one, task=RECORD))
        return folder

    yield make
    RECORDS.pop(RECORD.name)


def export(*words: Any) -> Any:
    return CliRunner().invoke(app, ["export", *map(str, words)])


def test_one_video_in_every_format(run: Any, tmp_path: Path) -> None:
    folder = run(reading("a.mp4", event("fall, hard", 60.06, 61.0), event("sit", 5, 9, 0.3)))
    for suffix in (".vtt", ".edl", ".csv", ".json", ".ffmeta", ".xml"):
        path = tmp_path / f"events{suffix}"
        result = export(folder, "-o", path)
        assert result.exit_code == 0, result.output
        assert "fall, hard" in path.read_text(encoding="utf-8")
        assert "sit" in path.read_text(encoding="utf-8")
    # The rate of the video says that timecodes are drop-frame ones: frame 1800.
    assert "00:01:00;02" in (tmp_path / "events.edl").read_text()
    assert export(folder, "-o", tmp_path / "e.edl", "--frame-rate", "25").exit_code == 0
    assert "00:01:00:02" in (tmp_path / "e.edl").read_text()  # 60.06 * 25 = 1501.5
    assert export(folder, "-o", tmp_path / "e.vtt", "--min-score", "0.5").exit_code == 0
    assert "sit" not in (tmp_path / "e.vtt").read_text()


def test_several_videos_are_a_table_or_a_file_each(run: Any, tmp_path: Path) -> None:
    folder = run(
        reading("x/a.mp4", event("fall", 1, 2)),
        reading("y/a.mp4"),
        reading("bad.mp4", error=True),
    )
    result = export(folder, "-o", tmp_path / "all.csv")
    assert result.exit_code == 0
    assert "bad.mp4: error: not_media" in result.stderr
    with (tmp_path / "all.csv").open(newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == ["x/a.mp4"]
    assert export(folder, "-o", tmp_path / "all.json").exit_code == 0
    found = {one["id"]: one for one in json.loads((tmp_path / "all.json").read_text())}
    assert [len(found[id]["events"]) for id in ("x/a.mp4", "y/a.mp4", "bad.mp4")] == [1, 0, 0]
    assert found["bad.mp4"]["status"] == "error"
    assert export(folder, "-o", tmp_path / "each", "--format", "webvtt").exit_code == 0
    assert sorted(p.name for p in (tmp_path / "each").iterdir()) == ["x_a.mp4.vtt", "y_a.mp4.vtt"]
    assert export(folder, "-o", tmp_path / "one.vtt", "--id", "x/a.mp4").exit_code == 0


def test_what_cannot_be_exported_is_said(run: Any, tmp_path: Path) -> None:
    folder = run(reading("a.mp4", event("fall", 1, 2)), reading("bad.mp4", error=True))
    for words, said in [
        ((folder, "-o", tmp_path / "e.vtt"), "one video"),
        ((folder, "-o", tmp_path / "e.docx"), "must end in"),
        ((folder, "-o", tmp_path / "e.vtt", "--id", "none.mp4"), "none.mp4"),
        ((folder, "-o", tmp_path / "e.vtt", "--id", "bad.mp4"), "not_media"),
        ((tmp_path / "no", "-o", tmp_path / "e.vtt"), "output directory of a run"),
        ((folder, "-o", tmp_path / "e.edl", "--id", "a.mp4", "--frame-rate", "12.5"), "12.5"),
    ]:
        result = export(*words)
        assert result.exit_code == 2, words
        assert said in " ".join(result.stderr.split())
    assert not list(tmp_path.glob("e.*"))
