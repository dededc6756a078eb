"""The task of docs/adding.md, copied from the page, is a task like the others."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import ViTConfig, ViTModel
from typer.testing import CliRunner

import temporal.pipelines.tasks as tasks_room
from temporal.data import Video
from temporal.pipelines import pipeline, read_rows
from temporal.pipelines.command.cli import app
from temporal.pipelines.display.report import title_of
from temporal.pipelines.tasks import registry

from ..conftest import SMALL, save, spread

PAGE = Path(__file__).parents[3] / "docs" / "adding.md"
TASK = "video-fingerprint"


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[registry.TaskRecord]:
    """One file in the room of tasks, and one record in the registry."""
    section = PAGE.read_text().split("## Add a task\n")[1].split("\n## ")[0]
    file, record = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    room = tmp_path / "room"
    room.mkdir()
    (room / "fingerprint.py").write_text(file)
    monkeypatch.setattr(tasks_room, "__path__", [*tasks_room.__path__, str(room)])
    made = eval(record, vars(registry).copy())  # the page is ours
    monkeypatch.setitem(registry.RECORDS, made.name, made)
    yield made
    sys.modules.pop(f"{tasks_room.__name__}.fingerprint", None)
    vars(tasks_room).pop("fingerprint", None)


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image model without a head."""
    torch.manual_seed(7)
    return save(spread(ViTModel(ViTConfig(**SMALL))), tmp_path_factory.mktemp("vit-model"))


def mean_of(path: Path, frames: list[int], vit: Path) -> list[float]:
    """What the task promises, without any of its code."""
    model = ViTModel.from_pretrained(vit).eval()
    with Video(path) as video, torch.no_grad():
        pixels = video.read(frames, size=(32, 32)).float() / 127.5 - 1
        return model(pixel_values=pixels).last_hidden_state.mean(1).mean(0).tolist()


def test_calls_answer_with_the_vector_of_the_frames_that_were_read(
    task: registry.TaskRecord, vit: Path, videos: list[Path]
) -> None:
    pipe: Any = pipeline(task.name, model=vit, device="cpu", max_frames=5, similarity=2.0)
    whole = mean_of(videos[0], [15, 0, 29, 7, 22], vit)
    assert pipe(str(videos[0])) == {"vector": pytest.approx(whole, abs=1e-5)}
    answers = pipe([str(path) for path in videos[:3]])
    assert [list(answer) for answer in answers] == [["vector"]] * 3
    early: Any = pipeline(task.name, model=str(vit), device="cpu", similarity=-1.0)
    (reading,) = early.read([videos[0]])
    assert (reading.trace.read, reading.trace.halted_at) == ((15, 0), 0)
    assert reading.trace.cost.frames_decoded < 30
    (prediction,) = reading.predictions
    assert prediction["vector"] == pytest.approx(mean_of(videos[0], [15, 0], vit), abs=1e-5)
    assert (reading.status, reading.classes) == ("ok", ())
    with pytest.raises(TypeError, match="option 'most_frames' of video-fingerprint must"):
        pipeline(task.name, model=vit, most_frames=5)
    with pytest.raises(ValueError, match="no model of its own: give one by model="):
        pipeline(task.name)


@pytest.mark.parametrize("format", ["parquet", "jsonl"])
def test_runs_have_its_columns_and_are_shown(
    task: registry.TaskRecord, vit: Path, videos: list[Path], tmp_path: Path, format: str
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    output = tmp_path / "out"

    def temporal(*arguments: Any) -> str:
        result = CliRunner().invoke(app, [str(one) for one in arguments])
        assert result.exit_code == (3 if arguments[0] == "run" else 0), result.output
        return result.output

    run = ("run", task.name, *videos[:2], broken, "-o", output, "--model", vit, "--device", "cpu")
    run = (*run, "--format", format, "--deadline-seconds", 0)
    temporal(*run)
    rows = {Path(row["id"]).name: row for row in read_rows(output)}
    assert len(rows) == 3
    pipe: Any = pipeline(task.name, model=vit, device="cpu")
    for path in videos[:2]:
        row = rows[path.name]
        assert (row["status"], len(row["trace"]["read"])) == ("ok", row["units_read"])
        assert row["vector"] == pytest.approx(pipe(str(path))["vector"], abs=1e-5)
        assert not {"label", "score", "predictions"} & row.keys()
    assert (rows["broken.mp4"]["error_reason"], rows["broken.mp4"]["vector"]) == ("not_media", None)
    assert "3 inputs" in temporal(*run, "--resume")
    assert len(list(read_rows(output))) == 3
    picture = tmp_path / "reading.png"
    shown = temporal("show", output, "-o", picture)
    assert "vector [" in shown and "of 30 frames" in shown
    assert picture.stat().st_size > 1000
    first = rows[videos[0].name]
    numbers = ", ".join(f"{value:.3g}" for value in first["vector"][:4])
    assert title_of(first) == f"{videos[0].name}  ·  vector [{numbers} ... {SMALL['hidden_size']}]"


def test_the_page_names_every_field_of_a_record(task: registry.TaskRecord) -> None:
    page = PAGE.read_text()
    fields = set(registry.TaskRecord.__dataclass_fields__)
    assert {name for name in fields if f"`{name}`" in page or f"{name}=" in page} == fields
