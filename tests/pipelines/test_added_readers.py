"""The readers of docs/add_a_reader.md are loaded, run and calibrated like the others."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoModelForVideoClassification,
    ViTConfig,
)
from typer.testing import CliRunner

from temporal.__main__ import main
from temporal.models import READERS, RECORDS
from temporal.pipelines import pipeline, read_rows
from temporal.pipelines.command.cli import app

from .. import added_readers as page
from .conftest import LABELS, SMALL, VOCABULARY, encode, save, spread, words

NAMES = {"id2label": LABELS, "label2id": {name: k for k, name in LABELS.items()}}
SETTINGS: dict[str, dict[str, Any]] = {
    page.VIDEO: {
        "backbone": ViTConfig(**SMALL).to_dict(),
        "image_size": 32,
        "num_frames": 4,
        "num_glances": 6,
    },
    page.RECURRENT: {"vocab_size": len(VOCABULARY), "embedding_size": 8, "hidden_size": 12},
}
TASKS = {page.VIDEO: "video-classification", page.RECURRENT: "text-classification"}

AUTO = {
    page.VIDEO: AutoModelForVideoClassification,
    page.RECURRENT: AutoModelForSequenceClassification,
}


@pytest.fixture(params=TASKS)
def saved(request: Any, tmp_path: Path, tokenizer: Any) -> Iterator[tuple[str, Path]]:
    """A reader of the page, registered, and saved with random weights."""
    name = request.param
    with page.added(name, tmp_path) as record:
        torch.manual_seed(0)
        reader = record.reader_class(record.config_class(**SETTINGS[name], **NAMES))
        yield name, save(spread(reader), tmp_path / "reader", tokenizer)


@pytest.fixture
def labelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Thirty inputs with labels, as `--data-file` takes them."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")

    def make(name: str) -> Path:
        if name == page.RECURRENT:
            table = tmp_path / "labelled.csv"
            lines = [f"{words(k, 5 + k % 9)},{LABELS[k % 3]}" for k in range(30)]
            table.write_text("\n".join(["text,label", *lines]) + "\n")
            return table
        for k in range(30):
            folder = tmp_path / "labelled" / LABELS[k % 3]
            folder.mkdir(parents=True, exist_ok=True)
            encode(folder / f"{k}.mp4", k, num_frames=8)
        return tmp_path / "labelled"

    return make


def command(*given: Any) -> str:
    result = CliRunner().invoke(app, [str(one) for one in given])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_it_is_saved_loaded_run_and_calibrated(
    saved: tuple[str, Path], labelled: Any, videos: list[Path], texts: list[str], tmp_path: Path
) -> None:
    name, folder = saved
    task, kind = TASKS[name], TASKS[name].partition("-")[0]
    inputs = [str(path) for path in videos] if name == page.VIDEO else texts[2:8]

    loaded = AUTO[name].from_pretrained(folder)
    assert type(loaded) is READERS[name]
    assert type(AutoConfig.from_pretrained(folder)) is type(loaded.config)

    pipe: Any = pipeline(model=str(folder), device="cpu")
    assert pipe.task == task
    readings = list(pipe.read(inputs))
    assert [reading.status for reading in readings] == ["ok"] * 6
    assert {reading.predictions[0]["label"] for reading in readings} <= set(LABELS.values())
    alone = [pipe(one)[0]["score"] for one in inputs]
    assert alone == pytest.approx([r.predictions[0]["score"] for r in readings], abs=1e-5)

    given = inputs
    if kind == "text":
        (tmp_path / "texts.jsonl").write_text("\n".join(json.dumps({"text": t}) for t in inputs))
        given = [str(tmp_path / "texts.jsonl")]
    command("run", task, *given, "-o", tmp_path / "out", "--model", folder, "--device", "cpu")
    rows = sorted(read_rows(tmp_path / "out"), key=lambda row: row["id"])
    assert [row["score"] for row in rows] == pytest.approx(alone, abs=1e-5)
    assert [row["units_read"] for row in rows] == [r.trace.units_read for r in readings]

    calibrate = ("calibrate", "--task", kind, "--model", folder, "--data-file", labelled(name))
    report = json.loads(command(*calibrate, "--budget", 0.9, "--num_points", 5))
    assert report["full"]["num_calibration"] == 30 and report["stored"] > 1
    assert report["chosen"]["cost_share"] <= 0.905
    cheaper: Any = pipeline(task, str(folder), budget=0.9, device="cpu")
    assert cheaper.operating_point["policy"] == report["chosen"]["policy"]
    full = sum(reading.trace.cost.macs for reading in pipe_at_full(folder, report, inputs))
    assert sum(reading.trace.cost.macs for reading in cheaper.read(inputs)) < full

    told = ("benchmark", task, calibrate[-1], "--model", folder, "--limit", 9, "--rounds", 1)
    measured = json.loads(command(*told, "--device", "cpu", "--json"))["results"]
    assert measured["dense"]["macs_share"] == 1.0 >= measured["reader"]["macs_share"]
    # Of a video it is offered so many frames, glances at them and reads them all, up to four.
    assert measured["truncated"]["cut"] >= 1 and measured["truncated"]["unread"] == 0
    if kind == "video":
        most = min(measured["truncated"]["cut"], 4)
        assert measured["truncated"]["macs_share"] == pytest.approx(most / 4, rel=0.01)


def pipe_at_full(folder: Path, report: dict[str, Any], inputs: list[str]) -> Iterator[Any]:
    pipe: Any = pipeline(model=str(folder), budget=1.0, device="cpu")
    assert pipe.operating_point["policy"] == report["full"]["policy"]
    return pipe.read(inputs)


def test_a_reader_of_ones_own_package_is_registered_by_a_call(
    videos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with page.added(page.VIDEO, tmp_path) as record:
        torch.manual_seed(0)
        reader = record.reader_class(record.config_class(**SETTINGS[page.VIDEO], **NAMES))
        folder = save(spread(reader), tmp_path / "reader")
    package = tmp_path / "mine"
    package.mkdir()
    (package / "outliers_first.py").write_text(page.FILES[page.VIDEO][0])
    monkeypatch.syspath_prepend(tmp_path)
    (call,) = page.blocks("In a package of your own")
    try:
        exec(call, {})  # the page is ours
        output = tmp_path / "out"
        command("run", "video-classification", videos[0], "--model", folder, "--output", output)
        assert "mine.outliers_first" in sys.modules
    finally:
        RECORDS.pop(page.VIDEO, None)
        for module in ("mine", "mine.outliers_first"):
            sys.modules.pop(module, None)
    (row,) = read_rows(output)
    assert (row["status"], row["units_read"]) == ("ok", 4)
    assert callable(main) and "from temporal.__main__ import main" in page.PAGE.read_text()
